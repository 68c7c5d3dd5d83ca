/** The worker's executor alone, in this process, with a container that waits: what is left when no grid is asked. */
import { setTimeout as pause } from 'node:timers/promises';
import type { DockerExecutor } from '../../src/executor/docker/docker-executor.ts';
import { finish, testExecutor, testJob } from '../../test/support/docker-jobs.ts';
import { until } from '../../test/support/until.ts';
import { WARM_LIMITS } from '../../test/support/warm-pool.ts';
import type { EngineTap } from './engine-tap.ts';
import type { Lab } from './suite.ts';

const FILL_BOUND_MS = 60_000;
const CLAIMING_MS = 30;

export class WarmExecutor {
  readonly #tap: EngineTap;
  readonly #executor: DockerExecutor;

  private constructor(tap: EngineTap, executor: DockerExecutor) {
    this.#tap = tap;
    this.#executor = executor;
  }

  static async start(lab: Lab, tap: EngineTap): Promise<WarmExecutor> {
    const { executor } = lab.use(await testExecutor(tap.host, { warmPoolSize: 2, ...WARM_LIMITS }));
    executor.prepare('fill');
    return new WarmExecutor(tap, executor);
  }

  /** From the call to start until the first byte of output. @throws Error when no container was waiting */
  async once(): Promise<number> {
    const executor = this.#executor;
    const job = testJob('');
    await until('a container waits', () => (executor.poolStats()?.waiting ?? 0) > 0, FILL_BOUND_MS);
    const hitsBefore = executor.poolStats()?.hits ?? 0;
    const word = `says-${job.key.taskId}-warm`;
    const said = this.#tap.says(word, FILL_BOUND_MS);
    // As while a task is being claimed.
    executor.foresee([job.image]);
    await pause(CLAIMING_MS);
    const startedMs = performance.now();
    const run = await executor.start({ ...job, program: { kind: 'script', script: `echo ${word}` } });
    const firstByteMs = await said;
    await finish(run);
    if (executor.poolStats()?.hits !== hitsBefore + 1) throw new Error('the container that waited was not taken');
    return firstByteMs - startedMs;
  }
}
