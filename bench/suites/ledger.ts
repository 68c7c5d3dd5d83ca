/** How many tasks a second the ledger carries from claim to record, when running them costs nothing. */
import { atLeast, type Figure, figure, timesBetter } from '../frame/figure.ts';
import { fastImport, historyStream, queueTasks } from '../frame/fixtures.ts';
import { runTasksByGit } from '../frame/git-worker.ts';
import { emptyQueue } from '../frame/queue-run.ts';
import { sum } from '../frame/statistics.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import { startTaskServer } from '../frame/task-server.ts';

const RUN_BOUND_MS = 180_000;
/** As many as the settings allow, since that is what is asked here. */
const SETTINGS = {
  MAX_PARALLEL_TASKS: '256',
  PULL_INTERVAL: '1',
  HEARTBEAT_INTERVAL: '60',
  RECORD_BATCH_SIZE: '1000',
  RECORD_DELAY: '1',
};

export const ledger: Suite = {
  name: 'ledger',
  title: 'claim, result and record without containers',
  method:
    'One worker process with a stub engine, whose tasks end at once, on a bare repository behind git http-backend on ' +
    'loopback; MAX_PARALLEL_TASKS=256, RECORD_BATCH_SIZE=1000, RECORD_DELAY=1. All tasks are queued in one commit, of ' +
    'which the worker is told by a signal as a webhook would; counted is the time from there until the last one is recorded on the branch. The baseline is four pushes of the git command ' +
    'for each task, one after the other: claim, result, record, deletion of the ref; only the pushes are counted, the ' +
    'objects are made beforehand. Both take turns, each time with a new repository.',
  aim: '≥ 1,000 tasks/s and ≥ 100 × one push a step with the git command',
  boundMinutes: 30,
  run,
};

async function run(lab: Lab): Promise<Figure[]> {
  const rounds = lab.size(1, 5);
  const tasks = lab.size(60, 4_000);
  const tasksByGit = lab.size(3, 20);
  const ours: number[] = [];
  const theirs: number[] = [];
  const resultMs: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    lab.tell(`round ${round} of ${rounds}: ${tasks} tasks by a worker`);
    const done = await emptyQueue(lab, { tasks, workers: 1, env: SETTINGS, engine: 'stub', boundMs: RUN_BOUND_MS });
    ours.push(done.ms);
    resultMs.push(...done.resultMs);
    lab.tell(`${tasksByGit} tasks by the git command`);
    theirs.push(await byGit(lab, tasksByGit, round));
  }
  const name = 'one push a step with git';
  const rate = (count: number, ms: readonly number[]) => ({
    value: (1000 * count * rounds) / sum(ms),
    samples: count * rounds,
  });
  const baseline = { name, ...rate(tasksByGit, theirs) };
  return [
    figure({
      name: 'claimed, finished and recorded',
      unit: 'tasks/s',
      better: 'higher',
      ...rate(tasks, ours),
      baseline,
      aim: atLeast(1000, '≥ 1,000 tasks/s'),
    }),
    figure({
      name: 'claimed, finished and recorded, against git',
      unit: 'tasks/s',
      better: 'higher',
      ...rate(tasks, ours),
      baseline,
      aim: timesBetter(100, '≥ 100 ×'),
    }),
    figure({ name: 'from claim to accepted result, under this load', unit: 'ms', values: resultMs }),
  ];
}

async function byGit(lab: Lab, tasks: number, round: number): Promise<number> {
  await using server = await startTaskServer();
  const { path, url } = server;
  await fastImport(path, historyStream({ commits: 20, results: 40, queued: 0 }));
  const ids = await queueTasks(path, tasks, `git-${round}`);
  return await runTasksByGit(url, lab.directory.path, ids, `by-git-${round}`);
}
