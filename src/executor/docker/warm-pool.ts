/**
 * Containers that wait for a task, so that a script starts in milliseconds. Of each kind of container that was used
 * lately it keeps some ready, and never more than its limit in all.
 *
 *     (made) ──▶ waiting ──take──▶ the taker's
 *                   └─ not wanted, unfit, room needed, closing ─▶ removed
 *
 * One loop makes and removes, one thing at a time, beside the tasks. Nobody ever waits for it: where it has nothing, a
 * container is made for the task.
 *
 * Invariants: a container is in `#kinds` as long as nobody has taken it, and nobody takes it twice. Nothing is made before
 * the first `prepare('fill')`. What could not be removed is given up here and found again by its labels (`#sweep`), as is
 * what an earlier life left.
 */
import type { Clock, RandomHex } from '../../runtime.ts';
import type { PoolStats, Readiness } from '../executor.ts';
import { type ContainerSpec, warmKey, warmSpec } from './container-spec.ts';
import { withDeadline } from './deadline.ts';
import type { RunContext } from './run.ts';
import { WarmContainer } from './warm-container.ts';
import { type KindUse, planPool } from './warm-plan.ts';
import { type SweepOptions, sweepWarm } from './warm-sweep.ts';

const NONCE_BYTES = 16;
const NAME_SUFFIX_BYTES = 8;
/** After a failure, doubled with each that follows. */
const PAUSE_FIRST_MS = 1_000;
const PAUSE_LONGEST_MS = 300_000;
/** Other kinds are forgotten, the one used longest ago first. */
const MAX_KINDS = 64;
/** A task that is just being started has the machine to itself: making the next container takes all of a small one. */
const REFILL_DELAY_MS = 150;
/** What is not removed by then goes by itself, and the next start removes what is left of it. */
const CLOSE_LIMIT_MS = 10_000;

/** What a task needs: the container that would be made for it, and what its image's name stands for. */
export interface Wanted {
  spec: ContainerSpec;
  image: { id: string; name: string };
}

export interface WarmPoolOptions extends SweepOptions {
  maxContainers: number;
  idleMs: number;
  clock: Clock;
  randomHex: RandomHex;
  /** Also registers the container as one in use, until it is removed. */
  contextFor: (containerName: string) => RunContext;
  /** What most tasks will need; null when there is no telling yet. */
  usual: () => Promise<Wanted | null>;
}

interface Kind extends Wanted {
  waiting: WarmContainer[];
  usesMs: number[];
  failures: number;
  notBeforeMs: number;
}

export class WarmPool {
  readonly #options: WarmPoolOptions;
  readonly #containers: RunContext['containers'];
  readonly #kinds = new Map<string, Kind>();
  readonly #closing = new AbortController();
  #readiness: Readiness = 'hold';
  #work: Promise<void> | null = null;
  #nudged = new AbortController();
  /** Something of ours may be on the engine that nobody here knows. */
  #sweepIsDue = true;
  #usualIsDue: boolean;
  #upkeep = { failures: 0, notBeforeMs: Number.NEGATIVE_INFINITY };
  /** Set by the first task since something was made: those that follow put it off no further. */
  #refillFromMs: number | null = null;
  #hits = 0;
  #misses = 0;
  #died = 0;

  constructor(options: WarmPoolOptions, containers: RunContext['containers']) {
    this.#options = options;
    this.#usualIsDue = options.maxContainers > 0;
    this.#containers = containers;
  }

  /** null: nothing is made ahead here. */
  get stats(): PoolStats | null {
    if (this.#options.maxContainers === 0) return null;
    const kinds = [...this.#kinds.values()];
    return {
      limit: this.#options.maxContainers,
      waiting: kinds.reduce((sum, { waiting }) => sum + waiting.length, 0),
      hits: this.#hits,
      misses: this.#misses,
      died: this.#died,
      kinds: kinds.map(({ image, spec, waiting }) => ({
        image: image.name,
        network: spec.HostConfig.NetworkMode,
        cpus: spec.HostConfig.NanoCpus / 1e9,
        memory_bytes: spec.HostConfig.Memory,
        waiting: waiting.length,
      })),
    };
  }

  prepare(readiness: Readiness): void {
    if (this.#closing.signal.aborted) return;
    const isNews = readiness !== this.#readiness;
    this.#readiness = readiness;
    if (this.#work === null && readiness === 'fill') this.#work = this.#run();
    else if (isNews) this.#nudge();
  }

  /** @returns one that the caller has to hand its task, or to drop; null: there is none just now. */
  take(wanted: Wanted): WarmContainer | null {
    if (this.#options.maxContainers === 0) return null;
    const kind = this.#use(wanted);
    this.#refillFromMs ??= this.#options.clock.monotonicMs() + REFILL_DELAY_MS;
    this.#nudge();
    for (const unfit of kind.waiting.filter(({ isFit }) => !isFit)) void this.#lose(kind, unfit);
    const fit = kind.waiting[0];
    if (fit === undefined) {
      this.#misses += 1;
      return null;
    }
    kind.waiting = kind.waiting.slice(1);
    kind.failures = 0;
    this.#hits += 1;
    return fit;
  }

  /** For one that was taken and has no task after all. */
  discard(container: WarmContainer): void {
    void this.#drop(container);
  }

  /** Removes all that waits, as far as the engine lets it. Refilled at the next `prepare('fill')`. */
  async empty(): Promise<void> {
    this.#readiness = 'empty';
    await this.#dropAll();
  }

  /** Resolves when nothing waits any more, or after a fixed time. */
  async close(): Promise<void> {
    this.#closing.abort();
    const { clock } = this.#options;
    const finish = async (): Promise<void> => {
      await this.#work;
      await this.#dropAll();
      if (this.#work !== null && this.#sweepIsDue) await this.#sweep();
    };
    // In vain where the engine does not answer; what stays is found at the next start.
    await withDeadline(clock, CLOSE_LIMIT_MS, [], finish).catch(() => {});
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closing.signal.aborted) {
      this.#nudged = new AbortController();
      const lookAtMs = await this.#step();
      const signal = AbortSignal.any([this.#nudged.signal, this.#closing.signal]);
      // A look every now and then costs nothing.
      const pauseMs = Math.min(PAUSE_LONGEST_MS, (lookAtMs ?? Number.POSITIVE_INFINITY) - clock.monotonicMs());
      await clock.sleep(pauseMs, signal);
    }
  }

  /** Does one thing. @returns when to go on; null: when something happens. */
  async #step(): Promise<number | null> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#readiness === 'empty') {
      await this.#dropAll();
      return null;
    }
    if (this.#refillFromMs !== null && this.#refillFromMs <= nowMs) this.#refillFromMs = null;
    const upkeepIsDue = this.#readiness === 'fill' && (this.#sweepIsDue || this.#usualIsDue);
    if (upkeepIsDue && this.#upkeep.notBeforeMs <= nowMs) {
      await this.#doUpkeep();
      return nowMs;
    }
    const { create, retire, lookAtMs } = planPool(this.#uses(), this.#options, nowMs);
    for (const { key, count } of retire) await this.#dropSome(this.#kinds.get(key), count);
    if (retire.length > 0) return nowMs;
    this.#forgetKinds(nowMs);
    const kind = create === null || this.#readiness !== 'fill' ? undefined : this.#kinds.get(create);
    if (kind !== undefined) {
      if (this.#refillFromMs !== null) return this.#refillFromMs;
      await this.#make(kind);
      return nowMs;
    }
    return upkeepIsDue ? Math.min(this.#upkeep.notBeforeMs, lookAtMs ?? Number.POSITIVE_INFINITY) : lookAtMs;
  }

  async #doUpkeep(): Promise<void> {
    try {
      if (this.#sweepIsDue) await this.#sweep();
      if (this.#usualIsDue) await this.#expectUsual();
      this.#upkeep = { failures: 0, notBeforeMs: Number.NEGATIVE_INFINITY };
    } catch (error) {
      this.#penalise(this.#upkeep);
      this.#tellFailure(error);
    }
  }

  /** Nothing is known of the tasks yet, so the whole pool waits for the usual one. */
  async #expectUsual(): Promise<void> {
    const usual = await this.#options.usual();
    this.#usualIsDue = false;
    if (usual === null) return;
    for (let uses = 0; uses < this.#options.maxContainers; uses += 1) this.#use(usual);
  }

  async #sweep(): Promise<void> {
    this.#sweepIsDue = false;
    try {
      await sweepWarm(this.#containers, this.#options);
    } catch (error) {
      this.#sweepIsDue = true;
      throw error;
    }
  }

  async #make(kind: Kind): Promise<void> {
    const { contextFor, emit, gridId, nodeId, randomHex } = this.#options;
    const name = `dgrid-warm-${randomHex(NAME_SUFFIX_BYTES)}`;
    const nonce = randomHex(NONCE_BYTES);
    const context = contextFor(name);
    try {
      const spec = warmSpec(kind.spec, kind.image.id, { gridId, nodeId, nonce });
      const container = await WarmContainer.make({ name, nonce, spec }, context);
      kind.waiting.push(container);
      void container.gone.then(() => this.#lose(kind, container));
      if (!container.isFit) return void this.#lose(kind, container);
      emit('pool.filled', { container: name, image: kind.image.name });
      // Whoever said so meanwhile has not seen this one.
      if (this.#readiness === 'empty' || this.#closing.signal.aborted) await this.#dropAll();
    } catch (error) {
      context.onRemoved();
      this.#sweepIsDue = true; // the answer may have been lost, and not the container
      this.#penalise(kind);
      this.#tellFailure(error, kind);
    }
  }

  /** One that waited has ended, or nothing more is heard of it. */
  async #lose(kind: Kind, container: WarmContainer): Promise<void> {
    if (!kind.waiting.includes(container)) return; // taken, or dropped
    kind.waiting = kind.waiting.filter((other) => other !== container);
    this.#died += 1;
    // One that had stood for long says nothing against the next.
    if (container.waitedMs > PAUSE_LONGEST_MS) kind.failures = 0;
    this.#penalise(kind);
    const end = await container.postMortem().catch(() => ({ exitCode: null, isUnable: false }));
    // As long as its kind is remembered, no other one is tried.
    if (end.isUnable) kind.notBeforeMs = Number.POSITIVE_INFINITY;
    const pauseMs = kind.notBeforeMs - this.#options.clock.monotonicMs();
    this.#options.emit(end.isUnable ? 'pool.unable' : 'pool.died', {
      container: container.name,
      image: kind.image.name,
      exit_code: end.exitCode,
      ...(end.isUnable ? {} : { pause_ms: Math.max(0, Math.round(pauseMs)) }),
    });
    await this.#drop(container);
    this.#nudge();
  }

  async #dropAll(): Promise<void> {
    await Promise.all([...this.#kinds.values()].map((kind) => this.#dropSome(kind, kind.waiting.length)));
  }

  async #dropSome(kind: Kind | undefined, count: number): Promise<void> {
    await Promise.all((kind?.waiting.splice(0, count) ?? []).map((container) => this.#drop(container)));
  }

  async #drop(container: WarmContainer): Promise<void> {
    try {
      await container.drop();
    } catch (error) {
      this.#sweepIsDue = true;
      if (!this.#closing.signal.aborted) {
        this.#options.emit('container.remove-failed', { container: container.name, err: error });
      }
    }
  }

  #use({ image, spec }: Wanted): Kind {
    const { clock, maxContainers } = this.#options;
    const key = warmKey(spec, image.id);
    const kind = this.#kinds.get(key) ?? {
      image,
      // Nothing of the task that asked: its variables are nobody else's business.
      spec: warmSpec(spec, image.id, { gridId: '', nodeId: this.#options.nodeId, nonce: '' }),
      waiting: [],
      usesMs: [],
      failures: 0,
      notBeforeMs: Number.NEGATIVE_INFINITY,
    };
    this.#kinds.delete(key);
    this.#kinds.set(key, kind);
    kind.usesMs = [...kind.usesMs, clock.monotonicMs()].slice(-maxContainers);
    for (const other of this.#kinds.values()) {
      // The name stands for another image now: nobody will ask for the former.
      if (other.image.name === image.name && other.image.id !== image.id) other.usesMs = [];
    }
    return kind;
  }

  #uses(): KindUse[] {
    return [...this.#kinds].map(([key, { usesMs, waiting, notBeforeMs }]) => {
      return { key, usesMs, waiting: waiting.length, notBeforeMs };
    });
  }

  #forgetKinds(nowMs: number): void {
    for (const [key, { usesMs, waiting }] of this.#kinds) {
      const isIdle = usesMs.every((usedMs) => nowMs - usedMs >= this.#options.idleMs);
      if (waiting.length === 0 && (isIdle || this.#kinds.size > MAX_KINDS)) this.#kinds.delete(key);
    }
  }

  /** Several failures at once count as one: all that waits dies with its engine. */
  #penalise(what: { failures: number; notBeforeMs: number }): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs < what.notBeforeMs) return;
    what.notBeforeMs = nowMs + Math.min(PAUSE_LONGEST_MS, PAUSE_FIRST_MS * 2 ** what.failures);
    what.failures += 1;
  }

  #tellFailure(error: unknown, kind?: Kind): void {
    if (this.#closing.signal.aborted) return;
    this.#options.emit('pool.failed', { ...(kind ? { image: kind.image.name } : {}), err: error });
  }

  #nudge(): void {
    this.#nudged.abort();
  }
}
