/** `submit ID SCRIPT`, `cancel ID` or `init` of the real client, in a program that dies where the plan in its environment says. */
import { join } from 'node:path';
import { cancel } from '../../src/client/cancel.ts';
import { layOut } from '../../src/client/layout.ts';
import { openClient } from '../../src/client/open-client.ts';
import { submit } from '../../src/client/submit.ts';
import { loadClientSettings } from '../../src/config/load.ts';
import { readMachine } from '../../src/config/machine.ts';
import { systemClock, systemRandomFraction, systemRandomHex } from '../../src/runtime.ts';
import { taskId } from '../../src/task/id.ts';
import { CRASH_VARIABLE, type CrashPlan, crashingEmit } from './crash-plan.ts';

const { [CRASH_VARIABLE]: plan = 'null', ...env } = process.env;
const loaded = loadClientSettings({ env, machine: readMachine(env, process.cwd()), flags: {}, envFile: null });
if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
const opened = await openClient({
  settings: loaded.settings,
  cacheHome: join(process.cwd(), 'cache'),
  clock: systemClock,
  random: systemRandomFraction,
  randomHex: systemRandomHex,
  emit: crashingEmit(JSON.parse(plan) as CrashPlan | null, {}),
  operatorEnv: env,
  signal: new AbortController().signal,
});
const { client } = opened;
const [, , command = '', id = '', script = ''] = process.argv;
if (command === 'init') await layOut(client);
else if (command === 'cancel') await cancel(client, [taskId(id)]);
else {
  const content = Buffer.from(JSON.stringify({ task_id: id, script }));
  await submit(client, [{ taskId: taskId(id), source: 'test', content, signature: null }]);
}
await opened.close();
