/**
 * Repositories with directories of up to a million files. `git fast-import` searches a directory from its beginning for
 * each file that it is told of; here it is given whole directories instead, which `git mktree` makes of lists.
 */
import { createHash } from 'node:crypto';
import { git } from '../../test/support/git.ts';
import { commit, fastImport, idsOf, recordText, taskText } from './fixtures.ts';

/** The past comes in so many commits: each holds a directory with all files up to then. */
const RECORD_COMMITS = 10;

export interface LargeHistory {
  results: number;
  queued: number;
}

/** Into an empty bare repository. @throws Error of git */
export async function makeLarge(repository: string, { queued, results }: LargeHistory): Promise<void> {
  const records = await writeFiles(repository, idsOf(results, 'task'), recordText);
  const waiting = await writeFiles(repository, idsOf(queued, 'waiting'), (id) => taskText(id));
  const stream: string[] = [];
  for (let number = 1; number <= RECORD_COMMITS; number += 1) {
    const upTo = Math.round((number * results) / RECORD_COMMITS);
    stream.push(commit(number, `Record results up to ${upTo}`));
    stream.push(directory('tasks/completed', await writeTree(repository, records.slice(0, upTo))));
  }
  stream.push(commit(RECORD_COMMITS + 1, `Queue ${queued} tasks`));
  stream.push(directory('tasks/queue', await writeTree(repository, waiting)));
  await fastImport(repository, stream);
  // What is not in a pack yet: the directories.
  await git(repository, ['repack', '-d', '--quiet']);
}

/** Answers their lines in a directory, in its order. */
async function writeFiles(
  repository: string,
  ids: readonly string[],
  textOf: (id: string, number: number) => string,
): Promise<string[]> {
  const lines: string[] = [];
  const blobs = function* (): Iterable<string> {
    for (const [number, id] of ids.entries()) {
      const text = textOf(id, number);
      const oid = createHash('sha1').update(`blob ${text.length}\0${text}`).digest('hex');
      lines.push(`100644 blob ${oid}\t${id}.json`);
      yield `blob\ndata ${text.length}\n${text}\n`;
    }
  };
  await fastImport(repository, blobs());
  return lines;
}

function writeTree(repository: string, lines: readonly string[]): Promise<string> {
  return git(repository, ['mktree', '--missing'], { input: `${lines.join('\n')}\n` });
}

function directory(path: string, tree: string): string {
  return `M 040000 ${tree} ${path}\n`;
}
