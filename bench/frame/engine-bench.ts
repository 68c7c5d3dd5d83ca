/** What the suites with a real engine share: a repository, a worker whose talk with the engine is watched, baselines. */
import { commitFiles } from '../../test/support/git.ts';
import { BareEngine } from './bare-engine.ts';
import { EngineTap } from './engine-tap.ts';
import { fastImport, historyStream } from './fixtures.ts';
import type { Lab } from './suite.ts';
import { startTaskServer } from './task-server.ts';
import { BenchWorker, type SeenEntry } from './worker.ts';

const READY_BOUND_MS = 120_000;
export const TASK_BOUND_MS = 60_000;
const BRANCH = 'refs/heads/main';

/** Settings for a worker that keeps no containers ready. */
export const COLD = { WARM_POOL_SIZE: '0' } as const;

export interface EngineBench {
  /** Of the bare repository. */
  path: string;
  url: string;
  tap: EngineTap;
  /** For what does not go through the tap: `docker run`. */
  host: string;
  startWorker: (name: string, env: Readonly<Record<string, string>>) => Promise<BenchWorker>;
}

let benches = 0;

export async function engineBench(lab: Lab): Promise<EngineBench> {
  benches += 1;
  const engine = await lab.engine();
  await engine.importBusybox();
  const server = lab.use(await startTaskServer());
  const { path, url } = server;
  await fastImport(path, historyStream({ commits: 20, results: 40, queued: 0 }));
  // Beside the engine's own socket, whose path is short enough.
  const tap = lab.use(await EngineTap.start(`${engine.directory}/t${benches}`, engine.socketPath));
  return {
    path,
    url,
    tap,
    host: tap.host,
    async startWorker(name, env) {
      const directory = lab.directory.path;
      const debug = { LOG_LEVEL: 'debug', ...env };
      const worker = lab.use(
        BenchWorker.start({ directory, name, repoUrl: url, engine: { host: tap.host }, env: debug }),
      );
      await worker.next('worker.ready', READY_BOUND_MS);
      return worker;
    },
  };
}

export interface SeenTask {
  /** On the monotonic clock of this process. */
  claimedMs: number;
  firstByteMs: number;
  acknowledgedMs: number;
}

/** Follows one task that says its own id. Call it before the task is queued. */
export async function followTask(worker: BenchWorker, tap: EngineTap, id: string): Promise<SeenTask> {
  const ofTask = (entry: SeenEntry): boolean => entry['task'] === id;
  const [claimed, firstByteMs, acknowledged] = await Promise.all([
    worker.next('task.claimed', TASK_BOUND_MS, ofTask),
    tap.says(`says-${id}`, TASK_BOUND_MS),
    worker.next('result.acknowledged', TASK_BOUND_MS, ofTask),
  ]);
  return { claimedMs: claimed.loggedMs, firstByteMs, acknowledgedMs: acknowledged.loggedMs };
}

export async function queueSpeaker(path: string, id: string): Promise<void> {
  const task = { task_id: id, script: `echo says-${id}` };
  await commitFiles(path, { [`tasks/queue/${id}.json`]: `${JSON.stringify(task)}\n` }, { ref: BRANCH, message: id });
}

/** With the settings that the worker asked for last. @throws Error before it has made a container */
export function bareEngine(tap: EngineTap): BareEngine {
  if (tap.lastSpec === null) throw new Error('the worker has made no container yet');
  return new BareEngine(tap.socketPath, tap.lastSpec);
}
