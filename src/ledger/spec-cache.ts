/**
 * Task files of the queue, read and checked once for each blob. Of a legal one only what decides about its turn is kept in
 * pieces, and the rest as the text that it was: with a hundred thousand of them everything else would be too large.
 */
import type { Repository } from '../git/repository.ts';
import type { TaskId } from '../task/id.ts';
import { type BadTask, type ParsedTask, parseTaskFile, type TaskLimits } from '../task/spec.ts';
import type { Priority } from '../task/task-schema.ts';
import type { QueueFile } from './found-files.ts';
import type { QueueIndex } from './queue-index.ts';

/** Blobs read with one call. */
const READ_BATCH = 10_000;
const MAX_BRIEFS = 4_000;

/** What decides whether, and when, a task's turn comes. */
export interface LegalBrief {
  ok: true;
  priority: Priority;
  requires: readonly string[];
  /** null: it names none. */
  memoryBytes: number | null;
  image: string | null;
}

export type TaskBrief = LegalBrief | { ok: false };

type Kept = { blob: string; brief: TaskBrief } & ({ text: string } | { problem: BadTask });

export class SpecCache {
  readonly #repository: Repository;
  readonly #limits: TaskLimits;
  /** By task: the name of the file is part of what is checked, and there is one file for each. */
  readonly #kept = new Map<TaskId, Kept>();
  /** The queue that was read last: the same one again has nothing new. */
  #read: QueueIndex | null = null;
  #complete = false;
  #hasUnknownFields = false;
  readonly #briefs = new Map<string, LegalBrief>();

  constructor(repository: Repository, limits: TaskLimits) {
    this.#repository = repository;
    this.#limits = limits;
  }

  /** Reads what is new in the queue, forgets what has left it. @throws GitError */
  async update(queue: QueueIndex): Promise<void> {
    if (queue === this.#read && this.#complete) return;
    const kept = this.#kept;
    const unread: QueueFile[] = [];
    // In its place: a second map of a long queue would be most of what a look leaves behind.
    for (const id of kept.keys()) if (!queue.files.has(id)) kept.delete(id);
    for (const file of queue.files.values()) {
      if (kept.get(file.taskId)?.blob === file.blob) continue;
      kept.delete(file.taskId);
      if (file.regular) unread.push(file);
      else kept.set(file.taskId, invalid(file, 'the task file is a link or a submodule; it must be a regular file'));
    }
    const { maxTaskBytes } = this.#limits;
    for (let at = 0; at < unread.length; at += READ_BATCH) {
      const batch = unread.slice(at, at + READ_BATCH);
      const blobs = await this.#repository.readBlobs(
        batch.map(({ blob }) => blob),
        maxTaskBytes,
      );
      for (const file of batch) {
        const found = blobs.get(file.blob);
        if (found?.kind === 'content') kept.set(file.taskId, this.#keep(file, found.content));
        else if (found) {
          const message = `the file has ${found.bytes} bytes; at most ${maxTaskBytes} are allowed (MAX_TASK_BYTES)`;
          kept.set(file.taskId, invalid(file, message));
        }
        // Not there at all: the next refresh tries again.
      }
    }
    this.#read = queue;
    this.#hasUnknownFields = [...kept.values()].some((one) => 'problem' in one && one.problem.unknownFields);
    this.#complete = kept.size === queue.files.size;
  }

  /** Whether the queue has files that a newer version may take for tasks. */
  get hasUnknownFields(): boolean {
    return this.#hasUnknownFields;
  }

  /** null when it could not be read yet. */
  brief(file: QueueFile): TaskBrief | null {
    const kept = this.#kept.get(file.taskId);
    return kept?.blob === file.blob ? kept.brief : null;
  }

  /** null when it could not be read yet. */
  get(file: QueueFile): ParsedTask | null {
    const kept = this.#kept.get(file.taskId);
    if (kept?.blob !== file.blob) return null;
    return 'text' in kept ? parseTaskFile(Buffer.from(kept.text, 'utf8'), file.taskId, this.#limits) : kept.problem;
  }

  #keep(file: QueueFile, content: Buffer): Kept {
    const parsed = parseTaskFile(content, file.taskId, this.#limits);
    if (!parsed.ok) return { blob: file.blob, brief: { ok: false }, problem: parsed };
    const { image, priority, requires, memoryBytes } = parsed.spec;
    const brief = this.#same({ ok: true, priority, requires, memoryBytes, image });
    return { blob: file.blob, brief, text: content.toString('utf8') };
  }

  /** One object for all tasks that ask for the same. */
  #same(brief: LegalBrief): LegalBrief {
    const key = JSON.stringify(brief);
    const known = this.#briefs.get(key);
    if (known) return known;
    // What nobody asks for any more is not worth more than this.
    if (this.#briefs.size > MAX_BRIEFS) this.#briefs.clear();
    this.#briefs.set(key, brief);
    return brief;
  }
}

function invalid(file: QueueFile, problem: string): Kept {
  return { blob: file.blob, brief: { ok: false }, problem: { ok: false, problems: [problem], raw: null } };
}
