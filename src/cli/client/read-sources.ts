/** Reading what `dgrid submit` is given: files, and standard input for `-`. */
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type InputProblem, MAX_TASKS_PER_SUBMIT, type TaskSource } from '../../client/task-input.ts';

/** Of one file, and of all together. */
const MAX_INPUT_BYTES = 256 * 1024 * 1024;
export const STANDARD_INPUT = 'standard input';

export interface ReadSources {
  sources: TaskSource[];
  problems: InputProblem[];
}

/** Reads all that can be read, and says what can't. */
export async function readSources(names: readonly string[], stdin: Readable): Promise<ReadSources> {
  const read: ReadSources = { sources: [], problems: [] };
  if (names.length > MAX_TASKS_PER_SUBMIT) {
    read.problems.push({ name: 'submit', message: `at most ${MAX_TASKS_PER_SUBMIT} files can be given` });
    return read;
  }
  let leftBytes = MAX_INPUT_BYTES;
  for (const name of new Set(names)) {
    const source = name === '-' ? STANDARD_INPUT : name;
    try {
      const bytes = name === '-' ? await readStream(stdin, leftBytes) : await readFile(name, leftBytes);
      leftBytes -= bytes.length;
      read.sources.push({ name: source, bytes });
    } catch (error) {
      read.problems.push({ name: source, message: messageOf(error) });
    }
  }
  return read;
}

async function readFile(path: string, maxBytes: number): Promise<Uint8Array> {
  const file = await open(path, 'r');
  // A stream, because a pipe or a device has no size that could be looked at first. It closes the file.
  return readStream(file.createReadStream(), maxBytes);
}

async function readStream(stream: Readable, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer | string>) {
    const buffer = Buffer.from(chunk as Buffer);
    bytes += buffer.length;
    if (bytes > maxBytes) {
      throw new RangeError(`is more than is read at once (${MAX_INPUT_BYTES / 1024 ** 2} MiB): submit in portions`);
    }
    chunks.push(buffer);
  }
  return Buffer.concat(chunks);
}

function messageOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'EISDIR') return 'is a directory: name the files in it';
  if (code === 'EACCES') return 'may not be read by this user';
  return message;
}
