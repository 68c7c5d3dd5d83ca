/**
 * Virtual time: events in a queue, run one after the other in the order of their instants. After each event everything
 * that it set off is let finish before the next one runs, so whatever happens in between two events happens at once.
 */
export interface TimelineEvent {
  atMs: number;
  sequence: number;
  /** null: called off. */
  run: (() => void) | null;
}

/** Calls an event off; harmless once it has run. */
export type CallOff = () => void;

export class Timeline {
  nowMs = 0;
  eventsRun = 0;
  #sequence = 0;
  /** A binary heap: the earliest first, and among equals the one that was planned first. */
  readonly #heap: TimelineEvent[] = [];

  after(delayMs: number, run: () => void): CallOff {
    this.#sequence += 1;
    const event: TimelineEvent = { atMs: this.nowMs + Math.max(0, delayMs), sequence: this.#sequence, run };
    this.#push(event);
    return () => {
      event.run = null;
    };
  }

  /** Runs until `isOver` holds, asked after each event, or `limitMs` is reached. @returns whether it held. */
  async run(limitMs: number, isOver: () => boolean): Promise<boolean> {
    for (;;) {
      const event = this.#heap[0];
      if (!event || event.atMs > limitMs) {
        this.nowMs = limitMs;
        return isOver();
      }
      this.#pop();
      if (event.run === null) continue;
      this.nowMs = event.atMs;
      this.eventsRun += 1;
      event.run();
      await settled();
      if (isOver()) return true;
    }
  }

  #push(event: TimelineEvent): void {
    const heap = this.#heap;
    heap.push(event);
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as TimelineEvent)) break;
      heap[at] = heap[parent] as TimelineEvent;
      heap[parent] = event;
      at = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as TimelineEvent;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ; ) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as TimelineEvent, heap[child] as TimelineEvent))
        child += 1;
      if (!isBefore(heap[child] as TimelineEvent, last)) break;
      heap[at] = heap[child] as TimelineEvent;
      heap[child] = last;
      at = child;
    }
  }
}

function isBefore(a: TimelineEvent, b: TimelineEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}

/** Promise reactions all run before the next turn of the event loop. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
