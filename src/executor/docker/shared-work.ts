/**
 * Work that several want at the same time is done once: whoever comes later waits for the same, and it is given up when
 * nobody waits any more.
 */
import { orAborted } from './deadline.ts';

interface Shared<T> {
  done: Promise<T>;
  waiting: number;
  abort: AbortController;
}

export class SharedWork<T> {
  readonly #work: (key: string, signal: AbortSignal) => Promise<T>;
  readonly #running = new Map<string, Shared<T>>();

  constructor(work: (key: string, signal: AbortSignal) => Promise<T>) {
    this.#work = work;
  }

  /** Settles like the work, or rejects with the signal's reason. */
  async join(key: string, signal?: AbortSignal): Promise<T> {
    const shared = this.#running.get(key) ?? this.#begin(key);
    shared.waiting += 1;
    try {
      return await (signal ? orAborted(shared.done, signal) : shared.done);
    } finally {
      shared.waiting -= 1;
      if (shared.waiting === 0) shared.abort.abort();
    }
  }

  #begin(key: string): Shared<T> {
    const abort = new AbortController();
    const shared: Shared<T> = { done: this.#work(key, abort.signal), waiting: 0, abort };
    this.#running.set(key, shared);
    const forget = () => {
      if (this.#running.get(key) === shared) this.#running.delete(key);
    };
    abort.signal.addEventListener('abort', forget, { once: true });
    shared.done.then(forget, forget);
    return shared;
  }
}
