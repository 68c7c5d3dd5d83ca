/**
 * The real worker as a program that dies by SIGKILL where the plan in its environment says. Without a plan it runs as any
 * other. Settings come from the environment; every event goes to standard output at once, so that none is lost with it.
 */
import { loadSettings } from '../../src/config/load.ts';
import { readMachine } from '../../src/config/machine.ts';
import { systemClock } from '../../src/runtime.ts';
import { startWorker } from '../../src/worker.ts';
import { CRASH_VARIABLE, type CrashPlan, crashingEmit } from './crash-plan.ts';

const { [CRASH_VARIABLE]: plan = 'null', ...env } = process.env;
const loaded = loadSettings({ env, machine: readMachine(env, process.cwd()), flags: {}, envFile: null });
if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
const { settings } = loaded;
const stopRequested = new AbortController();
let requestStop = (): void => stopRequested.abort();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => requestStop());
const { worker, done } = await startWorker({
  settings,
  untilIdle: process.argv.includes('--until-idle'),
  version: 'crashing',
  clock: systemClock,
  emit: crashingEmit(JSON.parse(plan) as CrashPlan | null, { node: settings.nodeId }),
  operatorEnv: env,
  signal: stopRequested.signal,
});
requestStop = () => worker.agent.requestStop();
if (stopRequested.signal.aborted) requestStop();
await done;
