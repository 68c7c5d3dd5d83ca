/** A worker with a stub engine as a process of its own: real Git, real state directory, real signals, no containers. */
import { join } from 'node:path';
import { WorkerProcess, type WorkerProcessOptions } from './worker-process.ts';

const PROGRAM = join(import.meta.dirname, 'stub-worker.ts');

export type StubWorkerOptions = Omit<WorkerProcessOptions, 'dockerHost' | 'program'>;

export const StubWorkerProcess = {
  start(options: StubWorkerOptions): WorkerProcess {
    const env = { LOG_LEVEL: 'debug', ...options.env };
    return WorkerProcess.start({
      ...options,
      env,
      dockerHost: 'unix:///nowhere',
      program: [process.execPath, PROGRAM],
    });
  },
};
