/**
 * Says to those who listen what others see at a glance. Sparingly: one sentence at a time, and those that come close
 * together as one, the last.
 */
import { after, nowMs } from './clock.ts';

const PAUSE_MS = 8_000;

export class Announcer {
  readonly #region: HTMLElement;
  #spokeAtMs = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => {};

  constructor(region: HTMLElement) {
    this.#region = region;
  }

  say(text: string): void {
    this.#cancel();
    const waitMs = Math.max(0, this.#spokeAtMs + PAUSE_MS - nowMs());
    this.#cancel = after(waitMs, () => {
      this.#spokeAtMs = nowMs();
      this.#region.textContent = text;
    });
  }
}
