/**
 * The real worker with a stub engine, as a program: everything but containers. Settings come from the environment, the log
 * goes to standard output. What its tasks do stands in their scripts, see stub-executor.ts.
 */
import { loadSettings } from '../../src/config/load.ts';
import { readMachine } from '../../src/config/machine.ts';
import { createEmit, openLog } from '../../src/observe/logger.ts';
import { systemClock } from '../../src/runtime.ts';
import { startWorker } from '../../src/worker.ts';
import { StubEngine, StubExecutor } from './stub-executor.ts';

const loaded = loadSettings({
  env: process.env,
  machine: readMachine(process.env, process.cwd()),
  flags: {},
  envFile: null,
});
if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
const { settings } = loaded;
const stopRequested = new AbortController();
let requestStop = (): void => stopRequested.abort();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => requestStop());
let lookNow = (): void => undefined;
process.on('SIGUSR2', () => lookNow());
const log = await openLog(settings, {
  clock: systemClock,
  secrets: [],
  console: { fd: 1, isTerminal: false, colour: false },
  fields: { node: settings.nodeId },
});
const { worker, done } = await startWorker({
  settings,
  untilIdle: process.argv.includes('--until-idle'),
  version: 'stub',
  clock: systemClock,
  emit: createEmit(log.logger),
  operatorEnv: process.env,
  signal: stopRequested.signal,
  executor: new StubExecutor(new StubEngine(systemClock)),
});
requestStop = () => worker.agent.requestStop();
lookNow = () => worker.agent.lookNow('signal');
if (stopRequested.signal.aborted) requestStop();
await done;
await log.close();
