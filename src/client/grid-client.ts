/**
 * A client of the grid: reads what is there, and moves refs by the same rules as a worker does. It has no node, holds no
 * claims and answers for nothing after it has gone.
 */
import { GitError } from '../git/errors.ts';
import type { ObjectFormat, RefName } from '../git/oid.ts';
import type { Repository } from '../git/repository.ts';
import { GridReader, type GridView, type RefreshOptions } from '../ledger/grid-view.ts';
import type { Namespace } from '../ledger/names.ts';
import { Publisher, type PushRequest, type Retry } from '../ledger/publisher.ts';
import type { SwapOutcome } from '../ledger/settle.ts';
import { StateWriter } from '../ledger/state-writer.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock, RandomHex } from '../runtime.ts';
import type { TaskId } from '../task/id.ts';

/** Of a busy grid something moves at each of them. */
const MAX_LOOKS = 4;

export interface GridClientParts {
  repository: Repository;
  namespace: Namespace;
  /** null: the remote's HEAD. */
  branch: string | null;
  user: { name: string; email: string };
  retry: Retry;
  clock: Clock;
  randomHex: RandomHex;
  emit: Emit;
  /** Aborts whatever is under way. */
  signal: AbortSignal;
  /** See `recentMessages`; absent: the past of a branch cannot be had. */
  recentMessages?: (ref: RefName, depth: number) => Promise<string[]>;
}

export class GridClient {
  readonly repository: Repository;
  readonly reader: GridReader;
  readonly writer: StateWriter;
  readonly clock: Clock;
  readonly randomHex: RandomHex;
  readonly signal: AbortSignal;
  /** Tasks that this client queued after it last looked. */
  readonly queuedSince = new Set<TaskId>();
  readonly #publisher: Publisher;
  readonly #recentMessages: GridClientParts['recentMessages'];

  constructor(parts: GridClientParts) {
    const { repository, namespace, branch, clock, randomHex, emit, signal } = parts;
    this.repository = repository;
    this.clock = clock;
    this.randomHex = randomHex;
    this.signal = signal;
    this.#recentMessages = parts.recentMessages;
    this.reader = new GridReader({ repository, clock, namespace, branch });
    this.writer = new StateWriter({ user: parts.user, clock, randomHex, format: () => repository.objectFormat() });
    this.#publisher = new Publisher({
      repository,
      clock,
      retry: parts.retry,
      emit,
      pushesPerMinute: 0,
      signal,
      onSettled: ({ swap }, outcome) => {
        if (outcome.kind === 'won') this.reader.apply(swap);
      },
      // Whoever pushed hears of it.
      onFailed: () => undefined,
    });
  }

  get format(): ObjectFormat {
    return this.repository.objectFormat();
  }

  /**
   * A fresh view. What moved on between the listing and the fetch has no state in it: it is looked at again, a few times. A
   * damaged cache is replaced, once. @throws GitError
   */
  async refresh(options: Omit<RefreshOptions, 'signal'> = {}): Promise<GridView> {
    let view = await this.#look(options);
    for (let looks = 1; looks < MAX_LOOKS && lacksStates(view, options.nodes === 'all'); looks += 1) {
      view = await this.#look(options);
    }
    return view;
  }

  async #look(options: Omit<RefreshOptions, 'signal'>): Promise<GridView> {
    const all = { ...options, signal: this.signal };
    try {
      return await this.reader.refresh(all);
    } catch (error) {
      if (!(error instanceof GitError) || error.kind !== 'corrupt-local') throw error;
      await this.repository.rebuild(error.message, this.signal);
      this.reader.reset();
      return this.reader.refresh(all);
    }
  }

  /** Messages of the newest commits of a branch, the newest first; none where the host sends no past without its files. @throws GitError */
  async recentMessages(ref: RefName, depth: number): Promise<string[]> {
    return (await this.#recentMessages?.(ref, depth)) ?? [];
  }

  /** @throws GitError when, after all tries, nothing certain is known; the swap may or may not have been applied. */
  push(request: PushRequest): Promise<SwapOutcome> {
    return this.#publisher.push(request);
  }
}

/** @param ofNodes whether those of all nodes were asked for */
function lacksStates({ tasks, nodes }: GridView, ofNodes: boolean): boolean {
  const lacks = (known: ReadonlyMap<string, { state: unknown }>): boolean =>
    [...known.values()].some(({ state }) => state === null);
  return lacks(tasks) || (ofNodes && lacks(nodes));
}
