/**
 * How many wrong tokens came from where. After so many within a minute nothing more is compared for that address until the
 * minute is over, not even the right one: a guess that gets no answer is none.
 *
 * An address whose tokens are right is never held up by what others try.
 */
import { isIPv6 } from 'node:net';
import type { Clock } from '../../runtime.ts';

export const MAX_WRONG_TRIES = 20;
const WINDOW_MS = 60_000;
/** Beyond it the one that began longest ago is forgotten. */
const MAX_ADDRESSES = 1_000;
/** A machine mostly has all addresses of such a network. */
const IPV6_NETWORK_GROUPS = 4;

export class WrongTries {
  readonly #clock: Clock;
  /** The window of each address began at its first wrong try; the oldest stands first. */
  readonly #windows = new Map<string, { beganMs: number; count: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  areSpent(address: string): boolean {
    return (this.#window(address)?.count ?? 0) >= MAX_WRONG_TRIES;
  }

  /** Until the next try is compared again; 0: the next one is. */
  pauseMs(address: string): number {
    const window = this.#window(address);
    return window && window.count >= MAX_WRONG_TRIES ? window.beganMs + WINDOW_MS - this.#clock.monotonicMs() : 0;
  }

  count(address: string): void {
    const known = this.#window(address);
    if (known) {
      known.count += 1;
      return;
    }
    const key = networkOf(address);
    this.#windows.delete(key);
    this.#windows.set(key, { beganMs: this.#clock.monotonicMs(), count: 1 });
    const [oldest] = this.#windows.size > MAX_ADDRESSES ? this.#windows.keys() : [];
    if (oldest !== undefined) this.#windows.delete(oldest);
  }

  #window(address: string): { beganMs: number; count: number } | null {
    const found = this.#windows.get(networkOf(address));
    return found && this.#clock.monotonicMs() - found.beganMs < WINDOW_MS ? found : null;
  }
}

function networkOf(address: string): string {
  // An IPv4 address as a socket for both kinds shows it.
  if (!isIPv6(address) || address.includes('.')) return address;
  const [left = '', right] = address.split('::');
  const head = left === '' ? [] : left.split(':');
  const tail = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? 0 : 8 - head.length - tail.length;
  return [...head, ...Array.from({ length: zeros }, () => '0'), ...tail].slice(0, IPV6_NETWORK_GROUPS).join(':');
}
