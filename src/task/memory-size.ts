/** Memory sizes as people write them: `256m`, `1g`, `1.5GiB`, `268435456`. Units are powers of 1024, as Docker reads them. */
const SIZE = /^(\d+(?:\.\d+)?)(?:([kmgt])i?)?b?$/i;
const UNIT_POWERS: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3, t: 4 };
const NAMED_UNITS = [
  { suffix: 'g', bytes: 1024 ** 3 },
  { suffix: 'm', bytes: 1024 ** 2 },
  { suffix: 'k', bytes: 1024 },
] as const;

/** @returns whole bytes, or null when the text is no size or more than a number can hold exactly. */
export function parseMemorySize(text: string): number | null {
  const [, figure, unit] = SIZE.exec(text.trim()) ?? [];
  if (figure === undefined) return null;
  const power = unit === undefined ? 0 : (UNIT_POWERS[unit.toLowerCase()] ?? 0);
  const bytes = Math.floor(Number(figure) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** The shortest text that `parseMemorySize` reads back as exactly `bytes`. */
export function formatMemorySize(bytes: number): string {
  const unit = NAMED_UNITS.find((candidate) => bytes >= candidate.bytes && bytes % candidate.bytes === 0);
  return unit ? `${bytes / unit.bytes}${unit.suffix}` : `${bytes}b`;
}
