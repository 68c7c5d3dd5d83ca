/** Following a task from elsewhere: how soon a line is seen, what that costs in pushes, and what it costs everybody else. */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { startClient } from '../../test/support/client-program.ts';
import { commitFiles, git } from '../../test/support/git.ts';
import { BenchClient } from '../frame/client.ts';
import { type Aim, atMost, type Figure, figure } from '../frame/figure.ts';
import { fastImport, historyStream } from '../frame/fixtures.ts';
import { ByteRelay } from '../frame/relay.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import { startTaskServer, type TaskServer } from '../frame/task-server.ts';
import { BenchWorker } from '../frame/worker.ts';

const LINE_EVERY_MS = 500;
const BUDGET = 6;
const OUTPUTS = 20;
const MINUTE_MS = 60_000;
const READY_BOUND_MS = 60_000;

export const follow: Suite = {
  name: 'follow',
  title: 'following a task from elsewhere',
  method:
    'A worker process with a stub engine on a bare repository behind git http-backend on loopback, and dgrid logs --follow as a ' +
    'process of its own, all with the default settings but for what the row says. One task writes a line of its number and the ' +
    'time each half second, for half a minute or, with a budget, a whole one; the delay of a line is from then to its arrival on the standard output of dgrid. Pushes ' +
    'are those that arrive at the server in that time, with one task that asks to be followed and with the same one that ' +
    'does not. Bytes of a poll are those of another reader of the grid, counted by a relay, while twenty outputs are there that ' +
    'move before each poll, and without any.',
  aim: 'half of the lines within 3 s, pushes within the budget, polls of others the same',
  boundMinutes: 15,
  run,
};

interface Watched {
  delaysMs: number[];
  pushes: number;
  ms: number;
}

interface Case {
  name: string;
  follow: boolean;
  /** For how long; a minute where a budget is one of a minute. */
  ms: number;
  env?: Record<string, string>;
  args?: readonly string[];
}

async function run(lab: Lab): Promise<Figure[]> {
  const ms = lab.size(10_000, MINUTE_MS / 2);
  const usual = await watch(lab, { name: 'usual', follow: true, ms });
  const plain = await watch(lab, { name: 'plain', follow: false, ms });
  const quick = await watch(lab, {
    name: 'quick',
    follow: true,
    ms,
    env: { FOLLOW_INTERVAL: '0.5' },
    args: ['--interval', '0.5'],
  });
  const env = { GIT_PUSHES_PER_MINUTE: String(BUDGET) };
  const minute = lab.size(10_000, MINUTE_MS);
  const rationed = await watch(lab, { name: 'rationed', follow: true, ms: minute, env });
  const rationedPlain = await watch(lab, { name: 'rationed-plain', follow: false, ms: minute, env });
  const delay = (name: string, { delaysMs }: Watched, aim?: Aim): Figure =>
    figure({
      name: `from a line's writing to its arrival, ${name}`,
      unit: 'ms',
      values: delaysMs,
      ...(aim ? { aim } : {}),
    });
  const rate = ({ pushes, ms }: Watched) => ({ value: (MINUTE_MS * pushes) / ms, samples: pushes });
  const pushes = (name: string, followed: Watched, other: Watched, aim?: Aim): Figure =>
    figure({
      name: `pushes of the worker, ${name}`,
      unit: 'pushes/min',
      ...rate(followed),
      baseline: { name: 'not followed', ...rate(other) },
      ...(aim ? { aim } : {}),
    });
  return [
    delay('default settings', usual, atMost(3_000, '≤ 3 s')),
    delay('FOLLOW_INTERVAL=0.5 and --interval 0.5', quick),
    delay(`GIT_PUSHES_PER_MINUTE=${BUDGET}`, rationed),
    pushes('default settings', usual, plain),
    pushes('FOLLOW_INTERVAL=0.5', quick, plain),
    pushes(`GIT_PUSHES_PER_MINUTE=${BUDGET}`, rationed, rationedPlain, atMost(BUDGET, `≤ ${BUDGET}`)),
    await others(lab, 'auto'),
    await others(lab, 'command'),
  ];
}

async function watch(lab: Lab, { name, follow: asks, ms, env = {}, args = [] }: Case): Promise<Watched> {
  const lines = Math.round(ms / LINE_EVERY_MS);
  await using server = await startTaskServer();
  await fastImport(server.path, historyStream({ commits: 20, results: 40, queued: 0 }));
  const worker = lab.use(
    BenchWorker.start({
      directory: lab.directory.path,
      name,
      repoUrl: server.url,
      engine: 'stub',
      env: { PULL_INTERVAL: '', HEARTBEAT_INTERVAL: '', RECORD_DELAY: '', ...env },
    }),
  );
  await worker.next('worker.ready', READY_BOUND_MS);
  lab.tell(`${name}: ${lines} lines`);
  const task = { task_id: name, script: `lines ${lines} ${LINE_EVERY_MS}`, timeout_seconds: 300, follow: asks };
  await commitFiles(server.path, { [`tasks/queue/${name}.json`]: JSON.stringify(task) }, { message: 'queue' });
  const started = worker.next('task.started', READY_BOUND_MS);
  worker.process.child.kill('SIGUSR2');
  await started;
  const before = server.pushesMs.length;
  const startedMs = performance.now();
  const delaysMs = asks ? delaysOf(lab, server, name, args) : Promise.resolve([]);
  await pause(ms - 2 * LINE_EVERY_MS);
  const pushed = server.pushesMs.length - before;
  const tookMs = performance.now() - startedMs;
  const delays = await delaysMs;
  await worker.stop('SIGKILL');
  return { delaysMs: delays, pushes: pushed, ms: tookMs };
}

/** Of each line that came before the result. */
async function delaysOf(lab: Lab, server: TaskServer, id: string, args: readonly string[]): Promise<number[]> {
  const home = lab.directory.sub(`${id}-user`);
  mkdirSync(home, { recursive: true });
  const child = startClient(['logs', id, '--follow', ...args], { home, env: { DGRID_REPO_URL: server.url } });
  const delays: number[] = [];
  const ended = once(child, 'close');
  if (!child.stdout) throw new Error('dgrid has no output');
  const firstMs = wallMs();
  for await (const line of createInterface({ input: child.stdout })) {
    const [, , writtenMs = ''] = line.split(' ');
    // What was written before anybody looked has waited for that.
    if (Number(writtenMs) > firstMs) delays.push(wallMs() - Number(writtenMs));
  }
  await ended;
  return delays;
}

function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

async function others(lab: Lab, transport: 'auto' | 'command'): Promise<Figure> {
  await using server = await startTaskServer();
  await fastImport(server.path, historyStream({ commits: 20, results: 40, queued: 0 }));
  await using relay = await ByteRelay.start(server.port);
  const home = lab.directory.sub(`others-${transport}`);
  await using poller = BenchClient.start({ home, url: relay.url(server.url), env: { GIT_TRANSPORT: transport } });
  await poller.ask({ kind: 'view' });
  const measure = async (before: () => Promise<void>): Promise<number[]> => {
    const bytes: number[] = [];
    for (let poll = 0; poll < lab.size(3, 20); poll += 1) {
      await before();
      relay.take();
      await poller.ask({ kind: 'polls', count: 1 });
      const { up, down } = relay.take();
      bytes.push(up + down);
    }
    return bytes;
  };
  const without = await measure(async () => undefined);
  const commits = (await git(server.path, ['rev-list', '--max-count=2', 'main'])).split('\n');
  let turn = 0;
  const values = await measure(async () => {
    turn += 1;
    const to = commits[turn % commits.length] ?? '';
    const moves = Array.from({ length: OUTPUTS }, (_, at) => `update refs/dgrid-output/task-${at} ${to}\n`).join('');
    await git(server.path, ['update-ref', '--stdin'], { input: Buffer.from(moves) });
  });
  const how = transport === 'auto' ? 'over HTTP' : 'by the git command, which receives every ref';
  return figure({
    name: `bytes of another's poll beside ${OUTPUTS} outputs, ${how}`,
    unit: 'B',
    values,
    baseline: { name: 'without any', values: without },
    ...(transport === 'auto' ? { aim: { text: 'the same', holds: ({ ratio }) => ratio === 1 } } : {}),
  });
}
