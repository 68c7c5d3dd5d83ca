/** An `emit` that remembers what it was told. */
import type { Emit, EventFields, EventName } from '../../src/observe/events.ts';

export interface RecordedEvents {
  emit: Emit;
  all: { name: EventName; fields: EventFields }[];
  named(name: EventName): EventFields[];
}

export function recordEvents(): RecordedEvents {
  const all: RecordedEvents['all'] = [];
  return {
    all,
    emit: (name, fields = {}) => void all.push({ name, fields }),
    named: (name) => all.filter((event) => event.name === name).map(({ fields }) => fields),
  };
}
