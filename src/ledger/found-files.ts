/**
 * What stands in the queue, sorted out by name: task files, second ones of the same id, and what can never become a task.
 * Lists of what is wrong are bounded: somebody may have made a million of it.
 */
import type { TreeEntry } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import { isTaskId, type TaskId, taskId } from '../task/id.ts';
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

  /** Notes what can never be one, and what signs one. */
  mayBeTask(path: string, { mode, name, oid }: TreeEntry): boolean {
    if (name.endsWith(SUFFIX + SIGNATURE_SUFFIX) && isRegular(mode)) {
      this.#signatures.set(path.slice(0, -SIGNATURE_SUFFIX.length), oid);
      return false;
    }
    // Files like .gitkeep and README.md keep the directory alive and are no tasks.
    if (!name.endsWith(SUFFIX) && (name.startsWith('.') || name === 'README.md')) return false;
    const isLegal = name.endsWith(SUFFIX) && isTaskId(idOf(name));
    if (!isLegal) this.illegal(path);
    return isLegal;
  }

  /** To be called in the order of the paths. */
  add(path: string, entry: TreeEntry): void {
    const id = taskId(idOf(entry.name));
    const signature = this.#signatures.get(path) ?? null;
    this.#signatures.delete(path);
    const file: QueueFile = { taskId: id, path, blob: entry.oid, regular: isRegular(entry.mode), signature };
    const others = this.duplicates.get(id);
    if (!this.files.has(id)) this.files.set(id, file);
    else if (others) others.push(file);
    else this.duplicates.set(id, [file]);
  }

  /** Everything has been added: signatures of nothing are left. */
  close(): void {
    for (const path of this.#signatures.keys()) this.illegal(`${path}${SIGNATURE_SUFFIX}`);
    this.#signatures.clear();
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
