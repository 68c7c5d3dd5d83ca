/**
 * One run of a simulated grid, decided by its seed alone: machines, people and a host, some time of trouble, then peace.
 * At the end the oracle judges the true history, and everything that was queued must have come to its end.
 *
 * The workers are the real ones, agent and ledger, on other ports: a host in memory, a clock that does not wait, an engine
 * without containers. A worker may die at each of its awaits on the world outside.
 */

import type { Job } from '../../src/executor/executor.ts';
import type { Oid, RefName } from '../../src/git/oid.ts';
import type { RefSwap } from '../../src/git/repository.ts';
import type { EventFields, EventName } from '../../src/observe/events.ts';
import { examineHistory, type Violation } from '../support/oracle/check.ts';
import type { Figures } from '../support/oracle/figures.ts';
import type { History, SwapTry, TaskStart } from '../support/oracle/history.ts';
import { drawFaults, NO_FAULTS } from './faults.ts';
import { SeededRandom } from './seeded-random.ts';
import { NODE_TTL_MS, SimMachine } from './sim-machine.ts';
import { SimPerson } from './sim-person.ts';
import { MAIN, SimRemote } from './sim-remote.ts';
import type { SimNetwork } from './sim-repository.ts';
import { Timeline } from './timeline.ts';

const DAY_MS = 86_400_000;
/** After the trouble, everything must come to rest within this time. */
const PEACE_LIMIT_MS = 30 * NODE_TTL_MS;
const CLOCK_DRIFT = 0.04;
/** Of the runs, so many begin with a time in which nothing happens, and the workers come to look ever less often. */
const SLEEPY_SHARE = 0.2;
const MAX_SLEEP_MS = 1_500_000;
/** Below and above the longest pause between readings that a death may be concluded over. */
const MAX_PULL_INTERVALS_MS = [10_000, 20_000, 40_000, 120_000];
const SLEEPY_SALT = 0x51ee9;

export interface SimulationOutcome {
  seed: number;
  violations: Violation[];
  figures: Figures;
  /** How long it took to come to rest after the trouble; null when it never did. */
  settledAfterMs: number | null;
  /** The longest interval at which a worker looked. */
  slowestPaceMs: number;
  events: number;
  /** Equal for equal runs. */
  digest: string;
}

export async function simulate(
  seed: number,
  tell: (line: string) => void = () => undefined,
): Promise<SimulationOutcome> {
  const run = new Simulation(seed, tell);
  return run.run();
}

class Simulation {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #timeline = new Timeline();
  readonly #remote = new SimRemote(() => this.#timeline.nowMs);
  readonly #machines: SimMachine[] = [];
  readonly #person: SimPerson;
  readonly #network: SimNetwork;
  readonly #cuts = new Map<string, { fromMs: number; untilMs: number }>();
  readonly #tries: SwapTry[] = [];
  readonly #starts: TaskStart[] = [];
  readonly #sentMs = new Map<string, number>();
  readonly #bugs: Violation[] = [];
  readonly #tell: (line: string) => void;
  #judgedAt = -1;
  #atRest = false;
  #lateReadings = false;
  /** Its own chance, so that the other runs of a seed stay what they were. 0: no sleep, and always the set interval. */
  readonly #sleepMs: number;
  readonly #maxPullIntervalMs: number;
  #slowestPaceMs = 0;

  constructor(seed: number, tell: (line: string) => void) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#tell = tell;
    const sleepy = new SeededRandom(seed ^ SLEEPY_SALT);
    const sleeps = sleepy.chance(SLEEPY_SHARE);
    this.#sleepMs = sleeps ? sleepy.between(0, MAX_SLEEP_MS) : 0;
    this.#maxPullIntervalMs = sleeps ? sleepy.pick(MAX_PULL_INTERVALS_MS) : 0;
    this.#network = {
      faults: NO_FAULTS,
      isCut: (machine) => {
        const cut = this.#cuts.get(machine);
        return cut !== undefined && this.#timeline.nowMs >= cut.fromMs && this.#timeline.nowMs < cut.untilMs;
      },
    };
    this.#person = new SimPerson({
      timeline: this.#timeline,
      remote: this.#remote,
      network: this.#network,
      random: this.#random,
      onSend: this.#onSend,
      onEvent: (name, fields) => this.#onEvent('laptop', name, fields),
      onBug: this.#onBug,
    });
  }

  async run(): Promise<SimulationOutcome> {
    const random = this.#random;
    this.#buildMachines();
    await this.#timeline.run(this.#sleepMs, () => false);
    this.#network.faults = drawFaults(random);
    this.#lateReadings = this.#network.faults.stale > 0;
    await this.#person.queue(1 + random.below(4));
    const troubleMs = random.between(20_000, 100_000);
    const peaceAtMs = this.#timeline.nowMs + troubleMs;
    for (const machine of this.#machines) this.#plan(machine, troubleMs);
    this.#planPeople(troubleMs);
    if (this.#sleepMs > 0) this.#planNudges(troubleMs);
    await this.#timeline.run(peaceAtMs, () => false);
    this.#makePeace();
    const settled = await this.#timeline.run(peaceAtMs + PEACE_LIMIT_MS, () => this.#isAtRest());
    const settledAfterMs = settled ? this.#timeline.nowMs - peaceAtMs : null;
    const lateReadings = this.#lateReadings;
    const history: History = {
      format: 'sha1',
      branch: MAIN,
      namespace: 'refs/dgrid',
      changes: this.#remote.changes,
      tries: this.#tries,
      starts: this.#starts,
      object: (oid) => this.#remote.everSent.get(oid) ?? null,
    };
    const { violations, figures } = examineHistory(history, {
      settled: true,
      clockDrift: CLOCK_DRIFT,
      // A reading that is late shows owners as they were.
      clockToleranceMs: 1,
      lateReadings,
    });
    if (settledAfterMs === null) violations.push(this.#stuck());
    return {
      seed: this.#seed,
      violations: [...this.#bugs, ...violations],
      figures,
      settledAfterMs,
      slowestPaceMs: this.#slowestPaceMs,
      events: this.#timeline.eventsRun,
      digest: this.#digest(),
    };
  }

  #buildMachines(): void {
    const random = this.#random;
    const count = random.pick([1, 2, 2, 2, 3, 3, 4]);
    const ids = Array.from({ length: count }, (_, index) => `n${index}`);
    // Somebody copied a configuration: two machines, one id.
    if (random.chance(0.05)) ids.push('n0');
    for (const [index, nodeId] of ids.entries()) {
      const machine = new SimMachine({
        name: `m${index}`,
        nodeId,
        timeline: this.#timeline,
        remote: this.#remote,
        network: this.#network,
        random,
        maxPullIntervalMs: this.#maxPullIntervalMs,
        onStart: this.#onStart,
        onEvent: (from, name, fields) => this.#onEvent(from.nodeId, name, fields),
        onSend: this.#onSend,
        onBug: this.#onBug,
      });
      this.#machines.push(machine);
      this.#timeline.after(random.between(0, 10_000), () => this.#boot(machine));
    }
  }

  #boot(machine: SimMachine): void {
    machine.boot();
    if (machine.life && this.#network.faults !== NO_FAULTS && this.#random.chance(0.4)) {
      machine.life.endsAtDelivery = 1 + this.#random.below(400);
    }
  }

  /** What befalls a machine. Each kind of trouble comes to some runs and not to others. */
  #plan(machine: SimMachine, troubleMs: number): void {
    const random = this.#random;
    const sometime = (act: () => void): void => void this.#timeline.after(random.between(0, troubleMs), act);
    const often = (probability: number, act: () => void): void => {
      while (random.chance(probability)) sometime(act);
    };
    // The first machine comes back in the end, whatever happens to the others.
    const comesBack = machine === this.#machines[0] || random.chance(0.8);
    if (comesBack) {
      // Somebody, or systemd, looks after it now and then.
      for (let atMs = 0; atMs < troubleMs; atMs += random.between(500, 40_000)) {
        this.#timeline.after(atMs, () => this.#boot(machine));
      }
    } else machine.isOut = random.chance(0.2);
    often(0.4, () => {
      this.#tell(`${this.#timeline.nowMs} kill ${machine.name}`);
      machine.kill();
    });
    often(0.2, () => machine.powerOff());
    often(0.2, () => machine.stop());
    often(0.3, () => machine.life?.pause(random.between(100, 3 * NODE_TTL_MS), random.pick(['stopped', 'suspended'])));
    often(0.2, () => machine.life?.jumpWall(random.pick([-DAY_MS, DAY_MS])));
    if (random.chance(0.3)) {
      const fromMs = this.#timeline.nowMs + random.between(0, troubleMs);
      this.#cuts.set(machine.name, { fromMs, untilMs: fromMs + random.between(1_000, 3 * NODE_TTL_MS) });
    }
  }

  #planPeople(troubleMs: number): void {
    const random = this.#random;
    while (random.chance(0.7)) {
      this.#timeline.after(random.between(0, troubleMs), () => {
        this.#person.act().catch(this.#onBug);
      });
    }
    if (random.chance(0.2)) this.#timeline.after(random.between(0, troubleMs), () => this.#remote.prune());
  }

  /** Webhooks: some machines are told of what happens, now and then, and some at moments when nothing does. */
  #planNudges(troubleMs: number): void {
    const random = this.#random;
    for (const machine of this.#machines) {
      while (random.chance(0.6)) this.#timeline.after(random.between(0, troubleMs), () => machine.nudge());
    }
  }

  #makePeace(): void {
    this.#tell(`${this.#timeline.nowMs} peace`);
    this.#network.faults = NO_FAULTS;
    this.#cuts.clear();
    for (const [index, machine] of this.#machines.entries()) {
      if (machine.life) machine.life.endsAtDelivery = Number.POSITIVE_INFINITY;
      machine.life?.resume();
      if (index === 0) machine.isOut = false;
      // Systemd again; a worker that was told to leave comes back too.
      for (let atMs = 0; atMs < PEACE_LIMIT_MS; atMs += NODE_TTL_MS) {
        this.#timeline.after(atMs, () => machine.boot());
      }
    }
  }

  /** Asked after each event, so it looks only when something has changed. */
  #isAtRest(): boolean {
    const busy = this.#machines.some(
      (machine) =>
        machine.isUp &&
        (machine.worker?.agent.state !== 'running' ||
          machine.unpublished > 0 ||
          machine.engine.containers.size > 0 ||
          machine.worker.runner.activeCount > 0 ||
          machine.worker.book.held.size > 0),
    );
    if (busy || !this.#machines.some(({ isUp }) => isUp)) return false;
    if (this.#judgedAt !== this.#remote.changes.length) {
      this.#judgedAt = this.#remote.changes.length;
      this.#atRest = false;
      if ([...this.#remote.refs.keys()].some((ref) => ref.startsWith('refs/dgrid/tasks/'))) return false;
      void this.#person.index().then((index) => {
        this.#atRest = [...index.files.keys()].every((id) => index.alreadyRecorded.has(id));
      }, this.#onBug);
    }
    return this.#atRest;
  }

  #stuck(): Violation {
    const refs = [...this.#remote.refs.keys()].filter((ref) => !ref.startsWith('refs/dgrid/nodes/')).join(' ');
    const machines = this.#machines
      .map(({ engine, isOut, isUp, name, unpublished, worker }) =>
        isUp
          ? `${name} ${worker?.agent.state}, ${unpublished} unpublished, ${engine.containers.size} containers, closed: ${worker?.gate.reasons.map(({ reason }) => reason).join('+')}`
          : `${name} is ${isOut ? 'out' : 'down'}`,
      )
      .join('; ');
    return { rule: 'rest', ref: null, message: `not at rest after ${PEACE_LIMIT_MS} ms: ${refs}; ${machines}` };
  }

  readonly #onStart = (job: Job): void => {
    const { taskId, nodeId, incarnation, epoch } = job.key;
    this.#tell(`${this.#timeline.nowMs} ${nodeId} starts ${taskId} epoch ${epoch}`);
    this.#starts.push({
      node: nodeId,
      incarnation,
      taskId,
      epoch,
      attempt: job.attempt,
      timeMs: this.#timeline.nowMs,
    });
  };

  readonly #onSend = (node: string, { ref, to, from }: RefSwap): void => {
    const key = `${node} ${ref} ${to ?? from}`;
    if (!this.#sentMs.has(key)) this.#sentMs.set(key, this.#timeline.nowMs);
  };

  #onEvent(node: string, name: EventName, fields: EventFields = {}): void {
    this.#tell(`${this.#timeline.nowMs} ${node} ${name} ${JSON.stringify(fields, printable)}`);
    if (name === 'poll.pace') {
      this.#slowestPaceMs = Math.max(this.#slowestPaceMs, fields['interval_ms'] as number);
    }
    if (name !== 'swap.settled') return;
    const swap = fields as unknown as { ref: RefName; from: Oid | null; to: Oid | null; outcome: SwapTry['outcome'] };
    const { ref, from, to, outcome } = swap;
    const settledMs = this.#timeline.nowMs;
    const sentMs = this.#sentMs.get(`${node} ${ref} ${to ?? from}`) ?? settledMs;
    this.#tries.push({ node, ref, from, to, outcome, sentMs, settledMs });
  }

  readonly #onBug = (error: unknown): void => {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#bugs.push({ rule: 'bug', ref: null, message });
  };

  #digest(): string {
    let hash = 0;
    for (const { ref, to, timeMs } of this.#remote.changes) {
      for (const char of `${timeMs} ${ref} ${to}`) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) | 0;
    }
    return (hash >>> 0).toString(16);
  }
}

function printable(key: string, value: unknown): unknown {
  return key === 'err' && value instanceof Error ? value.message : value;
}
