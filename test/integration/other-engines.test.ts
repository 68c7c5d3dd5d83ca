/**
 * Engines other than Docker's as root: Podman, and both as an ordinary user runs them. Each takes the scenarios that
 * Docker takes; what it cannot do on this machine is skipped with the reason that it gives itself.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineInfo } from '../../src/executor/executor.ts';
import { CORE_SCENARIOS, prepareSite } from '../support/core-scenarios.ts';
import { finish, testExecutor, testJob } from '../support/docker-jobs.ts';
import type { EngineApi } from '../support/engine-api.ts';
import { filterSite } from '../support/filter-site.ts';
import { PodmanEngine } from '../support/podman-engine.ts';
import { RootlessDocker } from '../support/rootless-docker.ts';

const MIB = 1024 * 1024;

interface Stoppable extends EngineApi {
  stop(): Promise<void>;
}

const ENGINES: readonly [string, () => Promise<Stoppable>][] = [
  ['Podman as root', () => PodmanEngine.start({ rootless: false })],
  ['Podman as an ordinary user', () => PodmanEngine.start({ rootless: true })],
  ['Docker as an ordinary user', () => RootlessDocker.start()],
];

describe.each(ENGINES)('%s', (name, start) => {
  const isPodman = name.startsWith('Podman');
  let engine: Stoppable | null = null;
  let info: EngineInfo;
  /** Why there is none. */
  let reason = '';

  beforeAll(async () => {
    try {
      engine = await start();
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
      return;
    }
    await prepareSite(engine);
    await using test = await testExecutor(engine.host);
    info = await test.executor.probe();
  });

  afterAll(async () => {
    await engine?.stop();
  });

  it('says the truth of the limits that it leaves away', async ({ skip }) => {
    if (engine === null) return skip(`no engine of this kind here: ${reason.slice(0, 300)}`);
    await using test = await testExecutor(engine.host);
    const run = async (script: string) =>
      await finish(await test.executor.start(testJob(script, { memoryBytes: 32 * MIB, timeoutMs: 20_000 })));
    const memory = await run("exec sh -c 'head -c 100000000 /dev/zero | tail >/dev/null'");
    const pids = await run('i=0; while [ $i -lt 100 ]; do sleep 2 & i=$((i+1)); done; wait');
    const missing = [
      ...(memory.verdict.kind === 'exited' && memory.verdict.exitCode === 137 ? [] : ['memory']),
      ...(pids.stderr.includes('fork') ? [] : ['pids']),
    ];
    expect(info.missingLimits.filter((limit) => limit !== 'cpus')).toEqual(missing);
  });

  for (const scenario of CORE_SCENARIOS) {
    it(scenario.name, async ({ skip }) => {
      if (engine === null) return skip(`no engine of this kind here: ${reason.slice(0, 300)}`);
      if (scenario.needs !== undefined && info.missingLimits.length > 0) {
        return skip(`it cannot limit ${info.missingLimits.join(', ')} here`);
      }
      if (scenario.needs === 'word-on-memory' && isPodman) {
        return skip(
          'Podman 4.3 with runc on cgroup v1 does not tell that memory ran out: the exit code is all there is',
        );
      }
      await scenario.run({ engine, host: engine.host });
    });
  }

  it('runs tasks through the filter as well', async ({ skip }) => {
    if (engine === null) return skip(`no engine of this kind here: ${reason.slice(0, 300)}`);
    await using filter = await filterSite(engine.host);
    for (const scenario of CORE_SCENARIOS.filter(({ needs }) => needs === undefined)) {
      await scenario.run({ engine, host: filter.host });
    }
    expect(filter.events.named('filter.refused')).toEqual([]);
  });
});
