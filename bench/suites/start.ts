/** How soon a task that is ours says its first word. */

import { until } from '../../test/support/until.ts';
import { type BareRun, dockerRun } from '../frame/bare-engine.ts';
import {
  bareEngine,
  COLD,
  type EngineBench,
  engineBench,
  followTask,
  queueSpeaker,
  TASK_BOUND_MS,
} from '../frame/engine-bench.ts';
import { atMost, type Figure, figure, timesBetter } from '../frame/figure.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import { WarmExecutor } from '../frame/warm-executor.ts';
import type { BenchWorker } from '../frame/worker.ts';

const SETTINGS = { PULL_INTERVAL: '0.5', HEARTBEAT_INTERVAL: '60', MAX_PARALLEL_TASKS: '1' };
const WARM_UPS = 3;
const DOCKER_RUN = 'docker run';
const BARE_CALLS = 'bare Engine API calls';
const TEN_PERCENT_SLOWER = 1 / 1.1;

export const start: Suite = {
  name: 'start',
  title: 'from claim won to the first byte of output',
  method:
    'A worker process on a real container engine of its own, image busybox, one task at a time, each a script of one echo. ' +
    'From the moment that the worker logs the claim (to a millisecond) until the first byte of what the script prints comes ' +
    'out of the engine’s socket. That includes the second look at the grid which every claim from nothing needs. Cold: ' +
    'nothing is kept ready. Warm: a container waits for a script; the executor alone is asked as well, from the call until the first byte, to show what the second look takes. In turns with the bare Engine API calls (create, attach, ' +
    'wait, start, script on standard input, with the settings that the worker asked for) and with docker run of the same ' +
    'image, each from before its first call until its first byte.',
  aim: 'warm p50 ≤ 5 ms and ≥ 40 × faster than docker run; cold no slower than the bare Engine API calls + 10 %',
  limits:
    'a claim from nothing has to be looked at once more before its task may start, and that look is an idle poll: the ' +
    'server starts git for it, which takes most of its 7 ms (suite poll). From the executor on it is what the last row says. Of ' +
    'that, one line through the engine to a waiting shell and back takes 0.6 ms, each program that is started in a ' +
    'container 0.7 to 1 ms, and three are: two to receive the script whole, and the shell that runs it.',
  boundMinutes: 30,
  run,
};

async function run(lab: Lab): Promise<Figure[]> {
  const rounds = lab.size(3, 100);
  const cold = await Starter.create(lab, 'cold', COLD);
  const warm = await Starter.create(lab, 'warm', { WARM_POOL_SIZE: '2' });
  const alone = await WarmExecutor.start(lab, warm.bench.tap);
  const bare: BareRun[] = [];
  const docker: BareRun[] = [];
  const coldMs: number[] = [];
  const engineMs: number[] = [];
  const warmMs: number[] = [];
  const aloneMs: number[] = [];
  for (let round = 0; round < rounds + WARM_UPS; round += 1) {
    if (round % 10 === 0) lab.tell(`round ${round} of ${rounds + WARM_UPS}`);
    const ours = await cold.once('made for it');
    const byCalls = await bareEngine(cold.bench.tap).run('echo bare');
    const byDocker = await dockerRun(cold.bench.host, lab.directory.path, 'echo docker');
    const kept = await warm.once('waits');
    const byExecutor = await alone.once();
    if (round < WARM_UPS) continue;
    coldMs.push(ours.fromClaimMs);
    engineMs.push(ours.fromCreateMs);
    bare.push(byCalls);
    docker.push(byDocker);
    warmMs.push(kept.fromClaimMs);
    aloneMs.push(byExecutor);
  }
  return figures({ coldMs, engineMs, warmMs, aloneMs, bare, docker });
}

interface Measured {
  coldMs: number[];
  engineMs: number[];
  warmMs: number[];
  aloneMs: number[];
  bare: BareRun[];
  docker: BareRun[];
}

function figures({ aloneMs, bare, coldMs, docker, engineMs, warmMs }: Measured): Figure[] {
  const calls = { name: BARE_CALLS, values: bare.map(({ firstByteMs }) => firstByteMs) };
  const command = { name: DOCKER_RUN, values: docker.map(({ firstByteMs }) => firstByteMs) };
  const notSlower = timesBetter(TEN_PERCENT_SLOWER, 'at most 10 % slower');
  const warm = { name: 'warm: claim won → first byte', unit: 'ms', values: warmMs } as const;
  return [
    figure({ name: 'cold: claim won → first byte', unit: 'ms', values: coldMs, baseline: command }),
    figure({ name: 'cold: claim won → first byte', unit: 'ms', values: coldMs, baseline: calls, aim: notSlower }),
    figure({ name: 'cold: first call to the engine → first byte', unit: 'ms', values: engineMs, baseline: calls }),
    figure({ ...warm, baseline: calls, aim: atMost(5, 'p50 ≤ 5 ms') }),
    figure({ ...warm, baseline: command, aim: timesBetter(40, '≥ 40 × faster') }),
    figure({ name: 'warm: executor told to start → first byte', unit: 'ms', values: aloneMs, baseline: command }),
  ];
}

/** A worker with a grid of its own. */
class Starter {
  readonly bench: EngineBench;
  readonly #worker: BenchWorker;
  #tasks = 0;

  private constructor(bench: EngineBench, worker: BenchWorker) {
    this.bench = bench;
    this.#worker = worker;
  }

  static async create(lab: Lab, name: string, env: Readonly<Record<string, string>>): Promise<Starter> {
    const bench = await engineBench(lab);
    return new Starter(bench, await bench.startWorker(name, { ...SETTINGS, ...env }));
  }

  async once(container: 'made for it' | 'waits'): Promise<{ fromClaimMs: number; fromCreateMs: number }> {
    if (container === 'waits') {
      // Each task before took one of them at most.
      const waiting = (): number => (this.#worker.counts.get('pool.filled') ?? 0) - this.#tasks;
      await until('a container waits', () => waiting() > 0, TASK_BOUND_MS);
    }
    this.#tasks += 1;
    const id = `start-${this.#tasks}`;
    const created =
      container === 'waits'
        ? null
        : this.#worker.next(
            'step.begun',
            TASK_BOUND_MS,
            (entry) => entry['step'] === 'container.create' && String(entry['container']).startsWith(`dgrid-${id}-`),
          );
    const seen = followTask(this.#worker, this.bench.tap, id);
    await queueSpeaker(this.bench.path, id);
    const { claimedMs, firstByteMs } = await seen;
    const createdMs = (await created)?.loggedMs ?? Number.NaN;
    return { fromClaimMs: firstByteMs - claimedMs, fromCreateMs: firstByteMs - createdMs };
  }
}
