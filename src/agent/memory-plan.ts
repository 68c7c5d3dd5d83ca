/**
 * How much memory is promised to tasks: to those that run, and to claims that will be started as soon as there is a slot.
 *
 * A claim beyond the slots needs none of its own if it asks for no more than any task that it could come after: it is
 * started when one of them has ended, so the sum of what runs never grows by it.
 */
export class MemoryPlan {
  readonly #slots: number;
  #tasks = 0;
  #smallest = Number.POSITIVE_INFINITY;
  promisedBytes = 0;

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** Whether a task of this size would come after others, in memory that is theirs until then. */
  follows(bytes: number): boolean {
    return this.#tasks >= this.#slots && bytes <= this.#smallest;
  }

  promise(bytes: number): void {
    this.#tasks += 1;
    this.#smallest = Math.min(this.#smallest, bytes);
    this.promisedBytes += bytes;
  }
}
