/**
 * What the process says of itself, read at a scrape. The library's own collectors would watch each collection of garbage and
 * wake the process a hundred times a second to measure its delays, which a small machine has better uses for.
 */
import { readdir } from 'node:fs/promises';
import type { Samples } from './gauges.ts';

const OWN_FILES = '/proc/self/fd';

export async function processFigures(startedAtSeconds: number): Promise<Samples> {
  const { user, system } = process.cpuUsage();
  const memory = process.memoryUsage();
  // One of them is the directory that is being read.
  const files = await readdir(OWN_FILES).then(
    ({ length }) => length - 1,
    () => null,
  );
  const one = (value: number): { labels: Record<string, string>; value: number }[] => [{ labels: {}, value }];
  return new Map([
    ['process_cpu_seconds_total', one((user + system) / 1e6)],
    ['process_resident_memory_bytes', one(memory.rss)],
    ['process_start_time_seconds', one(startedAtSeconds)],
    ['nodejs_heap_size_used_bytes', one(memory.heapUsed)],
    ['nodejs_heap_size_total_bytes', one(memory.heapTotal)],
    ['nodejs_external_memory_bytes', one(memory.external)],
    ...(files === null ? [] : ([['process_open_fds', one(files)]] as const)),
  ] as const);
}
