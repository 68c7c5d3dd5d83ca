/** A worker with a stub engine as a process of its own: real Git, real state directory, real signals, no containers. */
import { join } from 'node:path';
import { WorkerProcess, type WorkerProcessOptions } from './worker-process.ts';

const PROGRAM = join(import.meta.dirname, 'stub-worker.ts');
/** As bin/dgrid-worker starts it: what it takes of memory is measured here. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--expose-gc'];

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
      program: [...(options.command ?? []), process.execPath, ...NODE_FLAGS, PROGRAM],
    });
  },
};
