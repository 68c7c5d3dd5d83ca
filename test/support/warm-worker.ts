/**
 * A process with a container that waits for a task: `node warm-worker.ts HOST IMAGES_FILE [SCRIPT]`. Prints `waiting`, and
 * with a script `started` once that was handed over.
 */
import { testExecutor, testJob } from './docker-jobs.ts';
import { untilWaiting, WARM_LIMITS } from './warm-pool.ts';

const [host = '', ownedImagesFile = '', script] = process.argv.slice(2);
const { executor } = await testExecutor(host, { warmPoolSize: 1, ...WARM_LIMITS }, { ownedImagesFile });
executor.prepare('fill');
await untilWaiting(executor, 1);
process.stdout.write('waiting\n');
if (script !== undefined) {
  const run = await executor.start(testJob(script));
  process.stdout.write('started\n');
  await run.ended;
}
