/** `dgrid check` as people and builds call it, in real checkouts; with what the example workflows run. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { runClient } from '../../support/client-program.ts';
import { git } from '../../support/git.ts';
import { tryProgram } from '../../support/programs.ts';
import { programsInPath } from '../../support/programs-in-path.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../../support/temp.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const GOOD = (id: string, more: object = {}): string => JSON.stringify({ task_id: id, script: 'true', ...more });
const BAD = '{\n  "task_id": "bad",\n  "script": "true",\n  "retries": 99\n}\n';

let directory: TempDir;
let checkout: string;

beforeEach(async ({ onTestFinished }) => {
  directory = makeTempDir('check');
  const made = directory;
  onTestFinished(() => made.remove());
  checkout = directory.sub('tasks');
  mkdirSync(checkout);
  await git(checkout, ['init', '--quiet', '--initial-branch=main', '.']);
});

function put(path: string, content: string): void {
  mkdirSync(join(checkout, dirname(path)), { recursive: true });
  writeFileSync(join(checkout, path), content);
}

async function commit(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) put(path, content);
  await git(checkout, ['add', '--all']);
  await git(checkout, ['-c', 'user.name=T', '-c', 'user.email=t@example.org', 'commit', '--quiet', '--message=x']);
}

function check(args: readonly string[], more: { stdin?: string; env?: Record<string, string> } = {}) {
  return runClient(['check', ...args], { home: checkout, ...more });
}

describe('dgrid check', () => {
  it('needs no grid and no argument, and ends with 0, 1 or 2', async () => {
    put('tasks/queue/a.json', GOOD('a'));
    expect(await check([])).toEqual({ code: 0, out: '1 task, no problem\n', err: '' });
    put('tasks/queue/bad.json', BAD);
    expect(await check([])).toEqual({
      code: 1,
      out: 'tasks/queue/bad.json:4: retries: must be a whole number from 0 to 10, not 99\n2 tasks, 1 problem\n',
      err: '',
    });
    expect(await check(['tasks/queue/a.json'])).toMatchObject({ code: 0 });
    expect(await check(['nowhere', 'neither.json'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/nowhere does not exist\n.*neither\.json does not exist/) as string,
    });
    expect(await check(['tasks'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('holds no tasks/queue') as string,
    });
    expect(await check(['--format', 'sarif'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('text, github') as string,
    });
  });

  it('answers programs with one document', async () => {
    put('tasks/queue/bad.json', BAD);
    const { code, out } = await check(['--json']);
    expect([code, JSON.parse(out)]).toEqual([
      1,
      {
        checked: 1,
        problems: [
          {
            path: 'tasks/queue/bad.json',
            line: 4,
            column: 3,
            field: 'retries',
            problem: 'retries: must be a whole number from 0 to 10, not 99',
          },
        ],
        moreProblems: 0,
      },
    ]);
  });

  it('checks what would be submitted, from files and standard input', async () => {
    put('any name.json', GOOD('a'));
    expect(await check(['any name.json'])).toMatchObject({ code: 0 });
    const { code, out } = await check(['-'], { stdin: `${GOOD('a')}\n{"task_id":"b"}\n` });
    expect([code, out]).toEqual([1, expect.stringMatching(/^standard input:2: script: is missing;/)]);
  });

  it("looks at an operator's settings when it is given them, and says what is wrong with those", async () => {
    put('tasks/queue/a.json', GOOD('a', { image: 'alpine:3', memory: '1g', network: 'lan' }));
    expect((await check([])).code).toBe(0);
    put('worker.env', 'DOCKER_MEMORY=2g\nALLOWED_IMAGES=busybox,alpine:*\nDGRID_REPO_URL=/nowhere\n');
    const { code, out } = await check(['--env-file', 'worker.env']);
    expect([code, out]).toEqual([
      1,
      expect.stringMatching(/^tasks\/queue\/a\.json:1: network: "lan" is not on .*\n1 task/),
    ]);
    put('worker.env', 'DOCKER_MEMORY=much\n');
    const wrong = await check(['--env-file', 'worker.env']);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('DOCKER_MEMORY')]);
    expect(await check(['--env-file', 'none.env'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('none.env') as string,
    });
  });

  it('looks only at what differs from what was there before', async () => {
    await commit({ 'tasks/queue/old.json': BAD, 'tasks/queue/gone.json': BAD, 'tasks/failed/ran.json': '{}' });
    await git(checkout, ['checkout', '--quiet', '-b', 'change']);
    await git(checkout, ['rm', '--quiet', 'tasks/queue/gone.json']);
    await commit({ 'tasks/queue/new.json': GOOD('new'), 'elsewhere.json': 'x' });
    expect(await check(['--changed-since', 'main'])).toMatchObject({ code: 0, out: '1 task, no problem\n' });
    // Not committed, not even added.
    put('tasks/queue/ran.json', GOOD('ran'));
    put('tasks/queue/ünusual "name".json', GOOD('x'));
    const { code, out } = await check(['--changed-since', 'main']);
    expect([code, out]).toEqual([
      1,
      expect.stringMatching(
        /^tasks\/queue\/ünusual "name"\.json:1: its name is no task id.*\ntasks\/queue\/ran\.json:1: task_id: "ran" has a record already \(tasks\/failed\/ran\.json\).*\n2 tasks, 2 problems\n$/,
      ),
    ]);
    // What main gets meanwhile is none of this branch's business.
    await git(checkout, ['add', '--all']);
    await git(checkout, ['stash', '--quiet']);
    await git(checkout, ['checkout', '--quiet', 'main']);
    await commit({ 'tasks/queue/old.json': `${BAD}\n` });
    await git(checkout, ['checkout', '--quiet', 'change']);
    expect(await check(['--changed-since', 'main'])).toMatchObject({ code: 0, out: '1 task, no problem\n' });
  });

  it('says what to do where there is no such commit, no history in common, and no checkout', async () => {
    await commit({ 'tasks/queue/a.json': GOOD('a') });
    for (const ref of ['nowhere', '--output=x', '']) {
      const { code, err } = await check([`--changed-since=${ref}`]);
      expect([code, err]).toEqual([2, expect.stringContaining('names no commit of this checkout: fetch it first')]);
    }
    await git(checkout, ['checkout', '--quiet', '--orphan', 'other']);
    await commit({ 'tasks/queue/b.json': GOOD('b') });
    const apart = await check(['--changed-since', 'main']);
    expect([apart.code, apart.err]).toEqual([2, expect.stringContaining('no commit in common')]);
    expect((await check(['-', '--changed-since', 'main'])).code).toBe(2);
    const bare = directory.sub('bare');
    mkdirSync(join(bare, 'tasks/queue'), { recursive: true });
    const outside = await runClient(['check', '--changed-since', 'main'], { home: bare });
    expect([outside.code, outside.err]).toEqual([2, expect.stringContaining('not a git repository')]);
  });

  it('reads a checkout of another user when the user trusts it, and not otherwise', async () => {
    if (process.getuid?.() !== 0) return;
    await commit({ 'tasks/queue/a.json': GOOD('a') });
    expect((await tryProgram('chown', ['-R', '12345:12345', checkout])).code).toBe(0);
    const refused = await check(['--changed-since', 'HEAD']);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('dubious ownership')]);
    // As actions/checkout does it in a container.
    writeFileSync(join(checkout, '.gitconfig'), `[safe]\n\tdirectory = ${checkout}\n`);
    expect(await check(['--changed-since', 'HEAD'])).toMatchObject({ code: 0, out: '0 tasks, no problem\n' });
  });
});

/** The shell commands of a workflow, in their order. */
function commandsOf(name: string): string[] {
  const lines = readFileSync(join(ROOT, 'examples/workflows', name), 'utf8').split('\n');
  const commands: string[] = [];
  let inList = false;
  for (const line of lines) {
    const [, single] = /^\s+(?:- )?run: (.+)$/.exec(line) ?? [];
    const [, item] = /^\s+- (.+)$/.exec(line) ?? [];
    if (single !== undefined) commands.push(single);
    else if (inList && item !== undefined) commands.push(item);
    inList = /^\s+(?:script|before_script|commands):$/.test(line) || (inList && item !== undefined);
  }
  return commands;
}

describe.each([
  [
    'check-tasks.github.yml',
    { BASE: 'main' },
    '::error file=tasks/queue/bad.json,line=4,col=3,title=dgrid check::retries: must',
  ],
  ['check-tasks.gitlab-ci.yml', { CI_MERGE_REQUEST_DIFF_BASE_SHA: 'main' }, 'tasks/queue/bad.json:4: retries: must'],
  ['check-tasks.woodpecker.yml', { CI_COMMIT_TARGET_BRANCH: 'main' }, 'tasks/queue/bad.json:4: retries: must'],
] as const)('%s', (name, variables, expected) => {
  it('lets good task files through, and stops at bad ones', async () => {
    const origin = directory.sub('origin.git');
    await commit({ 'tasks/queue/before.json': BAD });
    await git(checkout, ['clone', '--quiet', '--bare', checkout, origin]);
    await git(checkout, ['remote', 'add', 'origin', origin]);
    await git(checkout, ['checkout', '--quiet', '-b', 'change']);
    await commit({ 'tasks/queue/good.json': GOOD('good') });
    // In the place of the installation: what it would bring, and a note that it was asked for.
    const bin = programsInPath(directory.sub('bin'));
    writeFileSync(join(bin, 'npm'), `#!/bin/sh\necho "$@" >>'${directory.sub('installed')}'\n`);
    chmodSync(join(bin, 'npm'), 0o755);
    const env = hermeticEnv(checkout, { ...variables, DGRID_PACKAGE: 'https://packages.example.com/d-grid-0.1.0.tgz' });
    const run = () =>
      tryProgram('sh', ['-e', '-c', commandsOf(name).join('\n')], {
        cwd: checkout,
        env: { ...env, PATH: `${bin}:${env['PATH']}` },
      });
    expect(await run()).toMatchObject({ code: 0, stdout: expect.stringContaining('1 task, no problem') as string });
    expect(readFileSync(directory.sub('installed'), 'utf8')).toBe(
      'install --global https://packages.example.com/d-grid-0.1.0.tgz\n',
    );
    await commit({ 'tasks/queue/bad.json': BAD });
    const stopped = await run();
    expect([stopped.code, stopped.stdout]).toEqual([1, expect.stringContaining(expected)]);
    expect(stopped.stdout).not.toContain('before.json');
  });
});
