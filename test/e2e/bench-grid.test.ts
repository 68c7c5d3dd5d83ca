/** `dgrid bench-grid` on a live grid: two workers over HTTP, with a stub engine each. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PHASES } from '../../src/client/probe-phases.ts';
import type { ProbeReport } from '../../src/client/probe-report.ts';
import { type ProgramEnd, runClient, startClient } from '../support/client-program.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const LIMIT_MS = 120_000;
const SLEEP_MS = 300;
/** So much sooner may a timer of Node's go off, by the clock that measures. */
const TIMER_MS = 5;

let server: GitServer;
let directory: TempDir;
let repo: TaskRepository;
let url: string;
let count = 0;
let workers: WorkerProcess[] = [];

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('bench-grid');
});
beforeEach(async () => {
  const name = `b${(count += 1)}`;
  repo = new TaskRepository(await server.createRepository(name));
  await repo.commit({ 'README.md': 'x' });
  url = server.url(name);
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.stop('SIGKILL')));
  workers = [];
});
afterAll(async () => {
  await server.stop();
  directory.remove();
});

async function startWorkers(...names: string[]): Promise<void> {
  workers = names.map((name) =>
    StubWorkerProcess.start({
      directory: directory.path,
      name: `${name}${count}`,
      repoUrl: url,
      env: { PULL_INTERVAL: '0.3', MAX_PARALLEL_TASKS: '2', NODE_LABELS: name, LOG_LEVEL: 'info' },
    }),
  );
  await Promise.all(workers.map((worker) => worker.logged('worker.ready')));
}

function bench(...args: string[]): Promise<ProgramEnd> {
  return runClient(['bench-grid', ...args], { home: directory.path, env: { DGRID_REPO_URL: url } });
}

describe('bench-grid', () => {
  it('tells what the records of the workers bear out, and takes its records away', { timeout: LIMIT_MS }, async () => {
    await startWorkers('one', 'two');
    const file = join(directory.path, 'report.json');
    const args = ['--tasks', '12', '--rate', '6/s', '--warmup', '2', '--script', `sleep ${SLEEP_MS}`, '--json'];
    const targets = [
      '--target',
      'e2e.p95<60s',
      '--target',
      `run.min>=${SLEEP_MS - TIMER_MS}ms`,
      '--target',
      'success>=100%',
    ];
    const end = await bench(...args, ...targets, '--output', file);
    expect(end, end.out + end.err).toMatchObject({ code: 0 });
    const report = JSON.parse(end.out) as ProbeReport;
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(report);
    expect(report).toMatchObject({
      ended: 'done',
      tasks: { wanted: 12, queued: 12, succeeded: 12, failed: 0, without_result: 0 },
      success_percent: 100,
    });
    expect(report.targets.map(({ met }) => met)).toEqual([true, true, true]);
    expect(report.nodes.reduce((sum, { tasks }) => sum + tasks, 0)).toBe(12);
    expect(report.nodes.map(({ node_id }) => node_id).toSorted()).toEqual([`one${count}`, `two${count}`]);

    // What the workers wrote down of themselves, read from the branch.
    const ids = Array.from({ length: 12 }, (_, at) => `probe-${report.run}-${String(at + 1).padStart(5, '0')}`);
    const records = await Promise.all(ids.map((id) => repo.record(id)));
    const runs = records.map((record) => (record as { timings_ms: { run: number } }).timings_ms.run);
    expect(report.phases.run).toMatchObject({ n: 12, values: { min: Math.min(...runs), max: Math.max(...runs) } });
    for (const phase of PHASES) {
      const { values } = report.phases[phase];
      if (values.min !== null && values.max !== null) expect(values.max, phase).toBeGreaterThanOrEqual(values.min);
    }
    const { e2e, run, submit } = report.phases;
    expect(e2e.n).toBe(12);
    // Whoever submits waits at least for the task itself.
    expect(e2e.values.min).toBeGreaterThanOrEqual(run.values.min ?? 0);
    expect(submit.values.min).toBeGreaterThan(0);
    expect(e2e.few).toEqual(['p95', 'p99']);
    // Eleven pauses of a sixth of a second, at the least.
    expect(report.throughput_per_second).toBeLessThan(12 / (11 / 6));
    expect(await repo.record(`probe-${report.run}-w00002`)).toMatchObject({ status: 'success' });
    expect((await repo.files()).filter((path) => path.includes('probe-')).length).toBe(14);

    const missed = await bench('--tasks', '2', '--rate', 'max', '--target', 'e2e.p50<1ms', '--cleanup');
    expect(missed).toMatchObject({ code: 1, out: expect.stringMatching(/not met {2}e2e\.p50<1ms: \d/) });
    expect(missed.out).toMatch(/p99 needs 100/);
    expect(missed.err).toContain('removed the records of 2 probes');
    const left = (await repo.files()).filter((path) => path.includes('probe-'));
    expect(left.length).toBe(14);
    expect(left.every((path) => path.includes(report.run))).toBe(true);
    // The removed ones stay gone, and nothing is run again for them.
    await git(repo.path, ['fsck', '--strict']);
    expect(await git(repo.path, ['log', '-1', '--format=%s', 'main'])).toBe('Remove the records of 2 probe tasks');
  });

  it('without targets asks for all to succeed, and says why some did not', { timeout: LIMIT_MS }, async () => {
    await startWorkers('one');
    const end = await bench('--tasks', '2', '--rate', 'max', '--script', 'exit 7');
    expect(end).toMatchObject({ code: 1, out: expect.stringMatching(/0 of 2 probes succeeded[^]*exit-code: 2/) });
  });

  it('takes back what nobody runs: when the time is over, and when it is interrupted', {
    timeout: LIMIT_MS,
  }, async () => {
    await startWorkers('one');
    const late = await bench('--tasks', '2', '--rate', 'max', '--requires', 'nowhere', '--timeout', '3', '--json');
    expect(late, late.err).toMatchObject({ code: 1, err: expect.stringContaining('cancelled 2 probes') });
    expect(JSON.parse(late.out)).toMatchObject({ ended: 'timeout', tasks: { without_result: 2 } });

    const args = ['bench-grid', '--tasks', '5', '--rate', 'max', '--requires', 'nowhere', '--json'];
    const child = startClient(args, { home: directory.path, env: { DGRID_REPO_URL: url } });
    let out = '';
    let err = '';
    child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const queued = async (): Promise<number> =>
      (await repo.files()).filter((path) => path.startsWith('tasks/queue/probe-')).length;
    await until('the probes to be queued', async () => (await queued()) === 5, 30_000);
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number | null];
    expect(code, err).toBe(130);
    expect(err).toContain('cancelled 5 probes');
    const report = JSON.parse(out) as ProbeReport;
    // Whether it still heard that its push was taken is a matter of luck.
    expect([0, 5]).toContain(report.tasks.queued);
    expect(report).toMatchObject({ ended: 'aborted', tasks: { wanted: 5, succeeded: 0 } });
    await until('all to be recorded', async () => (await queued()) === 0, 60_000);
    for (const number of [1, 5]) {
      expect(await repo.record(`probe-${report.run}-0000${number}`)).toMatchObject({ reason: 'cancelled' });
    }
  });

  it('queues nothing when it cannot do what it is asked for', { timeout: LIMIT_MS }, async () => {
    const wrong = await bench('--target', 'speed<1s', '--rate', 'fast', '--tasks', '1.5');
    expect(wrong).toMatchObject({ code: 2 });
    for (const name of ['--target', '--rate', '--tasks']) expect(wrong.err).toContain(name);
    expect(await bench('--tasks', '1', '--output', '/nowhere/x.json')).toMatchObject({
      code: 2,
      err: expect.stringContaining('/nowhere/x.json') as string,
    });
    await git(repo.path, ['config', 'receive.denyCurrentBranch', 'refuse']);
    await git(repo.path, ['config', 'transfer.hideRefs', 'refs/heads/main']);
    expect((await bench('--tasks', '1')).code).not.toBe(0);
    await git(repo.path, ['config', '--unset', 'transfer.hideRefs']);
    expect((await repo.files()).filter((path) => path.includes('probe-'))).toEqual([]);
  });
});
