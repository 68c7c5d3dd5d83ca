/**
 * How this program starts the other one. In a checkout and in a package both stand in `bin/`; a single-file executable
 * is both, by the name that it is called with.
 */
import { isSea } from 'node:sea';
import { fileURLToPath } from 'node:url';

const WORKER = 'dgrid-worker';

/** What `spawn` needs to start a program. */
export interface OwnProgram {
  path: string;
  /** The name under which the program sees itself. */
  argv0: string;
}

export function workerProgram(): OwnProgram {
  if (isSea()) return { path: process.execPath, argv0: WORKER };
  const path = fileURLToPath(new URL(`../../bin/${WORKER}`, import.meta.url));
  return { path, argv0: path };
}

/** @param name the last part of the path that a single-file executable was called by */
export function isWorkerName(name: string): boolean {
  return name === WORKER || name.startsWith(`${WORKER}-`);
}
