/** `DGRID_*` variables that no setting has: nearly always a slip of the pen that would otherwise go unnoticed. */
import { isOptionName, OPTION_NAMES } from './options.ts';
import type { Problem } from './rules.ts';
import type { Layer } from './sources.ts';
import { nearest } from './suggestion.ts';

/** Orchestrators describe a service called `dgrid` to its neighbours in variables of this form; nobody wrote them. */
const INJECTED =
  /^DGRID(?:_[A-Z0-9]+)*_(?:SERVICE_(?:HOST|PORT)(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_[A-Z]+)?)?)$/;

export function unknownVariables(layers: readonly Layer[]): Problem[] {
  const problems = new Map<string, Problem>();
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer.values)) {
      if (!/^DGRID_/i.test(name) || isOptionName(name) || !value || INJECTED.test(name)) continue;
      const meant = meantBy(name);
      const advice = meant === null ? 'remove it' : `did you mean ${meant}?`;
      problems.set(name, { name, message: `is no setting: ${advice}` });
    }
  }
  return [...problems.values()];
}

function meantBy(name: string): string | null {
  // Most settings carry no prefix, and people add it.
  const bare = name.slice('DGRID_'.length).toUpperCase();
  if (isOptionName(bare)) return bare;
  return nearest(name, OPTION_NAMES) ?? nearest(bare, OPTION_NAMES);
}
