/**
 * `npm run mixed-fleet -- [--tasks 1000] [--version before-sandbox]`: workers of an older version and of this one on one
 * queue, with a stub engine, each of which changes its version while tasks run. Prints what came of it; exits with 1 when
 * the oracle objects or a record is not what it should be.
 */
import { parseArgs } from 'node:util';
import { GitServer } from '../test/support/git-server.ts';
import { runMixedFleet } from '../test/support/mixed-fleet.ts';
import { MILESTONES, oldVersion, whyNoHistory } from '../test/support/old-version.ts';
import { ServerHistory } from '../test/support/oracle/server-history.ts';
import { TaskRepository } from '../test/support/task-repository.ts';
import { makeTempDir } from '../test/support/temp.ts';

const SHOWN = 20;

async function main(argv: string[]): Promise<number> {
  const names = MILESTONES.map(({ name }) => name);
  const { values } = parseArgs({
    args: argv,
    options: { tasks: { type: 'string', default: '1000' }, version: { type: 'string', default: names[0] } },
  });
  const shared = Number(values.tasks);
  const wanted = names.find((name) => name === values.version);
  if (!(Number.isInteger(shared) && shared > 0) || wanted === undefined) {
    console.error(`usage: npm run mixed-fleet -- [--tasks N] [--version ${names.join('|')}]`);
    return 2;
  }
  const missing = await whyNoHistory(MILESTONES.filter(({ name }) => name === wanted));
  if (missing !== null) {
    console.error(`${missing}: run it in a full clone`);
    return 2;
  }
  using directory = makeTempDir('mixed');
  await using server = await GitServer.start();
  const repo = new TaskRepository(await server.createRepository('mixed'));
  const report = await runMixedFleet({
    old: await oldVersion(wanted),
    repo,
    truth: await ServerHistory.install(repo.path),
    repoUrl: server.url('mixed'),
    directory: directory.path,
    shared,
    tell: (line) => console.log(line),
  });
  const { figures, takeovers, tookMs, violations, wrong } = report;
  console.log(
    `${figures.records} records of ${figures.tasks} tasks in ${Math.round(tookMs / 1000)} s, ${figures.starts} starts, ` +
      `${figures.startedMoreThanOnce} tasks started more than once, ${figures.fencings} nodes declared dead, ` +
      `${figures.lateResultsRejected} late results rejected`,
  );
  for (const line of takeovers.slice(0, SHOWN)) console.log(`  ${line}`);
  for (const line of wrong.slice(0, SHOWN)) console.log(`wrong: ${line}`);
  for (const { message, ref, rule } of violations.slice(0, SHOWN)) console.log(`violation: ${rule} ${ref}: ${message}`);
  return violations.length + wrong.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
