/** Task files of the queue, read and checked once for each blob. */
import type { Repository } from '../git/repository.ts';
import { type ParsedTask, parseTaskFile, type TaskLimits } from '../task/spec.ts';
import type { QueueFile, QueueIndex } from './queue-index.ts';

/** Blobs read with one call. */
const READ_BATCH = 2_000;

export class SpecCache {
  readonly #repository: Repository;
  readonly #limits: TaskLimits;
  /** By blob and file name: the name is part of what is checked. */
  #parsed = new Map<string, ParsedTask>();

  constructor(repository: Repository, limits: TaskLimits) {
    this.#repository = repository;
    this.#limits = limits;
  }

  /** Reads what is new in the queue, forgets what has left it. @throws GitError */
  async update(queue: QueueIndex): Promise<void> {
    const parsed = new Map<string, ParsedTask>();
    const unread: QueueFile[] = [];
    for (const file of queue.files.values()) {
      const known = this.#parsed.get(keyOf(file));
      if (known) parsed.set(keyOf(file), known);
      else if (file.regular) unread.push(file);
      else parsed.set(keyOf(file), invalid('the task file is a link or a submodule; it must be a regular file'));
    }
    for (let at = 0; at < unread.length; at += READ_BATCH) {
      const batch = unread.slice(at, at + READ_BATCH);
      const { maxTaskBytes } = this.#limits;
      const blobs = await this.#repository.readBlobs(
        batch.map(({ blob }) => blob),
        maxTaskBytes,
      );
      for (const file of batch) {
        const found = blobs.get(file.blob);
        if (found?.kind === 'content') {
          parsed.set(keyOf(file), parseTaskFile(found.content, file.taskId, this.#limits));
        } else if (found) {
          const message = `the file has ${found.bytes} bytes; at most ${maxTaskBytes} are allowed (MAX_TASK_BYTES)`;
          parsed.set(keyOf(file), invalid(message));
        }
        // Not there at all: the next refresh tries again.
      }
    }
    this.#parsed = parsed;
  }

  /** null when it could not be read yet. */
  get(file: QueueFile): ParsedTask | null {
    return this.#parsed.get(keyOf(file)) ?? null;
  }
}

function keyOf(file: QueueFile): string {
  return `${file.blob} ${file.taskId}`;
}

function invalid(problem: string): ParsedTask {
  return { ok: false, problems: [problem], raw: null };
}
