/**
 * Which signed tasks this machine has started, so that none can be had again by putting its file back.
 *
 * A task may be started more than once for good reasons: it is tried again, or was handed back. Then its epoch, which
 * grows with every claim, is higher than the last time. A task that was deleted and put back begins at one again. Once its
 * result was accepted nothing starts it any more, whatever its state says.
 *
 * Invariants
 * - A start is on the disk before it is granted.
 * - An entry goes when its signature has expired: from then on the date alone keeps the task out.
 * - Full means no: what was forgotten could be run again.
 *
 * The file has one entry a line, appended; what a crash cuts off at its end was never granted.
 */
import { appendFile, open } from 'node:fs/promises';
import { z } from 'zod';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { durably } from '../steps.ts';
import { readStateFile, StateFileError, writeStateFile } from './state-file.ts';

export interface NonceMemoryOptions {
  path: string;
  clock: Clock;
  emit: Emit;
  /** Each takes about 150 bytes of memory, and of the file. */
  maxEntries?: number;
}

export interface SignedStart {
  nonce: string;
  taskId: string;
  /** Of the claim under which it is started. */
  epoch: number;
  /** Wall clock. */
  expiresAtMs: number;
}

export type NonceVerdict = 'granted' | 'used' | 'full';

/** What the agent needs of it. */
export type SignedStarts = Pick<NonceMemory, 'take' | 'settle'>;

const MAX_ENTRIES = 500_000;
const MAX_FILE_BYTES = 256 * 1024 * 1024;
/** Rewritten when it has grown to so many times what is still needed. */
const GROWTH = 4;
const MIN_LINES_TO_REWRITE = 1_000;

/** What a later version adds is no damage: the start that it tells of was one. */
const lineSchema = z.object({
  nonce: z.string(),
  task: z.string(),
  epoch: z.int().min(0),
  expires: z.number(),
  settled: z.literal(true).optional(),
});

interface Entry {
  taskId: string;
  epoch: number;
  expiresAtMs: number;
  settled: boolean;
}

export class NonceMemory {
  readonly #options: NonceMemoryOptions;
  readonly #entries = new Map<string, Entry>();
  /** Of the tasks whose results are not accepted yet. */
  readonly #openNonces = new Map<string, Set<string>>();
  #lines = 0;
  /** A write failed, so the file may end in the middle of a line. */
  #isTorn = false;
  #waiting: string[] = [];
  #writing: Promise<void> = Promise.resolve();
  #nextWrite: Promise<void> | null = null;

  private constructor(options: NonceMemoryOptions) {
    this.#options = options;
  }

  /** @throws StateFileError when the file is there and cannot be read, or cannot be written anew. */
  static async open(options: NonceMemoryOptions): Promise<NonceMemory> {
    const memory = new NonceMemory(options);
    const found = await readStateFile(options.path, MAX_FILE_BYTES);
    if (!found) {
      await memory.#rewrite();
      return memory;
    }
    if (!found.bytes)
      throw new StateFileError('unreadable', options.path, new Error(`it is larger than ${MAX_FILE_BYTES} bytes`));
    const lines = Buffer.from(found.bytes).toString('utf8').split('\n');
    // What follows the last line end was being written when the process died.
    lines.pop();
    let unreadable = 0;
    for (const line of lines) if (!memory.#load(line)) unreadable += 1;
    if (unreadable > 0) options.emit('signing.memory-damaged', { path: options.path, entries: unreadable });
    await memory.#rewrite();
    return memory;
  }

  /** @throws StateFileError when it cannot be written; nothing is granted then. */
  async take(start: SignedStart): Promise<NonceVerdict> {
    const { nonce, taskId, epoch, expiresAtMs } = start;
    const before = this.#entries.get(nonce);
    if (before && (before.settled || before.taskId !== taskId || before.epoch >= epoch)) return 'used';
    if (!before && this.#entries.size >= (this.#options.maxEntries ?? MAX_ENTRIES)) {
      this.#forgetExpired();
      if (this.#entries.size >= (this.#options.maxEntries ?? MAX_ENTRIES)) return 'full';
    }
    // Before the first await, so that two calls cannot both be granted.
    this.#set(nonce, { taskId, epoch, expiresAtMs, settled: false });
    try {
      await this.#append(nonce);
    } catch (error) {
      if (before) this.#set(nonce, before);
      else this.#drop(nonce);
      throw error;
    }
    return 'granted';
  }

  /** The result of this task was accepted. Best effort: without the word on the disk the epoch still protects it. */
  async settle(taskId: string): Promise<void> {
    // A copy: what is settled leaves the set.
    const nonces = [...(this.#openNonces.get(taskId) ?? [])];
    for (const nonce of nonces) {
      const entry = this.#entries.get(nonce);
      if (entry) this.#set(nonce, { ...entry, settled: true });
    }
    try {
      await Promise.all(nonces.map((nonce) => this.#append(nonce)));
    } catch (error) {
      this.#options.emit('signing.memory-unwritable', { task: taskId, err: error });
    }
  }

  #load(line: string): boolean {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return false;
    }
    const parsed = lineSchema.safeParse(value);
    if (!parsed.success) return false;
    const { nonce, task, epoch, expires, settled } = parsed.data;
    if (expires > this.#options.clock.wallMs()) {
      this.#set(nonce, { taskId: task, epoch, expiresAtMs: expires, settled: settled === true });
    }
    return true;
  }

  #set(nonce: string, entry: Entry): void {
    this.#entries.set(nonce, entry);
    const open = this.#openNonces.get(entry.taskId) ?? new Set();
    if (entry.settled) open.delete(nonce);
    else open.add(nonce);
    if (open.size > 0) this.#openNonces.set(entry.taskId, open);
    else this.#openNonces.delete(entry.taskId);
  }

  #drop(nonce: string): void {
    const entry = this.#entries.get(nonce);
    if (entry) this.#set(nonce, { ...entry, settled: true });
    this.#entries.delete(nonce);
  }

  #forgetExpired(): void {
    const now = this.#options.clock.wallMs();
    for (const [nonce, { expiresAtMs }] of this.#entries) if (expiresAtMs <= now) this.#drop(nonce);
  }

  #lineOf(nonce: string): string {
    const entry = this.#entries.get(nonce);
    if (!entry) return '';
    const { taskId, epoch, expiresAtMs, settled } = entry;
    return `${JSON.stringify({ nonce, task: taskId, epoch, expires: expiresAtMs, ...(settled ? { settled } : {}) })}\n`;
  }

  /** One write at a time; what comes meanwhile goes together into the next. */
  #append(nonce: string): Promise<void> {
    this.#waiting.push(this.#lineOf(nonce));
    this.#nextWrite ??= this.#writing
      .catch(() => undefined)
      .then(() => {
        const lines = this.#waiting;
        this.#waiting = [];
        this.#nextWrite = null;
        this.#writing = this.#write(lines);
        return this.#writing;
      });
    return this.#nextWrite;
  }

  async #write(lines: readonly string[]): Promise<void> {
    const { path } = this.#options;
    if (this.#isTorn || this.#lines + lines.length > Math.max(MIN_LINES_TO_REWRITE, GROWTH * this.#entries.size)) {
      this.#forgetExpired();
      return this.#rewrite();
    }
    await durably(this.#options, 'signed-start.save', { entries: lines.length }, async () => {
      try {
        await appendFile(path, lines.join(''), { mode: 0o600 });
        const file = await open(path, 'r');
        try {
          await file.datasync();
        } finally {
          await file.close();
        }
      } catch (error) {
        this.#isTorn = true;
        throw new StateFileError('unwritable', path, error);
      }
    });
    this.#lines += lines.length;
  }

  async #rewrite(): Promise<void> {
    const { path } = this.#options;
    const lines = [...this.#entries.keys()].map((nonce) => this.#lineOf(nonce));
    await durably(this.#options, 'signed-start.save', { entries: lines.length }, () =>
      writeStateFile(path, lines.join('')),
    );
    this.#lines = lines.length;
    this.#isTorn = false;
  }
}
