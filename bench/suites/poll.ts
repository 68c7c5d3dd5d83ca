/** One idle poll: what a worker costs its server and itself while there is nothing to do. */

import { git } from '../../test/support/git.ts';
import { BenchClient } from '../frame/client.ts';
import { type Aim, atMost, type Figure, figure, timesBetter } from '../frame/figure.ts';
import { addOrdinaryRefs, fastImport, historyStream } from '../frame/fixtures.ts';
import { ByteRelay } from '../frame/relay.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import { startTaskServer } from '../frame/task-server.ts';
import { BenchWorker } from '../frame/worker.ts';

/** Whose heartbeats are always there, so that a poll has something to list. */
const NODES = 3;
const READY_BOUND_MS = 60_000;

export const poll: Suite = {
  name: 'poll',
  title: 'one idle poll',
  method:
    'A bare repository behind git http-backend on loopback, with 10, 1,000 and 10,000 ordinary refs (one half branches, ' +
    'one half heads of pull requests, packed), three nodes and no task in work. A poll is a refresh of the worker’s own reader ' +
    'with the default settings when nothing has changed; it runs in a process of its own over one kept-alive connection ' +
    'where the transport keeps one. Polls, git ls-remote and git fetch take turns. Bytes are those of the TCP streams in ' +
    'both directions, headers included, counted by a relay. Processor time is that of the client: of its process and its ' +
    'children for polls, of git alone for git.',
  aim: 'at 10,000 refs: ≥ 500 × fewer bytes than git ls-remote, < 1 KiB, ≥ 4 × less CPU; the same at any number of refs',
  boundMinutes: 20,
  run,
};

interface Measured {
  bytes: number[];
  ms: number[];
  cpuMs: number[];
}

type Way = 'poll' | 'pollOfBranch' | 'lsRemote' | 'fetch';
type AtSize = Record<Way, Measured>;

async function run(lab: Lab): Promise<Figure[]> {
  const sizes = [10, lab.size(200, 1_000), lab.size(1_000, 10_000)];
  const measured: AtSize[] = [];
  for (const size of sizes) {
    lab.tell(`${size} refs`);
    measured.push(await atSize(lab, size));
  }
  return sizes.flatMap((size, at) => figuresOf(size, measured[at], at === sizes.length - 1 ? measured[0] : undefined));
}

async function atSize(lab: Lab, size: number): Promise<AtSize> {
  const rounds = lab.size(2, 20);
  const server = lab.use(await startTaskServer());
  const { path } = server;
  await fastImport(path, historyStream({ commits: 200, results: 400, queued: 0 }));
  await leaveNodes(lab, size, server.url);
  await addOrdinaryRefs(path, size);
  const relay = lab.use(await ByteRelay.start(server.port));
  const url = relay.url(server.url);
  const home = lab.directory.sub(`refs-${size}`);
  const poller = lab.use(BenchClient.start({ home: `${home}-poll`, url }));
  const ofBranch = lab.use(BenchClient.start({ home: `${home}-branch`, url, env: { DGRID_BRANCH: 'main' } }));
  const runner = lab.use(BenchClient.start({ home: `${home}-git`, url }));
  await poller.ask({ kind: 'view' });
  await ofBranch.ask({ kind: 'view' });
  await git(lab.directory.path, ['clone', '--quiet', '--no-checkout', url, `${home}-clone`]);
  const ways: readonly [Way, number, BenchClient, readonly string[] | null][] = [
    ['poll', lab.size(10, 25), poller, null],
    ['pollOfBranch', lab.size(10, 25), ofBranch, null],
    ['lsRemote', 5, runner, ['git', 'ls-remote', url, 'HEAD']],
    ['fetch', 5, runner, ['git', '-C', `${home}-clone`, 'fetch', '--quiet']],
  ];
  const measured: AtSize = { poll: empty(), pollOfBranch: empty(), lsRemote: empty(), fetch: empty() };
  // The first round warms up: connections, caches, compiled code.
  for (let round = 0; round <= rounds; round += 1) {
    for (const [way, count, client, argv] of ways) {
      relay.take();
      const answer = await client.ask(argv ? { kind: 'commands', argv, count } : { kind: 'polls', count });
      const { up, down } = relay.take();
      if (round === 0) continue;
      measured[way].bytes.push((up + down) / count);
      measured[way].cpuMs.push(answer.cpuMs / count);
      measured[way].ms.push(...answer.ms);
    }
  }
  for (const client of [poller, ofBranch, runner]) await client[Symbol.asyncDispose]();
  return measured;
}

/** Workers register, and are killed. */
async function leaveNodes(lab: Lab, size: number, repoUrl: string): Promise<void> {
  for (let node = 1; node <= NODES; node += 1) {
    const directory = lab.directory.sub(`nodes-${size}`);
    const worker = lab.use(BenchWorker.start({ directory, name: `node-${node}`, repoUrl, engine: 'none' }));
    await worker.next('worker.ready', READY_BOUND_MS);
    await worker.stop('SIGKILL');
  }
}

function figuresOf(size: number, measured: AtSize | undefined, smallest: AtSize | undefined): Figure[] {
  if (!measured) return [];
  const at = `${size.toLocaleString('en-GB')} refs`;
  const largest = smallest !== undefined;
  const rows: Figure[] = [];
  const row = (name: string, what: keyof Measured, own: Way, other: Way, otherName: string, aim?: Aim): void => {
    const unit = what === 'bytes' ? 'B' : 'ms';
    const baseline = { name: otherName, values: measured[other][what] };
    rows.push(figure({ name: `${name}, ${at}`, unit, values: measured[own][what], baseline, ...(aim ? { aim } : {}) }));
  };
  row('bytes', 'bytes', 'poll', 'lsRemote', 'git ls-remote', largest ? timesBetter(500, '≥ 500 × fewer') : undefined);
  row('bytes', 'bytes', 'poll', 'fetch', 'git fetch', largest ? atMost(1023, '< 1 KiB') : undefined);
  row('CPU', 'cpuMs', 'poll', 'lsRemote', 'git ls-remote', largest ? timesBetter(4, '≥ 4 × less') : undefined);
  row('CPU', 'cpuMs', 'poll', 'fetch', 'git fetch');
  row('time', 'ms', 'poll', 'lsRemote', 'git ls-remote');
  row('time', 'ms', 'poll', 'fetch', 'git fetch');
  row('bytes with DGRID_BRANCH set', 'bytes', 'pollOfBranch', 'lsRemote', 'git ls-remote');
  row('CPU with DGRID_BRANCH set', 'cpuMs', 'pollOfBranch', 'lsRemote', 'git ls-remote');
  row('time with DGRID_BRANCH set', 'ms', 'pollOfBranch', 'lsRemote', 'git ls-remote');
  if (smallest) rows.push(...growth(measured, smallest));
  return rows;
}

/** What the number of refs does to a poll. */
function growth(largest: AtSize, smallest: AtSize): Figure[] {
  // Headers may differ by some bytes, as the length of a length does.
  const aim = (text: string, slack: number): Aim => ({
    text,
    holds: ({ ratio }) => ratio !== null && ratio >= 1 / (1 + slack),
  });
  return (['bytes', 'ms'] as const).map((what) =>
    figure({
      name: `${what === 'bytes' ? 'bytes' : 'time'}, the most refs against the fewest`,
      unit: what === 'bytes' ? 'B' : 'ms',
      values: largest.poll[what],
      baseline: { name: 'a poll with the fewest refs', values: smallest.poll[what] },
      aim: what === 'bytes' ? aim('the same', 0.02) : aim('at most a quarter slower', 0.25),
    }),
  );
}

function empty(): Measured {
  return { bytes: [], ms: [], cpuMs: [] };
}
