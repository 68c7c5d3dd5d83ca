/** A registry that does not have an image, with a real engine: it is not asked again for each task. */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { PrivateEngine } from '../support/engine.ts';
import { initBare } from '../support/git.ts';
import { TestRegistry } from '../support/registry.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

let directory: TempDir;
let engine: PrivateEngine;
let registry: TestRegistry;

beforeAll(async () => {
  directory = makeTempDir('set-aside');
  registry = await TestRegistry.start();
  engine = await PrivateEngine.start();
  await engine.importBusybox();
});

afterAll(async () => {
  await engine.stop();
  await registry.stop();
  directory.remove();
});

it('asks three times for an image that no registry has, ends all its tasks, and runs the others', async () => {
  const remote = directory.sub('tasks.git');
  await initBare(remote);
  const repo = new TaskRepository(remote);
  await repo.commit({ 'README.md': 'x' }, 'begin');
  const image = `${registry.address}/acme/absent:1`;
  const bad = Array.from({ length: 12 }, (_, at) => `bad-${at}`);
  await repo.queue({
    ...Object.fromEntries(bad.map((id) => [id, { script: 'exit 0', image }])),
    good: { script: 'echo good' },
  });
  const worker = WorkerProcess.start({
    directory: directory.path,
    name: 'box',
    repoUrl: remote,
    dockerHost: engine.host,
    env: { ALLOWED_IMAGES: '*' },
  });
  onTestFinished(async () => void (await worker.stop('SIGKILL')));
  await until('all records', async () => (await repo.queued()).length === 0, 90_000).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${worker.output.slice(-6_000)}`, { cause: error });
  });
  for (const id of bad) expect(await repo.record(id)).toMatchObject({ status: 'failed', reason: 'image-unavailable' });
  expect(await repo.record('good')).toMatchObject({ status: 'success', stdout: 'good\n' });
  expect(worker.entries('image.pulling')).toHaveLength(3);
  expect(worker.entries('image.set-aside')).toMatchObject([{ image, failures: 3 }]);
  const asked = registry.requests.filter((line) => line.includes('/acme/absent/manifests/'));
  console.info(
    `12 tasks of an absent image: ${worker.entries('image.pulling').length} pulls, ${asked.length} requests`,
  );
  expect(await worker.stop()).toBe(0);
});
