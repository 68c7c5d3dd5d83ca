/** What containers could leave on this machine, by kind, so that before and after can be held against each other. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PrivateEngine } from '../engine.ts';

export type Traces = Readonly<Record<string, readonly string[]>>;

/** Everything of `engine` that is one for each container, or that a container may have made. */
export async function tracesOf(engine: PrivateEngine): Promise<Traces> {
  const named = async (path: string, pick: (body: never) => unknown): Promise<string[]> =>
    ((pick((await engine.api<never>('GET', path)).body) ?? []) as { Id?: string; Name?: string }[]).map((entry) =>
      String(entry.Name ?? entry.Id),
    );
  return {
    containers: await named('/containers/json?all=true', (body) => body),
    networks: await named('/networks', (body) => body),
    volumes: await named('/volumes', (body) => (body as { Volumes: unknown }).Volumes),
    'files of containers': namesIn(join(engine.dataRoot, 'containers')),
    // Network namespaces are among them: the engine keeps the names of those that are gone for a minute, but no mount.
    mounts: mountsBelow(engine.directory),
    cgroups: await engine.cgroupsOfContainers(),
    'processes and memory': await engine.remains(),
    'System V memory': readFileSync('/proc/sysvipc/shm', 'utf8').trim().split('\n').slice(1),
    'files of the machine': ['/tmp', '/var/tmp', '/dev/shm', '/run', '/'].flatMap((directory) =>
      namesIn(directory)
        .filter((name) => name.includes('abuse-'))
        .map((name) => join(directory, name)),
    ),
  };
}

/** What is there now, and was not before. */
export function added(before: Traces, after: Traces): string[] {
  return Object.entries(after).flatMap(([kind, names]) =>
    names.filter((name) => !before[kind]?.includes(name)).map((name) => `${kind}: ${name}`),
  );
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function mountsBelow(directory: string): string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return lines.map((line) => line.split(' ')[1] ?? '').filter((path) => path.startsWith(`${directory}/`));
}
