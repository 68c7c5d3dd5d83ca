import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkLines } from '../../../../src/cli/client/check-report.ts';
import { type CheckProblem, type CheckReport, CheckRun } from '../../../../src/client/check/check.ts';
import { readCheckout, rootAbove, rootOf } from '../../../../src/client/check/checkout.ts';
import type { TaskPolicy } from '../../../../src/task/policy.ts';
import { makeTempDir } from '../../../support/temp.ts';

const MAX_TASK_BYTES = 2_000;
const POLICY: TaskPolicy = {
  allowsImage: (name) => name === 'busybox:stable',
  allowsNetwork: (name) => name === 'none',
  maxCpus: 1,
  maxMemoryBytes: 512 * 1024 ** 2,
  maxTimeoutMs: 60_000,
};

function checkout(files: Readonly<Record<string, string>>, onTestFinished: (end: () => void) => void): string {
  const directory = makeTempDir('check');
  onTestFinished(() => directory.remove());
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(directory.path, dirname(path)), { recursive: true });
    writeFileSync(join(directory.path, path), content);
  }
  return directory.path;
}

async function check(root: string, isWanted: (path: string) => boolean = () => true, policy: TaskPolicy | null = null) {
  const run = new CheckRun({ maxTaskBytes: MAX_TASK_BYTES, policy });
  await run.queue(await readCheckout(root), isWanted, (path) => path);
  return run.report;
}

function told({ problems }: CheckReport): string[] {
  return problems.map(({ path, line, field, problem }) => `${path}:${line} [${field ?? '-'}] ${problem}`);
}

const GOOD = '{ "task_id": "a", "script": "true" }';

describe('checking the queue of a checkout', () => {
  it('finds what a worker would refuse, with its line', async ({ onTestFinished }) => {
    const root = checkout(
      {
        'tasks/queue/a.json': GOOD,
        'tasks/queue/README.md': 'no task',
        'tasks/queue/b.json':
          '{\n  "task_id": "b",\n  "script": "x",\n  "env": {\n    "A": "1",\n    "DGRID_B": "2"\n  }\n}',
        'tasks/queue/c.json': '{\n  "task_id": "other",\n  "script": "x",\n  "script": "y"\n}',
        'tasks/queue/d.json': '{\n  "task_id": "d",\n  "script": x\n}',
        'tasks/queue/deep/e.json': '{"task_id":"e","script":"x","env":\n{"A":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}}',
        'tasks/queue/f.json': `{"task_id":"f","script":"${'x'.repeat(MAX_TASK_BYTES)}"}`,
        'tasks/queue/UPPER.json': GOOD,
        'tasks/queue/lone.json.sig': 'signature of nothing',
      },
      onTestFinished,
    );
    writeFileSync(join(root, 'tasks/queue/g.json'), Buffer.from([0xff, 0xfe]));
    symlinkSync('a.json', join(root, 'tasks/queue/h.json'));
    const report = await check(root);
    expect(report.checked).toBe(8);
    expect(told(report)).toEqual([
      'tasks/queue/UPPER.json:1 [-] its name is no task id followed by .json: rename or remove it',
      'tasks/queue/lone.json.sig:1 [-] its name is no task id followed by .json: rename or remove it',
      'tasks/queue/b.json:6 [env] env: "DGRID_B" is reserved; choose a name that does not begin with DGRID_',
      'tasks/queue/c.json:4 [-] "script" stands twice in the same object; keep one of them',
      expect.stringMatching(/^tasks\/queue\/d\.json:3 \[-\] the file is not JSON: /),
      expect.stringMatching(/^tasks\/queue\/f\.json:1 \[-\] the file has 20\d\d bytes; at most 2000 are allowed/),
      'tasks/queue/g.json:1 [-] the file is not UTF-8; save it as UTF-8',
      'tasks/queue/h.json:1 [-] the task file is a link or a submodule; it must be a regular file',
      expect.stringMatching(/^tasks\/queue\/deep\/e\.json:2 \[-\] the file nests deeper than 16/),
    ]);
  });

  it('knows ids that are used twice, or have a record, also where only one file is looked at', async ({
    onTestFinished,
  }) => {
    const root = checkout(
      {
        'tasks/queue/a.json': GOOD,
        'tasks/queue/sub/a.json': `\n${GOOD}`,
        'tasks/queue/b.json': GOOD.replace('"a"', '"b"'),
        'tasks/failed/b.json': '{}',
      },
      onTestFinished,
    );
    const report = await check(root, (path) => path !== 'tasks/queue/a.json');
    expect(report.checked).toBe(2);
    expect(told(report)).toEqual([
      'tasks/queue/sub/a.json:2 [task_id] task_id: "a" is also the id of tasks/queue/a.json; rename one',
      'tasks/queue/b.json:1 [task_id] task_id: "b" has a record already (tasks/failed/b.json); to run it again, give it a new id',
    ]);
    expect((await check(root, () => false)).problems).toEqual([]);
  });

  it('looks at what the operator allows only where that is known', async ({ onTestFinished }) => {
    const file = '{\n"task_id": "a", "script": "x",\n"memory": "2g",\n"network": "lan", "timeout_seconds": 61 }';
    const root = checkout({ 'tasks/queue/a.json': file }, onTestFinished);
    expect((await check(root)).problems).toEqual([]);
    expect((await check(root, () => true, POLICY)).problems).toMatchObject([
      { field: 'network', line: 4, column: 1 },
      { field: 'memory', line: 3, column: 1 },
      { field: 'timeout_seconds', line: 4, column: 19 },
    ]);
  });

  it('has a bound', async ({ onTestFinished }) => {
    const many = Object.fromEntries(Array.from({ length: 600 }, (_, n) => [`f${n}`, n]));
    const files = Array.from({ length: 600 }, (_, n) => [
      `tasks/queue/t${n}.json`,
      JSON.stringify({ ...many, task_id: 1 }),
    ]);
    const run = new CheckRun({ maxTaskBytes: 1024 ** 2, policy: null });
    await run.queue(
      await readCheckout(checkout(Object.fromEntries(files), onTestFinished)),
      () => true,
      (path) => path,
    );
    expect([run.report.problems.length, run.report.moreProblems]).toEqual([10_000, 2_000]);
    expect(checkLines(run.report, 'text').slice(-2)).toEqual(['… and 2000 more problems', '600 tasks, 12000 problems']);
  });

  it('finds the checkout of a path', async ({ onTestFinished }) => {
    const root = checkout({ 'tasks/queue/sub/a.json': GOOD }, onTestFinished);
    expect(rootAbove(join(root, 'tasks/queue/sub/a.json'))).toBe(root);
    expect(await rootOf(join(root, 'tasks/queue'))).toBe(root);
    expect(await rootOf(root)).toBe(root);
    expect(await rootOf(join(root, 'tasks'))).toBeNull();
    expect(await rootOf(join(root, 'nowhere'))).toBeNull();
  });
});

describe('checking what would be submitted', () => {
  const submitted = (sources: Readonly<Record<string, string>>, policy: TaskPolicy | null = null): CheckReport => {
    const run = new CheckRun({ maxTaskBytes: MAX_TASK_BYTES, policy });
    run.submitted(Object.entries(sources).map(([name, text]) => ({ name, bytes: Buffer.from(text) })));
    return run.report;
  };

  it('takes any name, and one task a line', () => {
    expect(submitted({ 'any-name.json': GOOD })).toEqual({ checked: 1, problems: [], moreProblems: 0 });
    const report = submitted({ in: `${GOOD}\n\n{"task_id":"b","script":1}\n${GOOD}\n{"task_id":"c","script":"x"}\n` });
    expect(report.checked).toBe(4);
    expect(told(report)).toEqual([
      'in:3 [script] script: must be a text, not 1',
      'in:4 [task_id] task_id: "a" is also the id of the task in in:1',
    ]);
  });

  it('finds lines within a task of many', () => {
    expect(
      told(submitted({ 'x.json': '{\n"task_id": "a",\n"script": "x",\n"retries": 99 }', 'empty.json': ' ' })),
    ).toEqual([
      'x.json:4 [retries] retries: must be a whole number from 0 to 10, not 99',
      'empty.json:1 [-] holds no task',
    ]);
    expect(told(submitted({ in: `${GOOD}\n{"task_id":"b","script":"x","image":"other"}\n` }, POLICY))).toEqual([
      expect.stringMatching(/^in:2 \[image\] image: "other" is not on the operator's list/),
    ]);
  });
});

describe('an annotation', () => {
  const problem: CheckProblem = {
    path: 'tasks/queue/a,b:c%\n::error::.json',
    line: 3,
    column: 7,
    field: null,
    problem: 'is 100% wrong\r\n::set-output name=x::y\u001b[2J',
  };

  it('cannot become another command, whatever it says', () => {
    const [line = '', ...rest] = checkLines({ checked: 1, problems: [problem], moreProblems: 0 }, 'github');
    expect(line).toBe(
      '::error file=tasks/queue/a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3A.json,line=3,col=7,title=dgrid check::' +
        'is 100%25 wrong%0D%0A::set-output name=x::y [2J',
    );
    expect(rest).toEqual(['1 task, 1 problem']);
  });

  it('is a place for people otherwise', () => {
    expect(checkLines({ checked: 2, problems: [problem], moreProblems: 0 }, 'text')[0]).toBe(
      'tasks/queue/a,b:c% ::error::.json:3: is 100% wrong ::set-output name=x::y [2J',
    );
  });
});
