/**
 * Results that are made but not yet acknowledged by the repository: the one thing on this machine that must survive a
 * crash.
 *
 * An entry is the swap itself with its objects, so that after a crash the very same object is sent again and recognised
 * as ours if it had arrived after all.
 *
 * Entry file: one line of JSON (`EntryHeader`), then the objects' contents one after the other. Every content is checked
 * against its object id when read. Written as temporary file, fsync, rename, fsync of the directory.
 */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type GitObject, makeObject, type ObjectType } from '../git/objects.ts';
import { isOid, type ObjectFormat, type Oid, type RefName } from '../git/oid.ts';
import type { RefSwap } from '../git/repository.ts';
import { type DurableStep, durably, type StepParts } from '../steps.ts';
import { isTaskId, type TaskId } from '../task/id.ts';

const OUTBOX_FORMAT = 1;

export interface OutboxEntry {
  taskId: TaskId;
  swap: RefSwap & { from: Oid; to: Oid };
  objects: readonly GitObject[];
}

interface EntryHeader {
  format: number;
  task_id: string;
  ref: string;
  from: string;
  to: string;
  object_format: ObjectFormat;
  objects: { type: ObjectType; oid: string; bytes: number }[];
}

/** Where results wait that are made and not yet acknowledged. What `add` has resolved for survives a crash. */
export interface Outbox {
  /** @throws the storage's error (disk full, read-only): then nothing is kept. */
  add(entry: OutboxEntry, format: ObjectFormat): Promise<void>;
  /** For what is acknowledged, or known to belong to another worker. */
  remove(entry: Pick<OutboxEntry, 'taskId' | 'swap'>): Promise<void>;
  /** What an earlier run left. */
  load(): Promise<OutboxEntry[]>;
}

export class FileOutbox implements Outbox {
  readonly #dir: string;
  readonly #parts: StepParts;

  constructor(dir: string, parts: StepParts) {
    this.#dir = dir;
    this.#parts = parts;
  }

  async add(entry: OutboxEntry, format: ObjectFormat): Promise<void> {
    const header: EntryHeader = {
      format: OUTBOX_FORMAT,
      task_id: entry.taskId,
      ref: entry.swap.ref,
      from: entry.swap.from,
      to: entry.swap.to,
      object_format: format,
      objects: entry.objects.map(({ type, oid, content }) => ({ type, oid, bytes: content.length })),
    };
    const path = this.#path(entry);
    const temporary = `${path}.new`;
    const step = (name: DurableStep, action: () => Promise<void>): Promise<void> =>
      durably(this.#parts, name, { task: entry.taskId }, action);
    try {
      await step('outbox.write', () => this.#write(temporary, header, entry));
      await step('outbox.rename', () => rename(temporary, path));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await step('outbox.sync', () => syncDirectory(this.#dir));
  }

  async #write(path: string, header: EntryHeader, entry: OutboxEntry): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(header)}\n`);
      for (const { content } of entry.objects) await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async remove(entry: Pick<OutboxEntry, 'taskId' | 'swap'>): Promise<void> {
    const task = { task: entry.taskId };
    await durably(this.#parts, 'outbox.remove', task, () => rm(this.#path(entry), { force: true }));
  }

  /** A damaged entry is set aside and told, not thrown away. */
  async load(): Promise<OutboxEntry[]> {
    const entries: OutboxEntry[] = [];
    for (const name of await listOrNone(this.#dir)) {
      const path = join(this.#dir, name);
      if (name.endsWith('.new')) {
        // Never renamed: the crash came before the result was safe, and its container is still there.
        await durably(this.#parts, 'outbox.discard', { path }, () => rm(path, { force: true }));
        continue;
      }
      if (!name.endsWith('.result')) continue;
      try {
        entries.push(decodeEntry(await readFile(path)));
      } catch (error) {
        await durably(this.#parts, 'outbox.set-aside', { path }, () => rename(path, `${path}.damaged`));
        this.#parts.emit('outbox.damaged', { path: `${path}.damaged`, err: error });
      }
    }
    return entries;
  }

  async count(): Promise<number> {
    return (await listOrNone(this.#dir)).filter((name) => name.endsWith('.result')).length;
  }

  #path(entry: Pick<OutboxEntry, 'taskId' | 'swap'>): string {
    return join(this.#dir, `${entry.taskId}.${entry.swap.to}.result`);
  }
}

function decodeEntry(bytes: Buffer): OutboxEntry {
  const end = bytes.indexOf('\n');
  const header = JSON.parse(bytes.toString('utf8', 0, Math.max(end, 0))) as EntryHeader;
  if (header.format !== OUTBOX_FORMAT) throw new Error(`format ${header.format} is not known`);
  if (!isTaskId(header.task_id) || !isOid(header.from) || !isOid(header.to)) throw new Error('malformed header');
  let at = end + 1;
  const objects = header.objects.map(({ type, oid, bytes: length }) => {
    const object = makeObject(type, bytes.subarray(at, at + length), header.object_format);
    at += length;
    if (object.oid !== oid) throw new Error(`object ${oid} is damaged`);
    return object;
  });
  if (at !== bytes.length) throw new Error('wrong length');
  return {
    taskId: header.task_id,
    swap: { ref: header.ref as RefName, from: header.from, to: header.to },
    objects,
  };
}

async function listOrNone(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
