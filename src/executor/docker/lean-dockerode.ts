/**
 * Loads dockerode without what it brings along and nobody here uses: build sessions (gRPC and protobuf) and its own ssh
 * client, which make up most of its memory. They are replaced before it is loaded by parts that say so if they are called.
 *
 * Where dockerode keeps them may change with a new version: then it is loaded as it is, which only costs memory. A test
 * notices that.
 */
import { createRequire } from 'node:module';
import type Docker from 'dockerode';

const load = createRequire(import.meta.url);

/** By the package that asks for them, as it asks for them. A single-file executable leaves them out when it is made. */
export const UNUSED_PARTS = {
  dockerode: ['./session', './buildkit'],
  'docker-modem': ['./ssh'],
} as const;

/** dockerode's class. Loaded at the first call. */
export function loadDockerode(): typeof Docker {
  for (const [name, parts] of Object.entries(UNUSED_PARTS)) {
    const within = createRequire(load.resolve(name));
    for (const part of parts) replace(within, part);
  }
  return load('dockerode') as typeof Docker;
}

function replace(within: NodeJS.Require, part: string): void {
  let path: string;
  try {
    path = within.resolve(part);
  } catch {
    return;
  }
  if (load.cache[path]) return;
  const replacement = (): never => {
    throw new Error(`${part} of dockerode was left out`);
  };
  load.cache[path] = { id: path, filename: path, loaded: true, exports: replacement } as unknown as NodeJS.Module;
}
