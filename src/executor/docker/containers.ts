/** The engine's container calls that we use, typed, with their answers reduced to what is read from them. */
import type { Duplex, Readable } from 'node:stream';
import type { Emit } from '../../observe/events.ts';
import { durably, type StepParts } from '../../steps.ts';
import { ExecutorError } from '../executor.ts';
import type { ContainerSpec } from './container-spec.ts';
import { type Engine, hasStatus, readAll } from './engine.ts';

export interface ContainerState {
  status: 'created' | 'running' | 'ended';
  exitCode: number;
  oomKilled: boolean;
  /** The engine's words on why it could not start the container; empty when it could. */
  error: string;
  /** By the engine's clock; null when it has not happened. */
  startedAtMs: number | null;
  finishedAtMs: number | null;
}

export interface ListedContainer {
  id: string;
  names: string[];
  labels: Record<string, string>;
  status: ContainerState['status'];
}

const WAIT_ANSWER_BYTES = 64 * 1024;
const REMOVE_TRIES = 20;
const REMOVE_PAUSE_MS = 250;

export class Containers {
  readonly #engine: Engine;
  readonly #parts: StepParts;

  constructor(engine: Engine, emit: Emit) {
    this.#engine = engine;
    this.#parts = { clock: engine.clock, emit };
  }

  async create(name: string, spec: ContainerSpec): Promise<string> {
    const request = { method: 'POST', path: '/containers/create', query: { name }, body: spec } as const;
    const answer = await durably(this.#parts, 'container.create', { container: name }, () =>
      this.#engine.json<{ Id: string }>(request),
    );
    return answer.Id;
  }

  /** Succeeds when it runs already. */
  async start(id: string): Promise<void> {
    const request = { method: 'POST', path: `/containers/${id}/start` } as const;
    await durably(this.#parts, 'container.start', { container: id }, () => this.#engine.json(request));
  }

  /** Both outputs as frames, and standard input where the container has one. */
  async attach(id: string, withInput: boolean, signal: AbortSignal): Promise<Duplex> {
    const query = { stream: 1, stdout: 1, stderr: 1, stdin: withInput ? 1 : 0 };
    return await this.#engine.hijack({ method: 'POST', path: `/containers/${id}/attach`, query, signal });
  }

  /** The stored output from its beginning as frames; with `follow` also what comes, until the container ends. */
  async logs(id: string, follow: boolean, signal: AbortSignal): Promise<Readable> {
    const query = { stdout: 1, stderr: 1, follow: follow ? 1 : 0, tail: 'all' };
    return await this.#engine.stream({ method: 'GET', path: `/containers/${id}/logs`, query, signal });
  }

  /** One JSON document a line, one line a second. */
  async stats(id: string, signal: AbortSignal): Promise<Readable> {
    return await this.#engine.stream({
      method: 'GET',
      path: `/containers/${id}/stats`,
      query: { stream: true },
      signal,
    });
  }

  /**
   * Resolves once the engine has noted that we wait, so that no end can be missed from then on. `ended` resolves at the
   * end, and rejects with `engine-unavailable` when the connection breaks before.
   */
  async wait(
    id: string,
    condition: 'next-exit' | 'not-running',
    signal: AbortSignal,
  ): Promise<{ ended: Promise<void> }> {
    const path = `/containers/${id}/wait`;
    const answer = await this.#engine.stream({ method: 'POST', path, query: { condition }, signal });
    const readEnd = async () => {
      const body = await readAll(answer, WAIT_ANSWER_BYTES).catch((cause: unknown) => {
        throw lostWait(cause);
      });
      if (!body.toString('utf8').includes('StatusCode')) throw lostWait();
    };
    const ended = readEnd();
    ended.catch(() => {}); // looked at by whoever asked; until then no unhandled rejection
    return { ended };
  }

  /** @returns null when there is no such container. `id` may be a name. */
  async inspect(id: string): Promise<{ id: string; imageId: string; state: ContainerState } | null> {
    try {
      const answer = await this.#engine.json<InspectAnswer>({ method: 'GET', path: `/containers/${id}/json` });
      return { id: answer.Id, imageId: answer.Image, state: readState(answer.State) };
    } catch (error) {
      if (hasStatus(error, 404)) return null;
      throw error;
    }
  }

  /** @returns false when there was nothing left to signal: the container is gone or has ended. */
  async signal(id: string, signal: 'TERM' | 'KILL'): Promise<boolean> {
    try {
      const request = { method: 'POST', path: `/containers/${id}/kill`, query: { signal } } as const;
      await durably(this.#parts, 'container.stop', { container: id, signal }, () => this.#engine.json(request));
      return true;
    } catch (error) {
      if (!hasStatus(error, 404, 409)) throw error;
      return false;
    }
  }

  /** Removes it with its anonymous volumes, running or not. Resolves when it is gone, whoever removed it. */
  async remove(id: string): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        const request = { method: 'DELETE', path: `/containers/${id}`, query: { force: true, v: true } } as const;
        await durably(this.#parts, 'container.remove', { container: id }, () => this.#engine.json(request));
        return;
      } catch (error) {
        if (hasStatus(error, 404)) return;
        // 409: a removal is under way already. It ends in a 404, or fails and can be tried again.
        if (!hasStatus(error, 409) || tries >= REMOVE_TRIES) throw error;
        await this.#engine.clock.sleep(REMOVE_PAUSE_MS);
      }
    }
  }

  /** In all states, with all of the labels (`name=value` or `name`). */
  async list(labels: readonly string[], signal?: AbortSignal): Promise<ListedContainer[]> {
    const answer = await this.#engine.json<ListAnswer[]>({
      method: 'GET',
      path: '/containers/json',
      query: { all: true, filters: JSON.stringify({ label: labels }) },
      ...(signal ? { signal } : {}),
    });
    return answer.map((entry) => ({
      id: entry.Id,
      names: (entry.Names ?? []).map((name) => name.replace(/^\//, '')),
      labels: entry.Labels ?? {},
      status: readStatus(entry.State),
    }));
  }
}

function lostWait(cause?: unknown): ExecutorError {
  return new ExecutorError('engine-unavailable', 'the engine went away while a container was running', { cause });
}

interface InspectAnswer {
  Id: string;
  Image: string;
  State: {
    Status: string;
    ExitCode: number;
    OOMKilled?: boolean;
    Error?: string;
    StartedAt?: string;
    FinishedAt?: string;
  };
}

interface ListAnswer {
  Id: string;
  Names: string[] | null;
  Labels: Record<string, string> | null;
  State: string;
}

function readState(state: InspectAnswer['State']): ContainerState {
  return {
    status: readStatus(state.Status),
    exitCode: state.ExitCode,
    oomKilled: state.OOMKilled === true,
    error: state.Error ?? '',
    startedAtMs: readTime(state.StartedAt),
    finishedAtMs: readTime(state.FinishedAt),
  };
}

/** `removing` and `dead` are ended too; `paused` and `restarting` go on. */
function readStatus(status: string): ContainerState['status'] {
  if (status === 'created') return 'created';
  return status === 'exited' || status === 'dead' || status === 'removing' ? 'ended' : 'running';
}

/** The engine writes the year 1 for what has not happened. */
export function readTime(text: string | undefined): number | null {
  const ms = Date.parse(text ?? '');
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}
