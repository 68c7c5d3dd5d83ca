/** The refs of a repository as they were: what a cache in front of a Git server, or a replica behind it, may still show. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { git } from './git.ts';
import type { Ago } from './misbehaviour.ts';

/** Older states are forgotten. */
const MAX_KEPT = 200;

interface Snapshot {
  atMs: number;
  /** As the file `packed-refs` has them. */
  refs: string;
  head: string;
}

export class RefPast {
  readonly #repository: string;
  readonly #snapshots: Snapshot[] = [];

  /** @param repository path of a bare repository. */
  constructor(repository: string) {
    this.#repository = repository;
  }

  /** Keeps the refs as they are now. Call it after each change. */
  async remember(): Promise<void> {
    const [refs, head] = await Promise.all([
      git(this.#repository, ['for-each-ref', '--sort=refname', '--format=%(objectname) %(refname)']),
      git(this.#repository, ['symbolic-ref', 'HEAD']),
    ]);
    if (refs === this.#snapshots.at(-1)?.refs) return;
    this.#snapshots.push({ atMs: performance.now(), refs, head });
    if (this.#snapshots.length > MAX_KEPT) this.#snapshots.shift();
  }

  /**
   * Lends a repository with the refs of then and the objects of now. The oldest that is known, if that is not old enough.
   */
  async lend<T>(ago: Ago, use: (path: string) => Promise<T>): Promise<T> {
    const found =
      'pushes' in ago
        ? this.#snapshots.at(-1 - ago.pushes)
        : this.#snapshots.findLast(({ atMs }) => atMs <= performance.now() - ago.ms);
    const { head, refs } = found ?? this.#snapshots[0] ?? { head: 'refs/heads/main', refs: '' };
    const path = mkdtempSync(`${this.#repository.replace(/\.git$/, '')}-past-`);
    try {
      mkdirSync(join(path, 'refs'));
      mkdirSync(join(path, 'objects/info'), { recursive: true });
      writeFileSync(join(path, 'objects/info/alternates'), `${join(this.#repository, 'objects')}\n`);
      writeFileSync(join(path, 'HEAD'), `ref: ${head}\n`);
      writeFileSync(join(path, 'packed-refs'), `# pack-refs with: sorted \n${refs === '' ? '' : `${refs}\n`}`);
      writeFileSync(join(path, 'config'), '[core]\nbare = true\n[http]\nreceivepack = true\n');
      return await use(path);
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  }
}
