/** Closes the gate outside of the hours in which this machine may work. */
import { type ActiveHours, formatHours } from '../config/active-hours.ts';
import { isActive, type LocalTimeOf, nextChangeMs, shortTime } from '../host/working-time.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import type { Gate } from './gate.ts';

export interface HoursKeeperParts {
  /** null: always. */
  hours: ActiveHours | null;
  localTimeOf: LocalTimeOf;
  gate: Gate;
  /** How many tasks run on. */
  running: () => number;
  clock: Clock;
  emit: Emit;
}

export class HoursKeeper {
  readonly #parts: HoursKeeperParts;
  /** When that was last looked for, the text says when they begin: not again at every look. */
  #saidForMs: number | null = null;

  constructor(parts: HoursKeeperParts) {
    this.#parts = parts;
  }

  /** Said at every look. */
  check(): void {
    const { clock, emit, gate, hours, localTimeOf, running } = this.#parts;
    if (hours === null) return;
    const nowMs = clock.wallMs();
    if (isActive(hours, localTimeOf(nowMs))) {
      if (gate.isClosedBy('hours')) emit('limit.hours-cleared', { active_hours: formatHours(hours) });
      gate.open('hours');
      this.#saidForMs = null;
      return;
    }
    // Also after the clock was set, or the zone has changed its offset.
    if (gate.isClosedBy('hours') && this.#saidForMs !== null && nowMs < this.#saidForMs) return;
    const beginsMs = nextChangeMs(hours, nowMs, localTimeOf);
    this.#saidForMs = beginsMs;
    const again = beginsMs === null ? '' : `, again from ${shortTime(localTimeOf(beginsMs))}`;
    const text = `outside of ${formatHours(hours)} (ACTIVE_HOURS)${again}; tasks that run go on`;
    if (!gate.isClosedBy('hours')) {
      const inMs = beginsMs === null ? null : beginsMs - nowMs;
      emit('limit.hours', { active_hours: formatHours(hours), begins_in_ms: inMs, running: running() });
    }
    gate.close('hours', text);
  }
}
