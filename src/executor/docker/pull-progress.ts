/** Reads the engine's report on a pull or an import: a JSON document a line, an error among them instead of a status. */
import type { Readable } from 'node:stream';
import type { Emit } from '../../observe/events.ts';
import type { Clock } from '../../runtime.ts';
import { ExecutorError } from '../executor.ts';
import { tellsOfDiskTrouble } from './verdict.ts';

const TELL_EVERY_MS = 10_000;
const MAX_LAYERS = 1_000;
const MAX_LINE_CHARACTERS = 1024 * 1024;

interface ProgressLine {
  id?: string;
  status?: string;
  error?: string;
  progressDetail?: { current?: number; total?: number };
}

/** The engine counts down aloud while it waits to ask the registry again, which is no progress. */
const WAITING = /^Retrying in/;
const DIGEST = /^Digest: (sha256:[0-9a-f]{64})$/;

/**
 * @param onProgress called with each line that tells of any.
 * @returns the digest that the registry gave; null where there was none.
 * @throws ExecutorError: `image-unavailable` (`engine-full` where its disk is to blame) with the engine's words when it gives up, `engine-unavailable` when the report
 * breaks off.
 */
export async function followPull(
  stream: Readable,
  image: string,
  clock: Clock,
  emit: Emit,
  onProgress: () => void = () => {},
): Promise<string | null> {
  let digest: string | null = null;
  const layers = new Map<string, { done: boolean; currentBytes: number; totalBytes: number }>();
  let toldAtMs = clock.monotonicMs();
  const take = (line: ProgressLine) => {
    if (line.error) {
      throw new ExecutorError(tellsOfDiskTrouble(line.error) ? 'engine-full' : 'image-unavailable', line.error);
    }
    if (!WAITING.test(line.status ?? '')) onProgress();
    digest = DIGEST.exec(line.status ?? '')?.[1] ?? digest;
    if (line.id === undefined || (layers.size >= MAX_LAYERS && !layers.has(line.id))) return;
    const layer = layers.get(line.id) ?? { done: false, currentBytes: 0, totalBytes: 0 };
    if (line.status === 'Downloading') {
      layer.currentBytes = line.progressDetail?.current ?? layer.currentBytes;
      layer.totalBytes = line.progressDetail?.total ?? layer.totalBytes;
    }
    if (line.status === 'Download complete' || line.status === 'Pull complete') layer.currentBytes = layer.totalBytes;
    if (line.status === 'Pull complete' || line.status === 'Already exists') layer.done = true;
    layers.set(line.id, layer);
    if (clock.monotonicMs() - toldAtMs < TELL_EVERY_MS) return;
    toldAtMs = clock.monotonicMs();
    const all = [...layers.values()];
    emit('image.progress', {
      image,
      layers_done: all.filter((entry) => entry.done).length,
      layers_seen: all.length,
      bytes_done: all.reduce((sum, entry) => sum + entry.currentBytes, 0),
      bytes_known: all.reduce((sum, entry) => sum + entry.totalBytes, 0),
    });
  };
  try {
    let rest = '';
    for await (const chunk of stream) {
      const lines = (rest + (chunk as Buffer).toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE_CHARACTERS) throw new Error('the engine sent a line without an end');
      for (const line of lines) if (line.trim() !== '') take(JSON.parse(line) as ProgressLine);
    }
    if (rest.trim() !== '') take(JSON.parse(rest) as ProgressLine);
    return digest;
  } catch (cause) {
    if (cause instanceof ExecutorError) throw cause;
    throw new ExecutorError('engine-unavailable', `the engine's report on ${image} broke off`, { cause });
  }
}
