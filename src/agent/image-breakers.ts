/**
 * Images that this node cannot get are set aside for a while: not every task of such an image asks the registry again.
 *
 * While an image is set aside, this node leaves its tasks to others; once the pause is over it claims one, and that one
 * decides. Where every live node has set the image aside nobody is left to wait for, so its tasks end with the record that
 * the first ones got, and no registry is asked for them.
 */
import { Breaker } from '../host/breaker.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import type { ImageRefusal, IsHopeless } from './set-aside-images.ts';

const LIMITS = { failures: 3, firstPauseMs: 60_000, longestPauseMs: 30 * 60_000 };
/** Images that anybody can name: the one that failed longest ago is forgotten first. */
const MAX_IMAGES = 500;
/** A sign of life stays small; images beyond that are waited for, by others, in vain. */
const MAX_TOLD_IMAGES = 20;
const MAX_PROBLEM_LENGTH = 200;

export type ImageAdmission =
  /** The engine may be asked for it; `settle` has to be called with what came of it. */
  | { kind: 'ask'; settle: (outcome: 'had' | 'unavailable' | 'unknown', problem?: string) => void }
  /** Others may have it. */
  | { kind: 'leave' }
  /** Nobody has it. */
  | { kind: 'give-up'; problem: string };

export interface SetAsideImage {
  image: string;
  /** In a row. */
  failures: number;
  problem: string;
  pauseLeftMs: number;
}

export class ImageBreakers {
  readonly #clock: Clock;
  readonly #emit: Emit;
  /** Of images that failed since they were last had. The one that failed last comes last. */
  readonly #breakers = new Map<string, Breaker>();
  /** Images that somebody is asking for just now. */
  readonly #trials = new Set<string>();
  #isHopeless: IsHopeless = () => false;

  constructor(parts: { clock: Clock; emit: Emit }) {
    this.#clock = parts.clock;
    this.#emit = parts.emit;
  }

  /** Images that are not to be claimed for without more ado. */
  get setAside(): SetAsideImage[] {
    return [...this.#breakers]
      .filter(([, breaker]) => breaker.state !== 'closed')
      .map(([image, { failures, pauseLeftMs, problem }]) => ({ image, failures, pauseLeftMs, problem }));
  }

  /** @param isHopeless whether no other live node could have it either, as far as this node knows. */
  noteOthers(isHopeless: IsHopeless): void {
    this.#isHopeless = isHopeless;
  }

  /** How many tasks of this image to claim now, of those that require these labels. */
  room(image: string, requires: readonly string[]): number {
    const state = this.#breakers.get(image)?.state ?? 'closed';
    if (state === 'closed') return Number.POSITIVE_INFINITY;
    if (state === 'trial' && !this.#trials.has(image)) return 1;
    return this.#isHopeless(image, requires) ? Number.POSITIVE_INFINITY : 0;
  }

  /** For a task that is about to be started. */
  admit(image: string, requires: readonly string[]): ImageAdmission {
    const breaker = this.#breakers.get(image);
    const state = breaker?.state ?? 'closed';
    if (breaker && (state === 'open' || (state === 'trial' && this.#trials.has(image)))) {
      return this.#isHopeless(image, requires) ? { kind: 'give-up', problem: breaker.problem } : { kind: 'leave' };
    }
    if (state === 'trial') this.#trials.add(image);
    let isSettled = false;
    const settle = (outcome: 'had' | 'unavailable' | 'unknown', problem = ''): void => {
      if (isSettled) return;
      isSettled = true;
      if (state === 'trial') this.#trials.delete(image);
      if (outcome === 'had') this.#had(image);
      if (outcome === 'unavailable') this.#failed(image, problem);
    };
    return { kind: 'ask', settle };
  }

  /** For others, who leave off waiting for this node then; and for people. */
  get refusals(): ImageRefusal[] {
    return this.setAside.slice(-MAX_TOLD_IMAGES).map(({ image, failures, pauseLeftMs, problem }) => {
      const again =
        pauseLeftMs > 0 ? `tried again in ${Math.ceil(pauseLeftMs / 1000)} s` : 'tried again with the next task';
      return {
        reason: 'image',
        image,
        text: `${image} failed ${failures} times in a row, ${again}: ${problem.slice(0, MAX_PROBLEM_LENGTH)}`,
      };
    });
  }

  /** When the next pause is over; null: none is going on. */
  get nextTrialMs(): number | null {
    const pauses = this.setAside.map(({ pauseLeftMs }) => pauseLeftMs).filter((leftMs) => leftMs > 0);
    return pauses.length === 0 ? null : Math.min(...pauses);
  }

  #had(image: string): void {
    const breaker = this.#breakers.get(image);
    if (breaker?.succeeded()) this.#emit('image.back', { image });
    this.#breakers.delete(image);
  }

  #failed(image: string, problem: string): void {
    const breaker = this.#breakers.get(image) ?? new Breaker(LIMITS, this.#clock);
    this.#breakers.delete(image);
    this.#breakers.set(image, breaker);
    const [oldest] = this.#breakers.keys();
    if (this.#breakers.size > MAX_IMAGES && oldest !== undefined) this.#breakers.delete(oldest);
    if (!breaker.failed(problem)) return;
    const { failures, pauseLeftMs } = breaker;
    this.#emit('image.set-aside', { image, failures, pause_ms: Math.round(pauseLeftMs), problem });
  }
}
