/**
 * What stands in the queue, sorted out by name: task files, second ones of the same id, and what can never become a task.
 * Lists of what is wrong are bounded: somebody may have made a million of it.
 */
import { MODE_TREE, type TreeEntry } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import { isTaskId, type TaskId, taskId } from '../task/id.ts';

/** Of each kind. The rest is counted. */
const MAX_NAMED = 1_000;
const SUFFIX = '.json';

export interface QueueFile {
  taskId: TaskId;
  path: string;
  blob: Oid;
  /** Anything but a regular file (a link, a submodule) is an invalid task. */
  regular: boolean;
}

export class FoundFiles {
  readonly files = new Map<TaskId, QueueFile>();
  readonly illegalPaths: string[] = [];
  moreIllegalPaths = 0;
  readonly unreadable: { path: string; problem: string }[] = [];
  leftOut: string | null = null;
  readonly duplicates = new Map<TaskId, QueueFile[]>();

  /** To be called in the order of the paths. */
  add(path: string, entry: TreeEntry): void {
    const id = taskId(idOf(entry.name));
    const file: QueueFile = { taskId: id, path, blob: entry.oid, regular: entry.mode.startsWith('100') };
    const others = this.duplicates.get(id);
    if (!this.files.has(id)) this.files.set(id, file);
    else if (others) others.push(file);
    else this.duplicates.set(id, [file]);
  }

  illegal(path: string): void {
    if (this.illegalPaths.length < MAX_NAMED) this.illegalPaths.push(path);
    else this.moreIllegalPaths += 1;
  }

  refuse(path: string, problem: string): void {
    if (this.unreadable.length < MAX_NAMED) this.unreadable.push({ path, problem });
  }
}

/** A directory of the queue without what does not matter: of rubbish there may be more than belongs into memory. */
export class QueueDirectory {
  readonly tasks: TreeEntry[] = [];
  readonly directories: TreeEntry[] = [];
  readonly illegalNames: string[] = [];
  moreIllegalNames = 0;
  entries = 0;

  /** @throws RangeError when they are none. */
  constructor(entries: Iterable<TreeEntry>) {
    for (const entry of entries) {
      this.entries += 1;
      const { mode, name } = entry;
      if (mode === MODE_TREE) {
        if (isLegalDirectory(name)) this.directories.push(entry);
        else this.#illegal(name);
      } else if (name.endsWith(SUFFIX)) {
        if (isTaskId(idOf(name))) this.tasks.push(entry);
        else this.#illegal(name);
        // Files like .gitkeep and README.md keep the directory alive and are no tasks.
      } else if (!name.startsWith('.') && name !== 'README.md') this.#illegal(name);
    }
  }

  #illegal(name: string): void {
    if (this.illegalNames.length < MAX_NAMED) this.illegalNames.push(name);
    else this.moreIllegalNames += 1;
  }
}

function idOf(name: string): string {
  return name.slice(0, -SUFFIX.length);
}

/** Only of what a path can be made with: no name that leads elsewhere, or is another one than it seems. */
function isLegalDirectory(name: string): boolean {
  // oxlint-disable-next-line no-control-regex -- they are what is refused
  return !/^\.{0,2}$|^\.git$|[\u0000-\u001f\u007f/\\\ufffd]/i.test(name);
}
