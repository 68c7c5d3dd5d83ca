/** A worker with a stub engine as a process of its own: real Git, real state directory, real signals, no containers. */
import { join } from 'node:path';
import { WorkerProcess, type WorkerProcessOptions } from './worker-process.ts';

const PROGRAM = join(import.meta.dirname, 'stub-worker.ts');

export interface StubWorkerOptions extends Omit<WorkerProcessOptions, 'dockerHost' | 'program'> {
  /** A command that runs the worker, as `ip netns exec NAME`. */
  command?: readonly string[];
}

export const StubWorkerProcess = {
  start(options: StubWorkerOptions): WorkerProcess {
    const env = { LOG_LEVEL: 'debug', ...options.env };
    return WorkerProcess.start({
      ...options,
      env,
      dockerHost: 'unix:///nowhere',
      program: [...(options.command ?? []), process.execPath, PROGRAM],
    });
  },
};
