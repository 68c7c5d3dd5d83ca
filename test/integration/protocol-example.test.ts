/** The worked example of docs/protocol.md: its commands are run, its answers are compared, its states are read. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decodeNodeState, decodeTaskState } from '../../src/ledger/state-codec.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import { parseResultRecord } from '../../src/task/result-schema.ts';
import { git } from '../support/git.ts';
import { MarkdownPage } from '../support/markdown.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';

const VARIABLES = ['tip', 'spec', 'beat2', 'claim', 'result', 'newtip', 'bye'] as const;
type Variable = (typeof VARIABLES)[number];
/** Between the answers of two blocks. */
const MARK = '\u0001';

let directory: TempDir;
let answers: string[];
let ids: Record<Variable, string>;

const example = new MarkdownPage('docs/protocol.md').section('## A worked example');
/** Each block of commands, and the answer that the page shows for it. */
const steps = [...example.matchAll(/```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?/gs)].map(
  ([, commands = '', shown = '']) => ({ commands, shown }),
);

beforeAll(async () => {
  directory = makeTempDir('protocol');
  const script = [
    'set -eu',
    'exec 2>&1',
    ...steps.map(({ commands }) => `${commands}printf '${MARK}'`),
    ...VARIABLES.map((name) => `echo "${name} $${name}"`),
  ].join('\n');
  const options = { cwd: directory.path, env: hermeticEnv(directory.path) };
  const { stdout } = await promisify(execFile)('sh', ['-c', script], options);
  const parts = stdout.split(MARK);
  ids = Object.fromEntries(
    (parts.pop() ?? '')
      .trim()
      .split('\n')
      .map((line) => line.split(' ')),
  ) as typeof ids;
  answers = parts;
});

afterAll(() => directory.remove());

test('gives the answers that the page shows', () => {
  expect(steps.length).toBeGreaterThan(8);
  expect(answers).toHaveLength(steps.length);
  expect(answers.map(comparable)).toEqual(steps.map(({ shown }) => comparable(shown)));
});

/** Ids differ from run to run, and what Git says to people from version to version. */
function comparable(answer: string): string[] {
  return answer
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(?:error|hint|warning): /.test(line))
    .map((line) => line.replace(/\b[0-9a-f]{7,40}\b/g, 'ID').replace(/\s+/g, ' '));
}

test('makes states that a worker reads', async () => {
  const message = (id: string): Promise<string> => git(directory.sub('grid.git'), ['log', '-1', '--format=%B', id]);
  const common = { taskId: 'hello-1', nodeId: 'box-1', epoch: 1, attempt: 1, specBlob: ids.spec };
  const claim = decodeTaskState(await message(ids.claim), taskId('hello-1'));
  expect(claim).toMatchObject({ kind: 'state', state: { ...common, state: 'claimed' } });
  const result = decodeTaskState(await message(ids.result), taskId('hello-1'));
  expect(result).toMatchObject({
    kind: 'state',
    state: { ...common, state: 'finished', status: 'success', reason: null },
  });
  const alive = decodeNodeState(await message(ids.beat2), nodeId('box-1'));
  expect(alive).toMatchObject({ kind: 'state', state: { state: 'alive', sequence: 2, ttlMs: 300_000 } });
  const stopped = decodeNodeState(await message(ids.bye), nodeId('box-1'));
  expect(stopped).toMatchObject({ kind: 'state', state: { state: 'stopped', sequence: 3 } });
});

test('leaves a valid record, no queue file, and no ref of the task', async () => {
  const grid = directory.sub('grid.git');
  expect(await git(grid, ['ls-tree', '-r', '--name-only', 'main'])).toBe('tasks/completed/hello-1.json');
  const record: unknown = JSON.parse(await git(grid, ['show', 'main:tasks/completed/hello-1.json']));
  expect(parseResultRecord(record)).toMatchObject({ ok: true, record: { task_id: 'hello-1', spec_blob: ids.spec } });
  const refs = await git(grid, ['for-each-ref', '--format=%(refname) %(objectname)']);
  expect(refs.split('\n')).toEqual([`refs/dgrid/nodes/box-1 ${ids.bye}`, `refs/heads/main ${ids.newtip}`]);
});
