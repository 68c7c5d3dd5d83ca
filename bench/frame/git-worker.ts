/**
 * What a worker would do with the git command and one push for each step: claim, result, record, deletion. Only the pushes
 * are counted: the objects are made beforehand, and it takes one worker who never meets another.
 */
import { join } from 'node:path';
import { git } from '../../test/support/git.ts';
import { fastImport } from './fixtures.ts';

const IDENTITY = 'committer Bench <bench@example.org> 1700000000 +0000';
const BRANCH = 'refs/heads/main';

/** The branch of the server must have a commit. Answers the time of all pushes together, in milliseconds. */
export async function runTasksByGit(
  url: string,
  directory: string,
  ids: readonly string[],
  name: string,
): Promise<number> {
  const clone = join(directory, `${name}.git`);
  await git(directory, ['clone', '--quiet', '--bare', url, clone]);
  const tip = await git(clone, ['rev-parse', BRANCH]);
  await fastImport(clone, states(ids, tip));
  const startedMs = performance.now();
  for (const id of ids) {
    const ref = `refs/dgrid/tasks/${id}`;
    const push = (from: string, to: string, lease: string): Promise<string> =>
      git(clone, ['push', '--quiet', `--force-with-lease=${to}:${lease}`, url, `${from}:${to}`]);
    await push(`refs/made/claims/${id}`, ref, '');
    await push(`refs/made/results/${id}`, ref, `refs/made/claims/${id}`);
    await push(`refs/made/records/${id}`, BRANCH, `refs/made/records/${id}^`);
    await push('', ref, `refs/made/results/${id}`);
  }
  return performance.now() - startedMs;
}

function* states(ids: readonly string[], tip: string): Iterable<string> {
  let branch = tip;
  for (const [at, id] of ids.entries()) {
    const [claim, result, record] = [3 * at + 1, 3 * at + 2, 3 * at + 3];
    yield commit(`refs/made/claims/${id}`, claim, `Claim ${id}`);
    yield `${commit(`refs/made/results/${id}`, result, `Finish ${id}`)}from :${claim}\n${recordFile('record.json', id)}`;
    yield commit(`refs/made/records/${id}`, record, `Record ${id}`);
    yield `from ${branch}\n${recordFile(`tasks/completed/${id}.json`, id)}D tasks/queue/${id}.json\n`;
    branch = `:${record}`;
  }
}

function commit(ref: string, mark: number, message: string): string {
  return `commit ${ref}\nmark :${mark}\n${IDENTITY}\ndata ${message.length}\n${message}\n`;
}

function recordFile(path: string, id: string): string {
  const text = `${JSON.stringify({ task_id: id, status: 'success', exit_code: 0 })}\n`;
  return `M 100644 inline ${path}\ndata ${text.length}\n${text}\n`;
}
