import { setTimeout as delay } from 'node:timers/promises';

const LOOK_EVERY_MS = 10;

/** Waits for what other processes or loops bring about. @throws Error that names it, when the bound passes in vain. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, boundMs = 8_000): Promise<void> {
  const endMs = performance.now() + boundMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`waited ${boundMs} ms in vain: ${what}`);
    await delay(LOOK_EVERY_MS);
  }
}
