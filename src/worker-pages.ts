/**
 * The pages of a worker: made of what it knows anyway. It looks no more often for them, and fetches nothing but what a task's
 * page asks for.
 *
 * What passes by is collected from the beginning. The documents, and the code that makes them, come with the first request.
 */
import type { Worker } from './agent/assemble.ts';
import type { Settings } from './config/settings.ts';
import type { Repository } from './git/repository.ts';
import { NAMESPACES } from './ledger/names.ts';
import { EVENTS, type EventFields, type EventName } from './observe/events.ts';
import type { PagesParts } from './observe/http/app.ts';
import { GridHistory } from './pages/grid-history.ts';
import type { GridPages, WatchedGrid } from './pages/grid-pages.ts';
import type { Clock } from './runtime.ts';

export interface WorkerPagesParts {
  settings: Settings;
  version: string;
  clock: Clock;
  /** null: the repository was not reached yet. */
  joined: () => Worker | null;
}

export class WorkerPages {
  readonly history: GridHistory;
  readonly #parts: WorkerPagesParts;
  #pages: Promise<GridPages> | null = null;
  #open: GridPages | null = null;

  constructor(parts: WorkerPagesParts) {
    this.#parts = parts;
    this.history = new GridHistory(parts.clock);
  }

  /** Whatever is worth telling may be worth showing. */
  noteEvent(name: EventName, fields: EventFields = {}): void {
    const { err } = fields;
    if (name === 'poll.failed') this.history.failed(err instanceof Error ? err.message : 'the last look failed');
    if (EVENTS[name].level !== 'debug') this.#open?.changed();
  }

  /** For the server. The source is the same at each call. */
  get parts(): PagesParts {
    const { clock, version } = this.#parts;
    return { source: () => this.#source(), version, clock };
  }

  #source(): Promise<GridPages> {
    this.#pages ??= this.#load().catch((error: unknown) => {
      this.#pages = null;
      throw error;
    });
    return this.#pages;
  }

  async #load(): Promise<GridPages> {
    const { clock, settings, version } = this.#parts;
    const { GridPages } = await import('./pages/grid-pages.ts');
    this.#open = new GridPages({
      grid: this.#grid(),
      source: 'worker',
      version,
      repository: settings.git.repoUrl,
      maxTaskBytes: settings.maxTaskBytes,
      clock,
    });
    return this.#open;
  }

  /** Without a view until the worker has joined and looked, and then nothing else of it is asked for. */
  #grid(): WatchedGrid {
    const { joined, settings } = this.#parts;
    return {
      repository: (): Repository => known(joined()).repository,
      history: this.history,
      briefOf: (file) => joined()?.specs.brief(file) ?? null,
      arrivalOf: (id) => joined()?.observations.arrivalOf(id) ?? 0,
      view: () => {
        const view = joined()?.reader.view;
        return view && Number.isFinite(view.listedAtMs) ? view : null;
      },
      namespace: () => joined()?.reader.namespace ?? NAMESPACES[0],
      ownTasks: () => joined()?.runner.progress ?? [],
      writtenOf: (id, maxBytes) => joined()?.runner.written(id, maxBytes) ?? null,
      own: () => ({ nodeId: settings.nodeId, info: joined()?.nodeInfo() ?? {} }),
    };
  }
}

function known(worker: Worker | null): Worker {
  if (!worker) throw new Error('the worker has not joined the grid');
  return worker;
}
