/**
 * One life of a simulated process: it ends at any moment, or stands still for a while. Everything that reaches the process
 * from outside (an answer, a timer, a signal) comes through `deliver`, so a life that has ended never runs again, and one
 * that is stopped runs on where it was.
 */
import type { Clock } from '../../src/runtime.ts';
import type { CallOff, Timeline } from './timeline.ts';

/** `stopped`: its clock goes on, as under SIGSTOP. `suspended`: its monotonic clock stands too, as when a machine sleeps. */
export type PauseKind = 'stopped' | 'suspended';

const WALL_EPOCH_MS = Date.UTC(2026, 0, 1);

export class Life implements Clock {
  readonly timeline: Timeline;
  /** How fast this machine's clock goes. */
  readonly #rate: number;
  readonly #bornAtMs: number;
  #pausedUntilMs = 0;
  #pauseKind: PauseKind = 'stopped';
  #suspendedMs = 0;
  #wallJumpMs = 0;
  #deliveries = 0;
  ended = false;
  /** Ends at its so-maniest delivery: at that very await. */
  endsAtDelivery = Number.POSITIVE_INFINITY;
  onEnd: () => void = () => undefined;

  constructor(timeline: Timeline, rate: number) {
    this.timeline = timeline;
    this.#rate = rate;
    this.#bornAtMs = timeline.nowMs;
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.onEnd();
  }

  pause(ms: number, kind: PauseKind): void {
    if (this.ended || this.#isPaused) return;
    this.#pausedUntilMs = this.timeline.nowMs + ms;
    this.#pauseKind = kind;
    if (kind === 'suspended') this.#suspendedMs += ms;
  }

  /** The pause that is under way ends now. */
  resume(): void {
    if (!this.#isPaused) return;
    // The whole of it was counted when it began, and the monotonic clock never goes back.
    if (this.#pauseKind === 'suspended') this.#suspendedMs -= this.#pausedUntilMs - this.timeline.nowMs;
    this.#pausedUntilMs = this.timeline.nowMs;
  }

  jumpWall(ms: number): void {
    this.#wallJumpMs += ms;
  }

  deliver(run: () => void): void {
    if (this.ended) return;
    if (this.#isPaused) {
      this.timeline.after(this.#pausedUntilMs - this.timeline.nowMs, () => this.deliver(run));
      return;
    }
    this.#deliveries += 1;
    if (this.#deliveries >= this.endsAtDelivery) this.end();
    else run();
  }

  after(delayMs: number, run: () => void): CallOff {
    return this.timeline.after(delayMs, () => this.deliver(run));
  }

  monotonicMs(): number {
    return (this.timeline.nowMs - this.#bornAtMs - this.#suspendedMs) * this.#rate;
  }

  wallMs(): number {
    return WALL_EPOCH_MS + Math.floor(this.timeline.nowMs) + this.#wallJumpMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted || ms <= 0) return Promise.resolve();
    const untilMs = this.monotonicMs() + ms;
    return new Promise((resolve) => {
      const wake = (): void => {
        const leftMs = untilMs - this.monotonicMs();
        // A suspended machine's timers have not run meanwhile.
        if (leftMs > 0.001) callOff = this.after(leftMs / this.#rate, wake);
        else {
          signal?.removeEventListener('abort', cancel);
          resolve();
        }
      };
      const cancel = (): void => {
        callOff();
        resolve();
      };
      signal?.addEventListener('abort', cancel, { once: true });
      let callOff = this.after(ms / this.#rate, wake);
    });
  }

  get #isPaused(): boolean {
    return this.timeline.nowMs < this.#pausedUntilMs;
  }
}
