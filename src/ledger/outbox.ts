/**
 * Results that are made but not yet acknowledged by the repository: the one thing on this machine that must survive a
 * crash.
 *
 * An entry is the swap itself with its objects, so that after a crash the very same object is sent again and recognised
 * as ours if it had arrived after all.
 *
 * A file holds the entries that gathered while the one before it was written, one after the other: for each a line of JSON
 * (`EntryHeader`), then its objects' contents, which are checked against their ids when read. Written as temporary file,
 * fsync, rename, fsync of the directory; removed when all of its entries are. So many results at a time cost the disk as
 * little as one, and an entry that was settled may come back with its neighbours: sent again, it is found settled.
 */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { type GitObject, makeObject, type ObjectType } from '../git/objects.ts';
import { isOid, type ObjectFormat, type Oid, type RefName } from '../git/oid.ts';
import type { RefSwap } from '../git/repository.ts';
import { type DurableStep, durably, type StepParts } from '../steps.ts';
import { isTaskId, type TaskId } from '../task/id.ts';

const OUTBOX_FORMAT = 1;
/** Of one file. */
const MAX_BATCH_ENTRIES = 500;
const MAX_BATCH_BYTES = 32 * 1024 * 1024;

export interface OutboxEntry {
  taskId: TaskId;
  swap: RefSwap & { from: Oid; to: Oid };
  objects: readonly GitObject[];
}

class NewerFormatError extends Error {
  override readonly name = 'NewerFormatError';
  readonly format: number;
  constructor(format: number) {
    super(`format ${format} is newer than ${OUTBOX_FORMAT}`);
    this.format = format;
  }
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

interface Waiting {
  entry: OutboxEntry;
  bytes: Buffer;
  done: PromiseWithResolvers<void>;
}

interface BatchFile {
  path: string;
  /** Entries in it that are still needed, by the object that their swap brings. */
  open: Set<Oid>;
}

export class FileOutbox implements Outbox {
  readonly #dir: string;
  readonly #parts: StepParts;
  readonly #waiting: Waiting[] = [];
  readonly #files = new Map<Oid, BatchFile>();
  #writing = false;

  constructor(dir: string, parts: StepParts) {
    this.#dir = dir;
    this.#parts = parts;
  }

  async add(entry: OutboxEntry, format: ObjectFormat): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ entry, bytes: encodeEntry(entry, format), done });
    if (!this.#writing) void this.#writeAll();
    await done.promise;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    // Tasks that end at the same time belong into the same file, also into the first.
    await turn();
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      if (batch.length === 1 || !(await this.#tryWrite(batch))) for (const one of batch) await this.#writeAlone(one);
    }
    this.#writing = false;
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    const fits = (one: Waiting, at: number): boolean => {
      bytes += one.bytes.length;
      return at === 0 || (at < MAX_BATCH_ENTRIES && bytes <= MAX_BATCH_BYTES);
    };
    const end = this.#waiting.findIndex((one, at) => !fits(one, at));
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  /** @returns false when it failed: for one of them there may be room all the same. */
  async #tryWrite(batch: readonly Waiting[]): Promise<boolean> {
    try {
      await this.#write(batch);
    } catch {
      return false;
    }
    for (const { done } of batch) done.resolve();
    return true;
  }

  async #writeAlone(one: Waiting): Promise<void> {
    await this.#write([one]).then(one.done.resolve, one.done.reject);
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const [first] = batch as [Waiting];
    const path = join(this.#dir, `${first.entry.taskId}.${first.entry.swap.to}.result`);
    const temporary = `${path}.new`;
    const tasks = batch.map(({ entry }) => entry.taskId);
    const step = (name: DurableStep, action: () => Promise<void>): Promise<void> =>
      durably(this.#parts, name, { tasks }, action);
    try {
      await step('outbox.write', () => this.#writeFile(temporary, batch));
      await step('outbox.rename', () => rename(temporary, path));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await step('outbox.sync', () => syncDirectory(this.#dir));
    const file: BatchFile = { path, open: new Set(batch.map(({ entry }) => entry.swap.to)) };
    for (const to of file.open) this.#files.set(to, file);
  }

  async #writeFile(path: string, batch: readonly Waiting[]): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(Buffer.concat(batch.map(({ bytes }) => bytes)));
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async remove(entry: Pick<OutboxEntry, 'taskId' | 'swap'>): Promise<void> {
    const { to } = entry.swap;
    const file = this.#files.get(to);
    if (!file) return;
    if (file.open.size > 1 || !file.open.has(to)) {
      file.open.delete(to);
      this.#files.delete(to);
      return;
    }
    // The last one of its file, which stays in the book until the file is gone.
    await durably(this.#parts, 'outbox.remove', { task: entry.taskId }, () => rm(file.path, { force: true }));
    this.#files.delete(to);
  }

  /**
   * A damaged file is set aside and told, not thrown away; what stands before the damage counts. One of a newer format stays
   * under its name, for the version that wrote it.
   */
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
      const { found, error } = decodeEntries(await readFile(path));
      entries.push(...found);
      if (error instanceof NewerFormatError) {
        this.#parts.emit('outbox.newer-format', { path, format: error.format });
      } else if (error) {
        await durably(this.#parts, 'outbox.set-aside', { path }, () => rename(path, `${path}.damaged`));
        this.#parts.emit('outbox.damaged', { path: `${path}.damaged`, err: error });
      } else {
        const file: BatchFile = { path, open: new Set(found.map(({ swap }) => swap.to)) };
        for (const to of file.open) this.#files.set(to, file);
      }
    }
    return entries;
  }
}

/** What lies in an outbox, by the names of its files. */
export interface OutboxContents {
  /** Results that wait. */
  entries: number;
  damaged: string[];
  /** Damaged ones that a worker has set aside. */
  setAside: string[];
}

/** What `load` would find; changes nothing. @throws the file system's error */
export async function lookThroughOutbox(dir: string): Promise<OutboxContents> {
  const contents: OutboxContents = { entries: 0, damaged: [], setAside: [] };
  for (const name of await listOrNone(dir)) {
    if (name.endsWith('.damaged')) contents.setAside.push(name);
    if (!name.endsWith('.result')) continue;
    // It may have been published meanwhile.
    const bytes = await readFile(join(dir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (bytes === null) continue;
    const { found, error } = decodeEntries(bytes);
    contents.entries += found.length;
    if (error) contents.damaged.push(name);
  }
  return contents;
}

function encodeEntry(entry: OutboxEntry, format: ObjectFormat): Buffer {
  const header: EntryHeader = {
    format: OUTBOX_FORMAT,
    task_id: entry.taskId,
    ref: entry.swap.ref,
    from: entry.swap.from,
    to: entry.swap.to,
    object_format: format,
    objects: entry.objects.map(({ type, oid, content }) => ({ type, oid, bytes: content.length })),
  };
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...entry.objects.map(({ content }) => content)]);
}

function decodeEntries(bytes: Buffer): { found: OutboxEntry[]; error: Error | null } {
  const found: OutboxEntry[] = [];
  try {
    let at = 0;
    do {
      const { entry, next } = decodeEntry(bytes, at);
      found.push(entry);
      at = next;
    } while (at < bytes.length);
  } catch (error) {
    return { found, error: error as Error };
  }
  return { found, error: null };
}

function decodeEntry(bytes: Buffer, start: number): { entry: OutboxEntry; next: number } {
  const end = bytes.indexOf('\n', start);
  const header = JSON.parse(bytes.toString('utf8', start, Math.max(end, start))) as EntryHeader;
  if (header.format > OUTBOX_FORMAT) throw new NewerFormatError(header.format);
  if (header.format !== OUTBOX_FORMAT) throw new Error(`format ${header.format} is not known`);
  if (!isTaskId(header.task_id) || !isOid(header.from) || !isOid(header.to)) throw new Error('malformed header');
  let at = end + 1;
  const objects = header.objects.map(({ type, oid, bytes: length }) => {
    const object = makeObject(type, bytes.subarray(at, at + length), header.object_format);
    at += length;
    if (object.oid !== oid) throw new Error(`object ${oid} is damaged`);
    return object;
  });
  if (at > bytes.length) throw new Error('wrong length');
  const swap = { ref: header.ref as RefName, from: header.from, to: header.to };
  return { entry: { taskId: header.task_id, swap, objects }, next: at };
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
