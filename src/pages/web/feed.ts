/**
 * Keeps the overview up to date.
 *
 * live: asks once, then is told of changes by server-sent events. A line that breaks without a sign is noticed by asking
 *   now and then anyway; after a failure it asks again, less and less often. While nobody looks at the page no stream is
 *   held: browsers allow few connections to one server, and servers few streams.
 * static: asks for a file every half minute while somebody looks.
 */
import type { Overview, TaskDetail } from '../model.ts';
import { after, nowMs } from './clock.ts';
import { type Answer, fetchJson } from './fetch-json.ts';

export type Link =
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** The server answers, and has no stream of changes to give: too many are open, or something between lets none through. */
  | { kind: 'polling' }
  | { kind: 'static' }
  /** @property sinceMs when the server was last heard of, by this browser's clock; null: never. */
  | { kind: 'reconnecting'; problem: string; sinceMs: number | null }
  | { kind: 'unauthorised' };

export interface FeedEvents {
  /** A document that may differ from the one before. */
  onOverview: (overview: Overview) => void;
  onLink: (link: Link) => void;
}

const STATIC_PAUSE_MS = 30_000;
/** Without any word for so long, a question shows whether the server is still there. */
const SILENCE_MS = 45_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
const HIDDEN_GRACE_MS = 30_000;

export class Feed {
  readonly isStatic: boolean;
  readonly #events: FeedEvents;
  #tag: string | null = null;
  #revision: string | null = null;
  #stream: EventSource | null = null;
  #heardAtMs: number | null = null;
  #retryMs = FIRST_RETRY_MS;
  #cancelNext: () => void = () => {};
  #cancelHide: () => void = () => {};
  #isAsking = false;
  #askAgain = false;

  constructor(isStatic: boolean, events: FeedEvents) {
    this.isStatic = isStatic;
    this.#events = events;
  }

  start(): void {
    document.addEventListener('visibilitychange', () => this.#lookedAt());
    window.addEventListener('online', () => this.askNow());
    // Brought back by the browser as it was when one left it: without its stream.
    window.addEventListener('pageshow', ({ persisted }) => {
      if (persisted) this.askNow();
    });
    void this.#ask();
  }

  /** Without waiting for the next try. */
  askNow(): void {
    void this.#ask();
  }

  /** @param id a task's, from the address or a document. */
  task(id: string): Promise<Answer<TaskDetail>> {
    const name = encodeURIComponent(id);
    return fetchJson(this.isStatic ? `data/tasks/${name}.json` : `api/v1/tasks/${name}`);
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) {
      this.#askAgain = true;
      return;
    }
    this.#cancelNext();
    this.#isAsking = true;
    const answer = await fetchJson<Overview>(this.isStatic ? 'data/overview.json' : 'api/v1/overview', this.#tag);
    this.#isAsking = false;
    this.#take(answer);
    if (this.#askAgain) {
      this.#askAgain = false;
      void this.#ask();
    }
  }

  #take(answer: Answer<Overview>): void {
    if (answer.kind === 'unauthorised') {
      this.#closeStream();
      this.#events.onLink({ kind: 'unauthorised' });
      return;
    }
    if (answer.kind === 'failed' || answer.kind === 'absent') {
      this.#lost(answer.kind === 'failed' ? answer.problem : 'the server has no overview');
      return;
    }
    this.#heardAtMs = nowMs();
    if (answer.kind === 'document') {
      this.#tag = answer.tag;
      this.#revision = answer.document.revision;
      if (!this.#isShown(answer.document)) return;
    }
    if (this.isStatic) {
      this.#retryMs = FIRST_RETRY_MS;
      this.#events.onLink({ kind: 'static' });
      this.#askIn(STATIC_PAUSE_MS);
    } else this.#listen();
  }

  /** A document of another version may lack what this page needs: that must not end its trying. */
  #isShown(overview: Overview): boolean {
    try {
      this.#events.onOverview(overview);
      return true;
    } catch (error) {
      console.error(error);
      this.#tag = null;
      this.#lost('the page does not understand the answer: reload the page');
      return false;
    }
  }

  #lost(problem: string): void {
    this.#closeStream();
    this.#events.onLink({ kind: 'reconnecting', problem, sinceMs: this.#heardAtMs });
    this.#askLater();
  }

  #askLater(): void {
    this.#askIn(this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
  }

  #askIn(ms: number, whole = false): void {
    this.#cancelNext();
    this.#cancelNext = after(ms, () => {
      if (whole) this.#tag = null;
      // Nobody looks: whoever does again asks at once.
      if (!document.hidden) void this.#ask();
    });
  }

  #listen(): void {
    if (document.hidden) return;
    if (this.#stream) {
      this.#alive();
      return;
    }
    const stream = new EventSource('api/v1/events');
    this.#stream = stream;
    this.#askAfterSilence();
    let wasOpen = false;
    stream.addEventListener('open', () => {
      wasOpen = true;
      this.#alive();
    });
    stream.addEventListener('changed', (event) => {
      this.#alive();
      if (revisionIn(event.data) !== this.#revision) void this.#ask();
    });
    stream.addEventListener('error', () => {
      if (this.#stream !== stream) return;
      this.#closeStream();
      // Whatever stands between may end a stream now and then: whether that means anything shows when the server is asked.
      if (wasOpen) this.#askIn(FIRST_RETRY_MS);
      else this.#withoutStream();
    });
  }

  #withoutStream(): void {
    this.#events.onLink({ kind: 'polling' });
    this.#askLater();
  }

  #alive(): void {
    this.#heardAtMs = nowMs();
    this.#retryMs = FIRST_RETRY_MS;
    this.#events.onLink({ kind: 'live' });
    this.#askAfterSilence();
  }

  /** For the whole document: what the passing of time alone changes is no reason for the server to say that it changed. */
  #askAfterSilence(): void {
    this.#askIn(SILENCE_MS, true);
  }

  #closeStream(): void {
    this.#stream?.close();
    this.#stream = null;
  }

  #lookedAt(): void {
    this.#cancelHide();
    if (document.hidden) this.#cancelHide = after(HIDDEN_GRACE_MS, () => this.#closeStream());
    else void this.#ask();
  }
}

/** null where it does not say: then it is asked for. */
function revisionIn(data: unknown): string | null {
  try {
    const event: unknown = JSON.parse(String(data));
    return typeof event === 'object' && event !== null && 'revision' in event ? String(event.revision) : null;
  } catch {
    return null;
  }
}
