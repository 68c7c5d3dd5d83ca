/**
 * A process that starts one container and is then killed: `node docker-worker.ts HOST SCRIPT IMAGES_FILE`. Prints `started` once the
 * container runs and its script was handed over.
 */
import { testExecutor, testJob } from './docker-jobs.ts';

const [host = '', script = '', ownedImagesFile = ''] = process.argv.slice(2);
const { executor } = await testExecutor(host, {}, { ownedImagesFile });
const run = await executor.start(testJob(script));
process.stdout.write('started\n');
await run.ended;
