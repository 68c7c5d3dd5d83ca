/** How often a fault is tried: a few times in the gate, as often as it takes to mean something on request. */
export function atScale(small: number, full: number): number {
  return process.env['DGRID_FAULT_SCALE'] === 'full' ? full : small;
}
