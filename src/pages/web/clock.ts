/**
 * The page's only clock. Ages are what the server knew when it answered, and what has passed in this browser since: the
 * clocks of two machines are not compared.
 */

/** By this machine's wall clock, which goes on while the machine sleeps. Only differences mean anything. */
export function nowMs(): number {
  return Date.now();
}

/** When something was, in milliseconds since 1970. null: not told, or no time that can be read. */
export function instantOf(isoTime: string | null): number | null {
  const ms = isoTime === null ? Number.NaN : Date.parse(isoTime);
  return Number.isNaN(ms) ? null : ms;
}

/** The time at whoever made the documents, carried on from the last one. */
export class SourceClock {
  #aheadMs = 0;

  /** @param generatedAt of a document that came just now. */
  set(generatedAt: string): void {
    const ms = instantOf(generatedAt);
    if (ms !== null) this.#aheadMs = ms - nowMs();
  }

  /** Where the document may be old already, its ages go by this machine's clock: there is no better one. */
  trustOwn(): void {
    this.#aheadMs = 0;
  }

  nowMs(): number {
    return nowMs() + this.#aheadMs;
  }
}

export function after(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  return () => clearTimeout(timer);
}

export function every(ms: number, act: () => void): void {
  setInterval(act, ms);
}
