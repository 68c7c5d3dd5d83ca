/**
 * Many readers or one writer, in the order in which they came. What waits is bounded by its holders: each runs commands
 * with deadlines only.
 *
 * States: free → shared (n holders) or exclusive (1 holder) → free. Whoever waits behind a waiting writer waits too, so
 * that a stream of readers cannot starve it.
 */
interface Waiter {
  exclusive: boolean;
  grant: () => void;
}

export class SharedLock {
  /** -1: held exclusively; else the number of shared holders. */
  #holders = 0;
  readonly #waiting: Waiter[] = [];

  async shared<T>(action: () => Promise<T>): Promise<T> {
    return this.#hold(false, action);
  }

  async exclusive<T>(action: () => Promise<T>): Promise<T> {
    return this.#hold(true, action);
  }

  async #hold<T>(exclusive: boolean, action: () => Promise<T>): Promise<T> {
    await new Promise<void>((grant) => {
      this.#waiting.push({ exclusive, grant });
      this.#advance();
    });
    try {
      return await action();
    } finally {
      this.#holders = exclusive ? 0 : this.#holders - 1;
      this.#advance();
    }
  }

  #advance(): void {
    for (;;) {
      const next = this.#waiting[0];
      if (!next || this.#holders < 0 || (next.exclusive && this.#holders > 0)) return;
      this.#waiting.shift();
      this.#holders = next.exclusive ? -1 : this.#holders + 1;
      next.grant();
    }
  }
}
