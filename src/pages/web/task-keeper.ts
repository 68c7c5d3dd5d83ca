/**
 * Has the document of the task that is looked at: asks for it when one comes to its page, and again after changes of the
 * grid until its record is there. What a task writes while it runs is no change of the grid: it is asked for now and then,
 * as long as somebody sees the page.
 */
import type { TaskDetail } from '../model.ts';
import { after } from './clock.ts';
import type { Answer } from './fetch-json.ts';

export interface TaskState {
  detail: TaskDetail | null;
  /** Why there is no document, or none that is up to date. */
  problem: string | null;
}

/** The server may have been too busy for this one. */
const RETRY_MS = 5_000;
/** Between two looks at what a running task writes. */
const LIVE_MS = 2_000;
const NOTHING_YET: TaskState = { detail: null, problem: null };

export class TaskKeeper {
  readonly #ask: (id: string) => Promise<Answer<TaskDetail>>;
  readonly #onChange: () => void;
  readonly #isStatic: boolean;
  readonly #isSeen: () => boolean;
  #id: string | null = null;
  #state = NOTHING_YET;
  #row = '';
  /** Of the next look that comes by itself. */
  #cancelNext: () => void = () => {};
  #isAsking = false;
  #askAgain = false;

  constructor(parts: {
    ask: (id: string) => Promise<Answer<TaskDetail>>;
    isStatic: boolean;
    /** Whether the page is in sight. */
    isSeen: () => boolean;
    onChange: () => void;
  }) {
    this.#ask = parts.ask;
    this.#isStatic = parts.isStatic;
    this.#isSeen = parts.isSeen;
    this.#onChange = parts.onChange;
  }

  get state(): TaskState {
    return this.#state;
  }

  /** @param id null: no task is looked at. */
  show(id: string | null): void {
    if (id === this.#id) return;
    this.#id = id;
    this.#row = '';
    this.#state = NOTHING_YET;
    void this.refresh();
  }

  /**
   * The grid has changed. A record does not, and what the overview lists has only changed if its row has.
   * @param row all that the overview says of the task, as one text.
   */
  changed(row: string): void {
    const isNews = row === 'null' || row !== this.#row || this.#state.problem !== null;
    this.#row = row;
    if (isNews && this.#state.detail?.row.state !== 'recorded') void this.refresh();
  }

  async refresh(): Promise<void> {
    if (this.#isAsking) {
      this.#askAgain = true;
      return;
    }
    this.#isAsking = true;
    do {
      this.#askAgain = false;
      const id = this.#id;
      if (id === null) break;
      const answer = await this.#ask(id);
      // Meanwhile one may have gone on to another.
      if (id === this.#id) this.#take(answer);
      else this.#askAgain = true;
    } while (this.#askAgain);
    this.#isAsking = false;
  }

  #take(answer: Answer<TaskDetail>): void {
    if (answer.kind === 'document') this.#state = { detail: answer.document, problem: null };
    else this.#state = { detail: this.#state.detail, problem: this.#problemOf(answer) };
    this.#onChange();
    this.#cancelNext();
    if (answer.kind === 'failed') this.#cancelNext = after(RETRY_MS, () => void this.refresh());
    else if (this.#isLive) this.#cancelNext = after(LIVE_MS, () => this.#lookAgain());
  }

  get #isLive(): boolean {
    return !this.#isStatic && this.#state.detail?.live === 'live';
  }

  #lookAgain(): void {
    if (this.#isSeen()) void this.refresh();
    else this.#cancelNext = after(LIVE_MS, () => this.#lookAgain());
  }

  #problemOf(answer: Exclude<Answer<TaskDetail>, { kind: 'document' }>): string | null {
    switch (answer.kind) {
      case 'unchanged':
        return null;
      case 'absent':
        return this.#isStatic ? 'This picture of the grid has no more of the task.' : 'There is no such task.';
      case 'unauthorised':
        return 'The server wants to know who asks: reload the page to sign in.';
      case 'failed':
        return `The task could not be read: ${answer.problem}.`;
    }
  }
}
