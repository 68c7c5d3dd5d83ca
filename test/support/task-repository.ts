/** A task repository seen from outside: queued and read with the real git, next to the code under test. */
import type { ResultRecord } from '../../src/task/result.ts';
import { commitFiles, git } from './git.ts';

export class TaskRepository {
  readonly path: string;
  readonly ref: string;

  /** @param path of the bare repository on disk, also when workers reach it over HTTP. */
  constructor(path: string, ref = 'refs/heads/main') {
    this.path = path;
    this.ref = ref;
  }

  queue(tasks: Readonly<Record<string, object>>): Promise<string> {
    const files = Object.entries(tasks).map(([id, task]) => [
      `tasks/queue/${id}.json`,
      `${JSON.stringify({ task_id: id, ...task })}\n`,
    ]);
    return this.commit(Object.fromEntries(files), 'queue');
  }

  commit(files: Readonly<Record<string, string | Buffer | null>>, message = 'change'): Promise<string> {
    return commitFiles(this.path, files, { ref: this.ref, message });
  }

  async files(): Promise<string[]> {
    const out = await git(this.path, ['ls-tree', '-r', '-z', '--name-only', this.ref]).catch(() => '');
    return out.split('\0').filter((path) => path !== '');
  }

  async queued(): Promise<string[]> {
    return (await this.files()).filter((path) => path.startsWith('tasks/queue/') && path.endsWith('.json'));
  }

  async record(id: string): Promise<ResultRecord | null> {
    for (const dir of ['completed', 'failed']) {
      const text = await git(this.path, ['show', `${this.ref}:tasks/${dir}/${id}.json`]).catch(() => null);
      if (text !== null) return JSON.parse(text) as ResultRecord;
    }
    return null;
  }

  async refs(prefix: string): Promise<string[]> {
    const out = await git(this.path, ['for-each-ref', '--format=%(refname)', prefix]);
    return out.split('\n').filter((ref) => ref !== '');
  }

  async subjects(): Promise<string[]> {
    return (await git(this.path, ['log', '--format=%s', this.ref])).split('\n');
  }
}
