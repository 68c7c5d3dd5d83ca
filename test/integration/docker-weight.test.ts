/** The weight of a task where processors are short, as the kernel has it in the container's own cgroup. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { finish, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';

/** cgroup v1, or what the engine makes of it for cgroup v2. */
const READ = 'cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || cat /sys/fs/cgroup/cpu.weight';

let engine: PrivateEngine;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
});

afterAll(async () => {
  await engine.stop();
});

async function weight(shares: number, changes: { warmPoolSize?: number } = {}): Promise<number> {
  // As the task asks for, so that what is made ahead suits it.
  const limits = { cpus: 1, memoryBytes: 64 * 1024 ** 2 };
  await using test = await testExecutor(engine.host, { cpuShares: shares, ...limits, ...changes });
  if (changes.warmPoolSize) {
    test.executor.prepare('fill');
    await until('one to wait', () => test.executor.poolStats()?.waiting === changes.warmPoolSize, 30_000);
  }
  const end = await finish(await test.executor.start(testJob(READ)));
  expect(end.verdict).toMatchObject({ kind: 'exited', exitCode: 0 });
  if (changes.warmPoolSize) expect(test.executor.poolStats()).toMatchObject({ hits: 1 });
  return Number(end.stdout);
}

it('is the one that was set, in containers made for a task and in those made ahead', async () => {
  await using test = await testExecutor(engine.host);
  const { cgroupVersion, weighsCpus } = await test.executor.probe();
  expect(weighsCpus).toBe(true);
  const light = await weight(128);
  const usual = await weight(1024);
  if (cgroupVersion === '1') expect([light, usual]).toEqual([128, 1024]);
  expect(light).toBeGreaterThan(0);
  expect(light).toBeLessThan(usual);
  expect(await weight(128, { warmPoolSize: 1 })).toBe(light);
});
