/**
 * What stands in the queue, sorted out by name: task files, second ones of the same id, and what can never become a task.
 * Lists of what is wrong are bounded: somebody may have made a million of it.
 */
import type { TreeEntry } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import { isTaskId, type TaskId } from '../task/id.ts';
import { SIGNATURE_SUFFIX } from './names.ts';

/** Of each kind. The rest is counted. */
const MAX_NAMED = 1_000;
const SUFFIX = '.json';

export interface QueueFile {
  taskId: TaskId;
  path: string;
  blob: Oid;
  /** Anything but a regular file (a link, a submodule) is an invalid task. */
  regular: boolean;
  /** The file beside it that has its signature; null when there is none. */
  signature: Oid | null;
}

export class FoundFiles {
  readonly files = new Map<TaskId, QueueFile>();
  readonly illegalPaths: string[] = [];
  moreIllegalPaths = 0;
  readonly unreadable: { path: string; problem: string }[] = [];
  leftOut: string | null = null;
  readonly duplicates = new Map<TaskId, QueueFile[]>();
  /** By the path of what they sign. */
  readonly #signatures = new Map<string, Oid>();

  /** In whatever order. Nothing counts before `close`. */
  add(path: string, { mode, name, oid }: TreeEntry): void {
    if (name.endsWith(SUFFIX + SIGNATURE_SUFFIX) && isRegular(mode)) {
      this.#signatures.set(path.slice(0, -SIGNATURE_SUFFIX.length), oid);
      return;
    }
    const id = name.endsWith(SUFFIX) ? idOf(name) : '';
    if (isTaskId(id)) this.#task({ taskId: id, path, blob: oid, regular: isRegular(mode), signature: null });
    // Files like .gitkeep and README.md keep the directory alive and are no tasks.
    else if (name.endsWith(SUFFIX) || !(name.startsWith('.') || name === 'README.md')) this.illegal(path);
  }

  #task(file: QueueFile): void {
    const first = this.files.get(file.taskId);
    if (!first || file.path < first.path) this.files.set(file.taskId, file);
    if (!first) return;
    const other = file.path < first.path ? first : file;
    const others = this.duplicates.get(file.taskId);
    if (others) others.push(other);
    else this.duplicates.set(file.taskId, [other]);
  }

  /** Everything has been added. */
  close(): void {
    for (const files of this.duplicates.values()) files.sort((a, b) => (a.path < b.path ? -1 : 1));
    // A signature stands behind its file in the tree, so the files come first.
    if (this.#signatures.size > 0) {
      for (const [id, file] of this.files) this.files.set(id, this.#signed(file));
      for (const [id, files] of this.duplicates)
        this.duplicates.set(
          id,
          files.map((file) => this.#signed(file)),
        );
    }
    for (const path of this.#signatures.keys()) this.illegal(`${path}${SIGNATURE_SUFFIX}`);
    this.#signatures.clear();
  }

  #signed(file: QueueFile): QueueFile {
    const signature = this.#signatures.get(file.path);
    if (signature === undefined) return file;
    this.#signatures.delete(file.path);
    return { ...file, signature };
  }

  illegal(path: string): void {
    if (this.illegalPaths.length < MAX_NAMED) this.illegalPaths.push(path);
    else this.moreIllegalPaths += 1;
  }

  refuse(path: string, problem: string): void {
    if (this.unreadable.length < MAX_NAMED) this.unreadable.push({ path, problem });
  }
}

function isRegular(mode: string): boolean {
  return mode.startsWith('100');
}

function idOf(name: string): string {
  return name.slice(0, -SUFFIX.length);
}

/** Only of what a path can be made with: no name that leads elsewhere, or is another one than it seems. */
export function isLegalDirectory(name: string): boolean {
  // oxlint-disable-next-line no-control-regex -- they are what is refused
  return !/^\.{0,2}$|^\.git$|[\u0000-\u001f\u007f/\\\ufffd]/i.test(name);
}
