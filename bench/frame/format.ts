/** Figures for people. */
import type { Figure, Unit } from './figure.ts';

const KIB = 1024;

export function formatValue(value: number | null, unit: Unit): string {
  if (value === null) return '–';
  if (unit === 'B') return formatBytes(value);
  return `${significant(value)} ${unit}`;
}

function formatBytes(bytes: number): string {
  if (bytes < 10 * KIB) return `${grouped(Math.round(bytes))} B`;
  if (bytes < KIB * KIB) return `${significant(bytes / KIB)} KiB`;
  return `${significant(bytes / KIB / KIB)} MiB`;
}

/** Three digits that mean something. */
export function significant(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return grouped(Math.round(value));
  return String(Number(value.toPrecision(size >= 10 ? 3 : 2)));
}

export function formatRatio(ratio: number | null): string {
  if (ratio === null) return '–';
  return `${ratio >= 0.995 && ratio < 10 ? ratio.toFixed(2) : significant(ratio)} ×`;
}

export function formatMet({ aim, missing }: Figure): string {
  if (missing !== null) return 'not measured';
  if (aim === null) return '';
  return aim.met ? 'yes' : 'no';
}

function grouped(value: number): string {
  return value.toLocaleString('en-GB');
}
