/**
 * `dgrid top` while it runs: looks at the grid again and again, and does what keys ask for. Keys never wait for the
 * repository: what has to do with it happens in turns beside them, and only its outcome changes what is shown.
 */
import type { GridClient } from '../../client/grid-client.ts';
import type { GridWatch } from '../../client/grid-watch.ts';
import { GitError } from '../../git/errors.ts';
import type { TaskId } from '../../task/id.ts';
import { duration } from '../figures.ts';
import type { Key } from './keys.ts';
import type { Paint } from './line.ts';
import { lastScroll, pageSize, render } from './render.ts';
import { type Action, press, type TaskDetail, type TopState } from './state.ts';
import type { TerminalScreen } from './terminal.ts';

const TICK_MS = 1_000;
/** Between two looks at a repository that does not answer. */
const MAX_PAUSE_MS = 30_000;

export interface SessionParts {
  client: GridClient;
  watch: GridWatch;
  readDetail: (id: TaskId) => Promise<TaskDetail>;
  /** Resolves with what came of it. */
  cancel: (id: TaskId) => Promise<string>;
  state: TopState;
  paint: Paint;
  intervalMs: number;
  /** Ends whatever is under way with the repository. */
  stop: AbortController;
}

export class TopSession {
  readonly #parts: SessionParts;
  #screen: TerminalScreen | null = null;
  #state: TopState;
  /** What has to do with the repository, one after the other: a clone has room for one at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #wake = new AbortController();

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#state = parts.state;
  }

  /** Until somebody leaves, or the signal of the client. @throws what no repetition mends */
  async run(screen: TerminalScreen): Promise<void> {
    this.#screen = screen;
    this.#draw();
    const over = new AbortController();
    try {
      await Promise.race([this.#keepLooking(), this.#keepTicking(over.signal)]);
    } finally {
      over.abort();
    }
  }

  redraw(): void {
    this.#draw();
  }

  /** A remark of the parts below, such as that Git tries again. */
  tell(problem: string): void {
    this.#change({ problem });
  }

  press(key: Key): void {
    const screen = this.#screen;
    if (!screen) return;
    const wasPaused = this.#state.paused;
    const { state, action } = press(this.#state, key, {
      page: pageSize(this.#state, screen.size),
      lastScroll: lastScroll(this.#state, screen.size),
    });
    this.#state = state;
    if (wasPaused && !state.paused) this.#wake.abort();
    if (action) this.#act(action, screen);
    this.#draw();
  }

  #act(action: Action, screen: TerminalScreen): void {
    switch (action.kind) {
      case 'quit':
        this.#parts.stop.abort();
        break;
      case 'suspend':
        screen.suspend();
        break;
      case 'redraw':
        screen.forget();
        break;
      case 'open':
        void this.#open(action.id);
        break;
      case 'cancel':
        void this.#cancel(action.id);
        break;
    }
  }

  async #keepLooking(): Promise<void> {
    const { client, intervalMs, watch } = this.#parts;
    const { clock, signal } = client;
    let pauseMs = intervalMs;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      if (!this.#state.paused) {
        this.#change({ askingSinceMs: clock.monotonicMs() });
        try {
          const picture = await this.#inTurn(() => watch.look());
          this.#change({ problem: null, ...(this.#state.paused ? {} : { picture }) });
          pauseMs = intervalMs;
          await this.#readAgain();
        } catch (error) {
          if (signal.aborted) return;
          if (!(error instanceof GitError)) throw error;
          pauseMs = Math.min(2 * pauseMs, Math.max(MAX_PAUSE_MS, intervalMs));
          this.#change({ problem: `trying again in ${duration(pauseMs)}: ${error.message}` });
        } finally {
          this.#change({ askingSinceMs: null });
        }
      }
      await clock.sleep(pauseMs, AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  /** What passes by itself: how old a picture is, for how long a task runs. */
  async #keepTicking(over: AbortSignal): Promise<void> {
    const { clock, signal } = this.#parts.client;
    const end = AbortSignal.any([over, signal]);
    while (!end.aborted) {
      await clock.sleep(TICK_MS, end);
      if (!end.aborted) this.#draw();
    }
  }

  async #open(id: TaskId): Promise<void> {
    const detail = await this.#inTurn(() => this.#parts.readDetail(id)).catch((error: unknown) =>
      unreadable(id, error),
    );
    // Somebody may have gone on meanwhile.
    if (this.#state.detail?.task_id === id) this.#change({ detail });
  }

  /** What is shown of a task that goes on. @throws GitError, and what was shown of it stays */
  async #readAgain(): Promise<void> {
    const shown = this.#state.detail;
    if (shown === null || shown.isOver) return;
    const id = shown.task_id;
    const detail = await this.#inTurn(() => this.#parts.readDetail(id)).catch((error: unknown) => {
      if (error instanceof GitError) throw error;
      return unreadable(id, error);
    });
    if (this.#state.detail?.task_id === id) this.#change({ detail });
  }

  async #cancel(id: TaskId): Promise<void> {
    this.#change({ message: `cancelling ${id} …` });
    try {
      this.#change({ message: await this.#inTurn(() => this.#parts.cancel(id)) });
      this.#wake.abort();
    } catch (error) {
      this.#change({ message: `${id} was not cancelled: ${messageOf(error)}` });
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #change(change: Partial<TopState>): void {
    this.#state = { ...this.#state, ...change };
    this.#draw();
  }

  #draw(): void {
    const screen = this.#screen;
    if (!screen || this.#parts.stop.signal.aborted) return;
    screen.draw(render(this.#state, screen.size, this.#parts.paint, this.#parts.client.clock.monotonicMs()));
  }
}

function unreadable(id: TaskId, error: unknown): TaskDetail {
  return { task_id: id, facts: [['problem', messageOf(error)]], output: null, isOver: false };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
