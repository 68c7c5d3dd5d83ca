/** Starting up on a machine that has nothing yet: the first clone of a repository with a past. */
import { join } from 'node:path';
import { git } from '../../test/support/git.ts';
import { BenchClient } from '../frame/client.ts';
import { type Figure, figure, timesBetter } from '../frame/figure.ts';
import { fastImport, type History, historyStream } from '../frame/fixtures.ts';
import { ByteRelay } from '../frame/relay.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import { startTaskServer, type TaskServer } from '../frame/task-server.ts';
import { BenchWorker } from '../frame/worker.ts';

const READY_BOUND_MS = 120_000;

export const clone: Suite = {
  name: 'clone',
  title: 'the first clone',
  method:
    'A bare repository with 10,000 commits (queue some tasks, record them, and so on), 20,000 results and 10 tasks that ' +
    'wait, after git gc, behind git http-backend on loopback; filters allowed, as on the large hosts, and once more without. Measured from nothing on disk: the worker’s reader until it ' +
    'has its view of the grid; the worker as a process, from its start until it says that it is ready; git clone with and ' +
    'without a checkout. They take turns. Bytes are those of the TCP streams in both directions.',
  aim: '≥ 10 × fewer bytes and ≥ 5 × faster than a full git clone',
  boundMinutes: 30,
  run,
};

type Way = 'view' | 'viewUnfiltered' | 'worker' | 'checkout' | 'noCheckout';

async function run(lab: Lab): Promise<Figure[]> {
  const history: History = { commits: lab.size(200, 10_000), results: lab.size(400, 20_000), queued: 10 };
  const server = lab.use(await startTaskServer());
  const plain = lab.use(await startTaskServer({ filters: false }));
  lab.tell(`making ${history.commits} commits with ${history.results} results`);
  await fastImport(server.path, historyStream(history));
  lab.tell('git gc');
  await git(server.path, ['gc', '--quiet']);
  await git(plain.path, ['fetch', '--quiet', server.path, 'refs/heads/main:refs/heads/main']);
  const relayTo = async (to: TaskServer): Promise<{ relay: ByteRelay; url: string }> => {
    const relay = lab.use(await ByteRelay.start(to.port));
    return { relay, url: relay.url(to.url) };
  };
  const filtering = await relayTo(server);
  const unfiltered = await relayTo(plain);
  const { url } = filtering;
  const runner = lab.use(BenchClient.start({ home: lab.directory.sub('runner'), url }));
  const bytes = empty();
  const ms = empty();
  const gitClone =
    (target: string, ...options: string[]) =>
    async (): Promise<number> => {
      const argv = ['git', 'clone', '--quiet', ...options, url, target];
      return (await runner.ask({ kind: 'commands', argv, count: 1 })).ms[0] ?? Number.NaN;
    };
  const rounds = lab.size(2, 10);
  for (let round = 0; round <= rounds; round += 1) {
    lab.tell(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    const home = lab.directory.sub(`round-${round}`);
    const ways: readonly [Way, () => Promise<number>][] = [
      ['view', () => firstView(join(home, 'view'), url, history.queued)],
      ['viewUnfiltered', () => firstView(join(home, 'unfiltered'), unfiltered.url, history.queued)],
      ['checkout', gitClone(join(home, 'checkout'))],
      ['worker', () => workerReady(lab, home, url)],
      ['noCheckout', gitClone(join(home, 'no-checkout'), '--no-checkout')],
    ];
    for (const [way, measure] of ways) {
      const { relay } = way === 'viewUnfiltered' ? unfiltered : filtering;
      relay.take();
      const took = await measure();
      const { up, down } = relay.take();
      if (round === 0) continue;
      ms[way].push(took);
      bytes[way].push(up + down);
    }
  }
  const full = { name: 'git clone', values: ms.checkout };
  const bare = { name: 'git clone --no-checkout', values: ms.noCheckout };
  const fullBytes = { name: 'git clone', values: bytes.checkout };
  return [
    figure({
      name: 'bytes until the view is there',
      unit: 'B',
      values: bytes.view,
      baseline: fullBytes,
      aim: timesBetter(10, '≥ 10 × fewer'),
    }),
    figure({
      name: 'time until the view is there',
      unit: 'ms',
      values: ms.view,
      baseline: full,
      aim: timesBetter(5, '≥ 5 × faster'),
    }),
    figure({ name: 'time until the view is there', unit: 'ms', values: ms.view, baseline: bare }),
    figure({
      name: 'bytes, from a server that allows no filters',
      unit: 'B',
      values: bytes.viewUnfiltered,
      baseline: fullBytes,
    }),
    figure({
      name: 'time, from a server that allows no filters',
      unit: 'ms',
      values: ms.viewUnfiltered,
      baseline: full,
    }),
    figure({ name: 'bytes of a worker that starts', unit: 'B', values: bytes.worker, baseline: fullBytes }),
    figure({ name: 'time of a worker that starts', unit: 'ms', values: ms.worker, baseline: full }),
  ];
}

function empty(): Record<Way, number[]> {
  return { view: [], viewUnfiltered: [], worker: [], checkout: [], noCheckout: [] };
}

async function firstView(home: string, url: string, queued: number): Promise<number> {
  await using client = BenchClient.start({ home, url });
  const answer = await client.ask({ kind: 'view' });
  if (answer.queued !== queued) throw new Error(`the view shows ${answer.queued} tasks, there are ${queued}`);
  return answer.ms[0] ?? Number.NaN;
}

/** Its engine is away, so it claims nothing. */
async function workerReady(lab: Lab, home: string, url: string): Promise<number> {
  const worker = lab.use(BenchWorker.start({ directory: home, name: 'worker', repoUrl: url, engine: 'none' }));
  const { arrivedMs } = await worker.next('worker.ready', READY_BOUND_MS);
  await worker.stop();
  return arrivedMs - worker.startedMs;
}
