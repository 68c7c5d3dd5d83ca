/** The settings in force, for people and for programs that ask. */
import type { Loaded } from './load.ts';
import { OPTION_NAMES, type OptionName, optionOf } from './options.ts';
import { originText } from './sources.ts';
import type { PlainValue } from './value-kind.ts';

const SECRET_MASK = '***';

export interface SettingInForce {
  name: OptionName;
  /** A number in `unit`, a truth value, a text or a list; null when unset. Masked for a secret. */
  value: PlainValue;
  /** As one would write it; empty when unset. Masked for a secret. */
  text: string;
  unit: string | null;
  source: 'flag' | 'environment' | 'env-file' | 'profile' | 'default';
  /** The source with its name, as `profile edge`. */
  source_text: string;
  secret: boolean;
  /** False for a value that could not be read, or is missing. */
  valid: boolean;
}

export function settingsInForce(loaded: Loaded<unknown>): SettingInForce[] {
  return OPTION_NAMES.map((name) => {
    const { kind, secret } = optionOf(name);
    const value: unknown = loaded.values[name];
    const valid = value !== undefined;
    const present = valid && value !== null;
    const origin = loaded.origins[name] ?? { source: 'default' as const };
    return {
      name,
      value: !present ? null : secret ? SECRET_MASK : kind.plain(value),
      text: !present ? '' : secret ? SECRET_MASK : kind.format(value),
      unit: kind.unit,
      source: origin.source,
      source_text: originText(origin),
      secret,
      valid,
    };
  });
}
