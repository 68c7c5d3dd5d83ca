/**
 * Looks at a grid again and again, straight from its repository, and keeps the documents of its pages up to date.
 *
 * A look is one listing of refs; only what is new is fetched. While nobody has asked for a page for a while it looks less
 * often. Whatever keeps it from looking stands in the documents, and it goes on trying.
 */
import { GitError } from '../git/errors.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { Observations } from '../ledger/observations.ts';
import type { QueueIndex } from '../ledger/queue-index.ts';
import { readResults } from '../ledger/results.ts';
import { SpecCache } from '../ledger/spec-cache.ts';
import { standingOf, statusOf } from '../ledger/task-standing.ts';
import { cut } from '../pages/foreign.ts';
import { GridHistory } from '../pages/grid-history.ts';
import { GridPages } from '../pages/grid-pages.ts';
import { MAX_MESSAGE_LENGTH, MAX_RECENT_ROWS } from '../pages/limits.ts';
import { bareResult, type RecentResult, recentOf } from '../pages/recent-results.ts';
import { isTaskId, type TaskId } from '../task/id.ts';
import { LONGEST_TIMEOUT_SECONDS } from '../task/task-schema.ts';
import type { GridClient } from './grid-client.ts';

/** So many are all read at the first look. Of more the past of the branch tells the newest, where it can be had. */
const FEW_RECORDS = 1_000;
/** Where it cannot, or tells of too few: more are never read at once. */
const MAX_RECORDS = 10_000;
/** Commits of that past. */
const PAST_DEPTH = 100;
/** A line of what recorders write into their commits. It is a hint where to look; what counts is the record. */
const RECORDED_LINE = /^([a-z0-9][a-z0-9_-]{0,62}): /gm;
/** Records that are held at the same time. */
const READ_BATCH = 500;
const IDLE_AFTER_MS = 60_000;
const IDLE_PAUSE_MS = 15_000;
const LONGEST_PAUSE_MS = 30_000;
/** Each fetch leaves a pack behind. */
const UPKEEP_INTERVAL_MS = 30 * 60_000;

export interface GridWatcherParts {
  client: GridClient;
  source: 'client' | 'static';
  version: string;
  /** Without credentials. */
  repository: string;
  maxTaskBytes: number;
  /** Between two looks while somebody has a page open. */
  intervalMs: number;
}

export class GridWatcher {
  readonly pages: GridPages;
  readonly #client: GridClient;
  readonly #intervalMs: number;
  readonly #history: GridHistory;
  readonly #specs: SpecCache;
  readonly #observations: Observations;
  #seen: { view: GridView; queue: QueueIndex } | null = null;
  #failures = 0;
  #askedAtMs: number;
  #keptUpAtMs: number;
  #wake = new AbortController();

  constructor({ client, source, version, repository, maxTaskBytes, intervalMs }: GridWatcherParts) {
    this.#client = client;
    this.#intervalMs = intervalMs;
    this.#history = new GridHistory(client.clock);
    this.#specs = new SpecCache(client.repository, { maxTaskBytes, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS });
    // Whose files have left the queue is told by their records.
    this.#observations = new Observations((view) => this.#history.observe(view, []));
    this.#askedAtMs = client.clock.monotonicMs();
    this.#keptUpAtMs = this.#askedAtMs;
    this.pages = new GridPages({
      grid: {
        repository: () => client.repository,
        history: this.#history,
        briefOf: (file) => this.#specs.brief(file),
        arrivalOf: (id) => this.#observations.arrivalOf(id),
        view: () => this.#seen?.view ?? null,
        namespace: () => client.reader.namespace,
        ownTasks: () => [],
        writtenOf: () => null,
        own: () => null,
      },
      source,
      version,
      repository,
      maxTaskBytes,
      clock: client.clock,
    });
  }

  /** Somebody asked for a page: looks come at the set interval for a while. */
  asked(): void {
    const wasIdle = this.#isIdle;
    this.#askedAtMs = this.#client.clock.monotonicMs();
    if (wasIdle) this.#wake.abort();
  }

  /** One look. @throws GitError */
  async look(): Promise<void> {
    const view = await this.#client.refresh({ nodes: 'all' });
    await this.#specs.update(view.queue);
    const results = await this.#newResults(view);
    if (this.#seen === null) this.#seedSeries(results);
    for (const result of results) this.#history.add(result);
    this.#observations.observe(view, this.#client.clock.monotonicMs());
    this.#seen = { view, queue: view.queue };
    this.pages.changed();
  }

  /** Looks until the client's signal. @throws whatever is not Git's */
  async watch(): Promise<void> {
    const { clock, signal } = this.#client;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      await clock.sleep(this.#pauseMs, AbortSignal.any([signal, this.#wake.signal]));
      if (signal.aborted) return;
      try {
        await this.look();
        this.#failures = 0;
        await this.#upkeep();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof GitError)) throw error;
        this.#failures += 1;
        this.#history.failed(error.message);
        this.pages.changed();
      }
    }
  }

  async #upkeep(): Promise<void> {
    const { clock, repository, signal } = this.#client;
    if (clock.monotonicMs() - this.#keptUpAtMs < UPKEEP_INTERVAL_MS) return;
    this.#keptUpAtMs = clock.monotonicMs();
    await repository.upkeep(signal);
  }

  get #isIdle(): boolean {
    return !this.pages.isWatched && this.#client.clock.monotonicMs() - this.#askedAtMs > IDLE_AFTER_MS;
  }

  get #pauseMs(): number {
    const usual = this.#isIdle ? Math.max(this.#intervalMs, IDLE_PAUSE_MS) : this.#intervalMs;
    return Math.max(usual, Math.min(usual * 2 ** this.#failures, LONGEST_PAUSE_MS));
  }

  /** Of tasks whose result was not there at the look before, in the order of their end. */
  async #newResults(view: GridView): Promise<RecentResult[]> {
    const before = this.#seen;
    const fresh = new Set<TaskId>();
    for (const [id, { oid, state }] of view.tasks) {
      const isFinished = state?.kind === 'state' && state.state.state === 'finished';
      if (isFinished && before?.view.tasks.get(id)?.oid !== oid) fresh.add(id);
    }
    const recorded = before ? view.queue.recorded(before.queue) : await this.#firstRecorded(view);
    // Those that were finished before have been read from their refs.
    for (const id of recorded) if (!this.#history.recent.get(id)?.isWhole) fresh.add(id);
    const wanted = [...fresh].slice(0, MAX_RECORDS);
    const results: RecentResult[] = [];
    for (let at = 0; at < wanted.length; at += READ_BATCH) {
      // Only what a row needs is kept of each: a record may have much output in it.
      for (const [id, found] of await readResults(this.#client, view, wanted.slice(at, at + READ_BATCH))) {
        const status = statusOf(standingOf(view, id)) ?? 'failed';
        results.push(
          found.ok
            ? recentOf(found.record)
            : { ...bareResult(id, status), message: cut(found.problem, MAX_MESSAGE_LENGTH) },
        );
      }
    }
    return results.sort((a, b) => endOf(a) - endOf(b));
  }

  async #firstRecorded(view: GridView): Promise<Iterable<TaskId>> {
    const { completed, failed } = view.queue.countRecords();
    const count = completed + failed;
    if (count <= FEW_RECORDS) return view.queue.recorded();
    // Whatever goes wrong here, the pages can do without.
    const messages = await this.#client.recentMessages(view.branch, PAST_DEPTH).catch(() => []);
    const named = messages
      .flatMap((message) => [...message.matchAll(RECORDED_LINE)].map(([, id]) => id ?? ''))
      .filter((id): id is TaskId => isTaskId(id) && view.queue.recordOf(id) !== null);
    return count <= MAX_RECORDS && new Set(named).size < MAX_RECENT_ROWS ? view.queue.recorded() : named;
  }

  /** The time before anybody looked, by the clocks of the nodes: for charts that is good enough. */
  #seedSeries(results: readonly RecentResult[]): void {
    const nowMs = this.#client.clock.wallMs();
    const ended = results.filter(({ finishedAt }) => finishedAt !== null);
    this.#history.series.seed(
      ended.map((result) => ({
        agoMs: Math.max(0, nowMs - endOf(result)),
        status: result.status,
        runMs: result.runMs,
      })),
    );
  }
}

function endOf({ finishedAt }: RecentResult): number {
  return finishedAt === null ? 0 : Date.parse(finishedAt);
}
