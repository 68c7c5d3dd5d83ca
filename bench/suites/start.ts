/** How soon a task that is ours says its first word. */
import { type BareRun, dockerRun } from '../frame/bare-engine.ts';
import {
  bareEngine,
  COLD,
  type EngineBench,
  engineBench,
  followTask,
  hasSetting,
  queueSpeaker,
  TASK_BOUND_MS,
} from '../frame/engine-bench.ts';
import { type Aim, atMost, type Figure, figure, missingFigure, timesBetter } from '../frame/figure.ts';
import type { Lab, Suite } from '../frame/suite.ts';
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
    'nothing is kept ready. Warm: a container waits for a script. In turns with the bare Engine API calls (create, attach, ' +
    'wait, start, script on standard input, with the settings that the worker asked for) and with docker run of the same ' +
    'image, each from before its first call until its first byte.',
  aim: 'warm p50 ≤ 5 ms and ≥ 40 × faster than docker run; cold no slower than the bare Engine API calls + 10 %',
  boundMinutes: 30,
  run,
};

async function run(lab: Lab): Promise<Figure[]> {
  const rounds = lab.size(3, 100);
  const cold = await Starter.create(lab, 'cold', COLD);
  const warm = hasSetting('WARM_POOL_SIZE') ? await Starter.create(lab, 'warm', { WARM_POOL_SIZE: '2' }) : null;
  const bare: BareRun[] = [];
  const docker: BareRun[] = [];
  const coldMs: number[] = [];
  const engineMs: number[] = [];
  const warmMs: number[] = [];
  for (let round = 0; round < rounds + WARM_UPS; round += 1) {
    if (round % 10 === 0) lab.tell(`round ${round} of ${rounds + WARM_UPS}`);
    const ours = await cold.once(true);
    const byCalls = await bareEngine(cold.bench.tap).run('echo bare');
    const byDocker = await dockerRun(cold.bench.host, lab.directory.path, 'echo docker');
    const kept = await warm?.once(false);
    if (round < WARM_UPS) continue;
    coldMs.push(ours.fromClaimMs);
    engineMs.push(ours.fromCreateMs);
    bare.push(byCalls);
    docker.push(byDocker);
    if (kept) warmMs.push(kept.fromClaimMs);
  }
  return figures({ coldMs, engineMs, warmMs: warm ? warmMs : null, bare, docker });
}

interface Measured {
  coldMs: number[];
  engineMs: number[];
  /** null: this version keeps no containers ready. */
  warmMs: number[] | null;
  bare: BareRun[];
  docker: BareRun[];
}

function figures({ bare, coldMs, docker, engineMs, warmMs }: Measured): Figure[] {
  const calls = { name: BARE_CALLS, values: bare.map(({ firstByteMs }) => firstByteMs) };
  const command = { name: DOCKER_RUN, values: docker.map(({ firstByteMs }) => firstByteMs) };
  const notSlower = timesBetter(TEN_PERCENT_SLOWER, 'at most 10 % slower');
  const warm = (baseline: typeof calls, aim: Aim): Figure => {
    const frame = { name: 'warm: claim won → first byte', unit: 'ms', aim } as const;
    return warmMs === null
      ? missingFigure(frame, 'not available in this version: there is no setting WARM_POOL_SIZE')
      : figure({ ...frame, values: warmMs, baseline });
  };
  return [
    figure({ name: 'cold: claim won → first byte', unit: 'ms', values: coldMs, baseline: command }),
    figure({ name: 'cold: claim won → first byte', unit: 'ms', values: coldMs, baseline: calls, aim: notSlower }),
    figure({ name: 'cold: first call to the engine → first byte', unit: 'ms', values: engineMs, baseline: calls }),
    warm(calls, atMost(5, 'p50 ≤ 5 ms')),
    warm(command, timesBetter(40, '≥ 40 × faster')),
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

  /** @param makesContainer the task's own is made for it, and not before. */
  async once(makesContainer: boolean): Promise<{ fromClaimMs: number; fromCreateMs: number }> {
    this.#tasks += 1;
    const id = `start-${this.#tasks}`;
    const created = makesContainer
      ? this.#worker.next(
          'step.begun',
          TASK_BOUND_MS,
          (entry) => entry['step'] === 'container.create' && String(entry['container']).startsWith(`dgrid-${id}-`),
        )
      : null;
    const seen = followTask(this.#worker, this.bench.tap, id);
    await queueSpeaker(this.bench.path, id);
    const { claimedMs, firstByteMs } = await seen;
    const createdMs = (await created)?.loggedMs ?? Number.NaN;
    return { fromClaimMs: firstByteMs - claimedMs, fromCreateMs: firstByteMs - createdMs };
  }
}
