/**
 * Whether this worker may claim now, and if not, why: the one place where all reasons meet.
 *
 * A reason is a short stable word with a text for people. The reasons show in the log when they change, in the node's
 * heartbeat, and on `/readyz`.
 */
import type { Readiness } from '../executor/executor.ts';

export const GATE_REASONS = [
  'draining',
  'hours',
  'engine',
  'limits',
  'rate',
  'cpu',
  'memory',
  'disk',
  'cpu-pressure',
  'memory-pressure',
  'io-pressure',
  'load',
  'state',
  'signing',
  'registration',
] as const;
export type GateReason = (typeof GATE_REASONS)[number];

const NOTHING_WAITS: readonly GateReason[] = ['draining', 'hours', 'memory', 'memory-pressure', 'disk'];

export class Gate {
  readonly #closed = new Map<GateReason, string>();

  close(reason: GateReason, text: string): void {
    this.#closed.set(reason, text);
  }

  open(reason: GateReason): void {
    this.#closed.delete(reason);
  }

  isClosedBy(reason: GateReason): boolean {
    return this.#closed.has(reason);
  }

  get isOpen(): boolean {
    return this.#closed.size === 0;
  }

  /**
   * What the reasons mean for containers that are made ahead of tasks: where memory or room on the disk is short, or no task
   * will come for hours, they go; where it is something else, they may wait on.
   */
  get readiness(): Readiness {
    if (this.isOpen) return 'fill';
    return NOTHING_WAITS.some((reason) => this.#closed.has(reason)) ? 'empty' : 'hold';
  }

  get reasons(): { reason: GateReason; text: string }[] {
    return [...this.#closed].map(([reason, text]) => ({ reason, text }));
  }
}
