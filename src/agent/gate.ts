/**
 * Whether this worker may claim now, and if not, why: the one place where all reasons meet.
 *
 * A reason is a short stable word with a text for people. The reasons show in the log when they change, in the node's
 * heartbeat, and on `/readyz`.
 */
export const GATE_REASONS = ['draining', 'engine', 'rate', 'cpu', 'memory', 'disk', 'state', 'registration'] as const;
export type GateReason = (typeof GATE_REASONS)[number];

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

  get reasons(): { reason: GateReason; text: string }[] {
    return [...this.#closed].map(([reason, text]) => ({ reason, text }));
  }
}
