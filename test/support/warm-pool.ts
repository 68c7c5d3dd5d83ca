/** For tests with containers that wait for a task. */
import type { DockerExecutor } from '../../src/executor/docker/docker-executor.ts';
import type { Job, PoolStats } from '../../src/executor/executor.ts';
import { finish, type Outcome } from './docker-jobs.ts';
import { until } from './until.ts';

const MIB = 1024 * 1024;
/** Those of `testJob`, so that what is made ahead for the usual task fits. */
export const WARM_LIMITS = { cpus: 1, memoryBytes: 64 * MIB };
const BOUND_MS = 60_000;

export function statsOf(executor: DockerExecutor): PoolStats {
  const stats = executor.poolStats();
  if (stats === null) throw new Error('this executor makes nothing ahead');
  return stats;
}

/** Resolves when so many wait. */
export async function untilWaiting(executor: DockerExecutor, count: number): Promise<void> {
  await until(`${count} containers to wait`, () => statsOf(executor).waiting === count, BOUND_MS);
}

/** Runs a job in a container that had waited. @throws Error when there was none */
export async function runWarm(executor: DockerExecutor, job: Job): Promise<Outcome> {
  await until('a container to wait', () => statsOf(executor).waiting > 0, BOUND_MS);
  const { hits } = statsOf(executor);
  const run = await executor.start(job);
  if (statsOf(executor).hits !== hits + 1 || run.isWarm !== true)
    throw new Error('the job was given a container of its own');
  return await finish(run);
}
