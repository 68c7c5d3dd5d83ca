/** A local clone that has become large, on a disk that is full: it is packed anew, and where that does not help fetched anew. */
import { randomBytes } from 'node:crypto';
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { roomOf } from '../../../src/host/own-files.ts';
import { FillableDisk } from '../../support/fillable-disk.ts';
import { initBare } from '../../support/git.ts';
import { smallExt4 } from '../../support/small-file-system.ts';
import { StubWorkerProcess } from '../../support/stub-worker-process.ts';
import { TaskRepository } from '../../support/task-repository.ts';
import { makeTempDir } from '../../support/temp.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 ** 2;

it('makes room with a clone that holds what the repository does not any more', { timeout: 120_000 }, async () => {
  const directory = makeTempDir('renewal');
  onTestFinished(() => directory.remove());
  const disk = await smallExt4(256);
  const state = join(disk, 'state');
  await mkdir(state);
  const remote = directory.sub('tasks.git');
  await initBare(remote);
  const repo = new TaskRepository(remote);
  await repo.commit({ 'large.bin': randomBytes(70 * MIB) }, 'begin');
  const worker = StubWorkerProcess.start({
    directory: directory.path,
    name: 'renewal',
    repoUrl: remote,
    env: { DGRID_STATE_DIR: state, MAX_DISK_PERCENT: '90', PULL_INTERVAL: '0.5', HEALTH_CHECK_EVERY: '1' },
  });
  onTestFinished(async () => void (await worker.stop('SIGKILL')));
  await worker.logged('worker.ready');
  const clone = join(state, 'repository.git');
  await repo.commit({ 'large.bin': null }, 'remove it');
  await repo.queue({ early: { script: 'exit 0' } });
  await until('the record', async () => (await repo.record('early')) !== null, 30_000);
  expect((await roomOf(clone)).bytes).toBeGreaterThan(65 * MIB);

  const { bavail, bfree, blocks, bsize } = await statfs(disk);
  await FillableDisk.on(disk).fill((bfree - bavail + 0.05 * (blocks - bfree + bavail)) * bsize);
  await worker.logged('limit.resources', ({ resource }) => resource === 'disk');
  await worker.logged('limit.resources-cleared', ({ resource }) => resource === 'disk');
  const steps = worker.entries('cleanup.files-completed');
  expect(steps.map(({ step }) => step)).toEqual(['clone-upkeep', 'clone-renewal']);
  expect(steps[1]?.['freed_bytes']).toBeGreaterThan(60 * MIB);
  expect(worker.entries('clone.renewed')).toHaveLength(1);
  expect(worker.entries('clone.damaged')).toEqual([]);
  // And it goes on from the new one.
  await repo.queue({ late: { script: 'exit 0' } });
  await until('the record', async () => (await repo.record('late')) !== null, 30_000).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${worker.output.slice(-6_000)}`, { cause: error });
  });
  expect((await roomOf(clone)).bytes).toBeLessThan(5 * MIB);
  expect(await worker.stop()).toBe(0);
});
