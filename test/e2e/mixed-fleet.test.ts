/** Old and new workers on one queue: nothing is lost, nothing is done twice, and a node can change its version while it works. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectNoViolations } from '../support/broken-rule.ts';
import { GitServer } from '../support/git-server.ts';
import { runMixedFleet } from '../support/mixed-fleet.ts';
import { mustBeRight } from '../support/must-be-right.ts';
import { newerStubWorker } from '../support/newer-version.ts';
import { MILESTONES, oldVersion, whyNoHistory } from '../support/old-version.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const SHARED = atScale(180, 1_000);

let server: GitServer;
let directory: TempDir;
const missing = await whyNoHistory();

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('mixed');
});

afterAll(async () => {
  await server.stop();
  directory.remove();
});

describe.skipIf(missing !== null)(`workers of two versions${missing === null ? '' : ` (${missing})`}`, () => {
  it.each(MILESTONES.map(({ name }) => name))(
    'share a queue, and change places: %s',
    { timeout: 400_000 },
    async (name) => {
      const repo = new TaskRepository(await server.createRepository(name));
      const truth = await ServerHistory.install(repo.path);
      const report = await runMixedFleet({
        old: await oldVersion(name),
        repo,
        truth,
        repoUrl: server.url(name),
        directory: directory.sub(name),
        shared: SHARED,
        tell: () => undefined,
      });
      expectNoViolations(report.violations);
      expect(report.wrong).toEqual([]);
      expect(report.exits).toEqual(report.exits.map(() => 0));
      // Each from the other: nobody else has the labels.
      expect(report.takeovers).toContain('from-old: new-1 (new) from old-2');
      expect(report.takeovers).toContain('from-new: old-1 (old) from new-2');
      const { figures, tookMs } = report;
      console.info(
        `${name}: ${figures.records} records of ${figures.tasks} tasks in ${Math.round(tookMs / 1000)} s, ` +
          `${figures.starts} starts, ${figures.startedMoreThanOnce} tasks started more than once, ` +
          `${report.takeovers.length} taken over, ${figures.lateResultsRejected} late results rejected`,
      );
    },
  );
});

describe('this version beside a newer one', () => {
  it('leaves tasks with a new field to it, and fails them when it is gone', { timeout: 120_000 }, async () => {
    const repo = new TaskRepository(await server.createRepository('newer'));
    const truth = await ServerHistory.install(repo.path);
    const common = {
      directory: directory.sub('newer'),
      repoUrl: server.url('newer'),
      dockerHost: 'unix:///nowhere',
      env: { LOG_LEVEL: 'debug', HEARTBEAT_INTERVAL: '1', NODE_TTL: '4' },
    };
    await using present = StubWorkerProcess.start({ ...common, name: 'present' });
    const program = await newerStubWorker(directory.sub('newer-version'));
    await using newer = WorkerProcess.start({ ...common, name: 'newer', program });
    for (const worker of [present, newer]) await worker.logged('worker.ready', undefined, 60_000);
    const ids = Array.from({ length: 20 }, (_, index) => `n${index}`);
    const tasks = (index: number): object => ({ script: 'sleep 100', ...(index % 2 === 0 ? { hologram: true } : {}) });
    await repo.queue(Object.fromEntries(ids.map((id, index) => [id, tasks(index)])));
    await until('all records', async () => (await repo.queued()).length === 0, 60_000);
    for (const [index, id] of ids.entries()) {
      const record = await repo.record(id);
      expect(record, id).toMatchObject({ status: 'success' });
      if (index % 2 === 0) expect(record?.node_id).toBe('newer');
    }
    expect(await newer.stop('SIGKILL')).toBeNull();
    await repo.queue({ late: { script: 'sleep 0', hologram: true } });
    await until('the last record', async () => (await repo.record('late')) !== null, 60_000);
    expect(await repo.record('late')).toMatchObject({ reason: 'invalid-task', node_id: 'present' });
    expect(await present.stop()).toBe(0);
    await mustBeRight(truth, [present, newer]);
  });
});
