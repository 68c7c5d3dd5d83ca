/** Asks sensors that may fail or hang, and turns either into a reason. */
import type { Clock } from '../runtime.ts';
import { withinDeadline } from './deadline.ts';
import type { SensorFailure } from './reading.ts';

export type Sensed<T> = { value: T; failure: null } | { value: null; failure: SensorFailure };

export class Sensing {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  /**
   * By sensor, what was started and has not answered. A hung mount holds a thread of the pool for good: asking again
   * each time would use up the few there are, and with them every file operation of the worker.
   */
  readonly #running = new Map<string, { startedMs: number; answer: Promise<unknown> }>();

  constructor(clock: Clock, deadlineMs: number) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * Never throws. Calls for one sensor that overlap share one reading; while a reading is overdue no new one is begun.
   * @param sensor always read by the same `read`.
   */
  async sense<T>(sensor: string, read: () => Promise<T>): Promise<Sensed<T>> {
    try {
      const value = await withinDeadline(this.#clock, this.#deadlineMs, `sensor ${sensor}`, () =>
        this.#startOrJoin(sensor, read),
      );
      return { value, failure: null };
    } catch (error) {
      return { value: null, failure: { sensor, reason: reasonOf(error) } };
    }
  }

  #startOrJoin<T>(sensor: string, read: () => Promise<T>): Promise<T> {
    const running = this.#running.get(sensor);
    if (running) {
      if (this.#clock.monotonicMs() - running.startedMs < this.#deadlineMs) return running.answer as Promise<T>;
      return Promise.reject(new Error('still waiting for the answer to an earlier reading'));
    }
    const answer = read().finally(() => this.#running.delete(sensor));
    this.#running.set(sensor, { startedMs: this.#clock.monotonicMs(), answer });
    return answer;
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? 'the path is not visible here' : message;
}
