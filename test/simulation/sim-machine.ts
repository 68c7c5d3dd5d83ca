/** One simulated machine: what survives its worker (disk, engine), and the worker's lives one after the other. */
import { assemble, type Worker } from '../../src/agent/assemble.ts';
import { NO_SIGNATURES } from '../../src/agent/signature-check.ts';
import { FatalError } from '../../src/agent/startup.ts';
import { GitError, RETRYABLE } from '../../src/git/errors.ts';
import type { RefSwap } from '../../src/git/repository.ts';
import type { HourlyQuota } from '../../src/host/quota.ts';
import type { Outbox, OutboxEntry } from '../../src/ledger/outbox.ts';
import type { Retry } from '../../src/ledger/publisher.ts';
import type { Emit } from '../../src/observe/events.ts';
import { testSettings } from '../support/memory-grid.ts';
import { Life } from './life.ts';
import type { SeededRandom } from './seeded-random.ts';
import { SimEngine, SimExecutor } from './sim-engine.ts';
import type { SimRemote } from './sim-remote.ts';
import { type SimNetwork, SimRepository } from './sim-repository.ts';
import type { Timeline } from './timeline.ts';

const RETRY_DELAYS_MS = [0, 1_000, 2_000];
const PULL_INTERVAL_MS = 4_000;
const HEARTBEAT_INTERVAL_MS = 5_000;
/** Reached by those that run for long. */
const MAX_FOLLOW_BYTES = 128;
export const NODE_TTL_MS = 25_000;
/** As a worker with these intervals has it: after a longer pause between readings it counts anew. */
export const MAX_READING_GAP_MS = 2 * HEARTBEAT_INTERVAL_MS + 15_000;

export interface MachineParts {
  name: string;
  nodeId: string;
  timeline: Timeline;
  remote: SimRemote;
  network: SimNetwork;
  random: SeededRandom;
  /** 0: it always looks at the set interval. */
  maxPullIntervalMs: number;
  onStart: ConstructorParameters<typeof SimEngine>[1];
  /** A node concluded something, or told something. */
  onEvent: (machine: SimMachine, ...event: Parameters<Emit>) => void;
  onSend: (node: string, swap: RefSwap) => void;
  /** The worker threw what it must not throw. */
  onBug: (error: unknown) => void;
}

export class SimMachine {
  readonly name: string;
  readonly nodeId: string;
  readonly engine: SimEngine;
  life: Life | null = null;
  worker: Worker | null = null;
  /** It stopped for good: another machine has its id. */
  isOut = false;
  readonly #parts: MachineParts;
  readonly #outbox = new Map<string, OutboxEntry>();
  readonly #rate: number;

  constructor(parts: MachineParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.nodeId = parts.nodeId;
    this.engine = new SimEngine(parts.timeline, parts.onStart);
    this.#rate = parts.random.between(0.97, 1.03);
  }

  get isUp(): boolean {
    return this.life !== null && !this.life.ended;
  }

  /** Starts the worker anew. */
  boot(): void {
    if (this.isUp || this.isOut) return;
    const { network, onBug, onEvent, onSend, random, remote, timeline } = this.#parts;
    const life = new Life(timeline, this.#rate);
    this.life = life;
    const emit: Emit = (name, fields = {}) => onEvent(this, name, fields);
    const settings = testSettings('/nowhere', this.nodeId, {
      pullIntervalMs: PULL_INTERVAL_MS,
      maxPullIntervalMs: this.#parts.maxPullIntervalMs,
      heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
      nodeTtlMs: NODE_TTL_MS,
      shutdownGraceMs: 10_000,
      recordDelayMs: 3_000,
      followIntervalMs: 2_000,
      maxFollowBytes: MAX_FOLLOW_BYTES,
      recordBatchSize: 3,
      healthCheckEvery: 10,
      refNamespace: 'refs/dgrid',
    });
    this.worker = assemble({
      settings,
      ports: {
        repository: new SimRepository({
          life,
          machine: this.name,
          remote,
          network,
          random,
          onSend: (swap) => onSend(this.nodeId, swap),
        }),
        executor: new SimExecutor({ engine: this.engine, life, faults: () => network.faults, random }),
        sensors: IDLE_SENSORS,
        quota: unlimitedQuota(life, random),
        outbox: this.#openOutbox(life),
        signing: NO_SIGNATURES,
        retry: simRetry(life),
        clock: life,
        randomHex: (bytes) => random.hex(bytes),
        emit,
      },
      machine: `machine-${this.name}`,
      namespace: 'refs/dgrid',
      allowsImage: () => true,
      allowsNetwork: () => true,
      version: 'simulated',
      description: {},
      untilIdle: false,
    });
    this.worker.agent.run().then(
      () => life.end(),
      (error: unknown) => {
        life.end();
        // Two machines with one id: a person gives one of them another. Anything else they start again.
        if (error instanceof FatalError) this.isOut = error.message.includes('node id');
        else if (!(error instanceof GitError)) onBug(error);
      },
    );
  }

  /** kill -9 of the worker alone. */
  kill(): void {
    this.life?.end();
  }

  /** The power goes: the worker and its containers, but not what is on the disk. */
  powerOff(): void {
    this.kill();
    this.engine.crash();
  }

  /** SIGTERM. */
  stop(): void {
    this.life?.deliver(() => this.worker?.agent.requestStop());
  }

  /** Somebody calls its webhook. */
  nudge(): void {
    this.life?.deliver(() => this.worker?.agent.lookNow('webhook'));
  }

  get unpublished(): number {
    return this.#outbox.size;
  }

  #openOutbox(life: Life): Outbox {
    const { network, random } = this.#parts;
    const key = (entry: Pick<OutboxEntry, 'swap'>): string => entry.swap.to;
    const write = (act: () => void): Promise<void> =>
      new Promise((resolve, reject) => {
        life.after(random.between(0, 20), () => {
          if (random.chance(network.faults.diskFull)) {
            reject(new Error('ENOSPC: no space left on device'));
            return;
          }
          act();
          // Between the write and the news of it there is room for a crash.
          life.after(random.between(0, 20), resolve);
        });
      });
    return {
      add: (entry) => write(() => this.#outbox.set(key(entry), entry)),
      remove: (entry) => write(() => this.#outbox.delete(key(entry))),
      load: () =>
        new Promise((resolve) => {
          life.after(random.between(0, 20), () => resolve([...this.#outbox.values()]));
        }),
    };
  }
}

const IDLE_READING = {
  cpuPercent: 5,
  memory: { totalBytes: 2 ** 36, availableBytes: 2 ** 35, usedPercent: 50 },
  pressure: { cpu: null, memory: null, io: null },
  loadPerCpu: null,
  disks: [],
  failures: [],
};
const IDLE_SENSORS = {
  read: async () => IDLE_READING,
  readDisks: async () => IDLE_READING,
};

function unlimitedQuota(life: Life, random: SeededRandom): HourlyQuota {
  return {
    take: (wanted) => new Promise((resolve) => life.after(random.between(0, 10), () => resolve(wanted))),
    left: () => Number.POSITIVE_INFINITY,
    nextFreeInMs: () => 0,
    usedThisHour: () => 0,
    resetTimeIso: () => '',
  };
}

/** The schedule of the house, on the simulated clock. */
export function simRetry(life: Life): Retry {
  return async (_operation, attempt, signal) => {
    for (let tryNumber = 1; ; tryNumber += 1) {
      try {
        return await attempt(tryNumber);
      } catch (error) {
        const again = error instanceof GitError && RETRYABLE[error.kind] && tryNumber <= RETRY_DELAYS_MS.length;
        if (!again || signal?.aborted) throw error;
        await life.sleep(RETRY_DELAYS_MS[tryNumber - 1] ?? 0, signal);
      }
    }
  };
}
