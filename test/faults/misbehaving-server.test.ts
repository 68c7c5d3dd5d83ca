/**
 * Workers on a Git server that misbehaves in every way we could think of: whatever becomes of a push or of a listing, each
 * task gets one result, is started once, and is recorded soon after the server has come to its senses.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventName } from '../../src/observe/events.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { git } from '../support/git.ts';
import { type GitRequest, GitServer } from '../support/git-server.ts';
import type { Misbehaviour } from '../support/misbehaviour.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { WorkerHistory } from '../support/oracle/worker-history.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const SUFFERED = atScale(4, 200);
const WORKERS = ['a', 'b', 'c'].slice(0, atScale(2, 3));
const TASKS_AT_ONCE = 6;
/** Of the requests that a misbehaviour is meant for. */
const SHARE = atScale(0.4, 0.6);
const TIMEOUT_S = 2;
const PAUSE_S = 1;
/** A busy machine is slow, and that is no fault. */
const SETTLE_MS = 120_000;

/** Said by a worker that believes something that did not happen here: nobody died, and the host refused nothing. */
const WRONG: readonly EventName[] = [
  'node.fenced',
  'node.dead',
  'node.id-conflict',
  'task.fenced',
  'task.taken-over',
  'record.refused',
  'namespace.fallback',
  'clone.damaged',
];

type Suffers = 'push' | 'advertisement' | 'listing';

interface Case {
  name: string;
  suffers: readonly Suffers[];
  misbehaviour: () => Misbehaviour;
  /** How often the same push is hit. Two, where the HTTP library sends it a second time by itself. */
  times?: number;
}

const LOSSES: readonly Case[] = [
  { name: 'drops the request', suffers: ['push'], misbehaviour: () => ({ kind: 'drop' }), times: 2 },
  { name: 'drops the reply', suffers: ['push'], misbehaviour: () => ({ kind: 'drop-reply' }), times: 2 },
  { name: 'drops the first reply only', suffers: ['push'], misbehaviour: () => ({ kind: 'drop-reply' }) },
  {
    name: 'answers 502 after applying',
    suffers: ['push'],
    misbehaviour: () => ({ kind: 'status-after', status: 502 }),
  },
  { name: 'cuts the report in the middle', suffers: ['push'], misbehaviour: () => ({ kind: 'truncate' }) },
  { name: 'hangs', suffers: ['push'], misbehaviour: () => ({ kind: 'hang' }) },
  { name: 'applies and hangs', suffers: ['push'], misbehaviour: () => ({ kind: 'hang-after' }) },
  {
    name: 'applies after the client has given up',
    suffers: ['push'],
    misbehaviour: () => ({ kind: 'late', ms: TIMEOUT_S * 1000 + 700 }),
  },
  { name: 'is slow to begin', suffers: ['push'], misbehaviour: () => ({ kind: 'delay', ms: 700 }) },
  { name: 'is slow to answer', suffers: ['push'], misbehaviour: () => ({ kind: 'slow', ms: 700 }) },
  {
    name: 'asks for a pause with 429',
    suffers: ['push'],
    misbehaviour: () => ({ kind: 'status', status: 429, headers: { 'Retry-After': String(PAUSE_S) } }),
  },
  {
    name: 'asks for a pause with 503 and a date',
    suffers: ['push'],
    misbehaviour: () => ({
      kind: 'status',
      status: 503,
      headers: { 'Retry-After': new Date(Date.now() + PAUSE_S * 1000).toUTCString() },
    }),
  },
  { name: 'applies everything twice', suffers: ['push'], misbehaviour: () => ({ kind: 'twice' }) },
];
const PASTS: readonly Case[] = [
  {
    name: 'lists what was four pushes ago',
    suffers: ['listing'],
    misbehaviour: () => ({ kind: 'stale', ago: { pushes: 4 } }),
  },
  {
    name: 'advertises what was two pushes ago',
    suffers: ['advertisement'],
    misbehaviour: () => ({ kind: 'stale', ago: { pushes: 2 } }),
  },
  {
    name: 'shows everywhere what was, and loses replies',
    suffers: ['listing', 'advertisement', 'push'],
    misbehaviour: () => ({ kind: 'stale', ago: { ms: 1_000 } }),
    times: 2,
  },
];
interface Group {
  name: string;
  cases: readonly Case[];
  lateReadings: boolean;
  transport: 'auto' | 'command';
}

/** Only the git command asks for an advertisement before it pushes. */
const [LISTS, ADVERTISES, EVERYWHERE] = PASTS as [Case, Case, Case];
const DIRECT: readonly Group[] = [
  { name: 'loses, delays and repeats pushes', cases: LOSSES, lateReadings: false, transport: 'auto' },
  { name: 'shows the past', cases: [LISTS, EVERYWHERE], lateReadings: true, transport: 'auto' },
];
const BY_COMMAND: readonly Group[] = [
  { name: 'does so to the git command', cases: LOSSES, lateReadings: false, transport: 'command' },
  { name: 'shows the past to the git command', cases: PASTS, lateReadings: true, transport: 'command' },
];
const GROUPS = [
  ...DIRECT,
  ...(atScale(0, 1) === 1 ? BY_COMMAND : [{ ...BY_COMMAND[1], cases: [ADVERTISES] } as Group]),
];

let server: GitServer;
let directory: TempDir;
let repo: TaskRepository;
let history: ServerHistory;
let workers: WorkerProcess[];
let tasks = 0;
const figures: string[] = [];

async function startGrid(transport: Group['transport']): Promise<void> {
  server = await GitServer.start({ keepPast: true });
  directory = makeTempDir('misbehaving');
  repo = new TaskRepository(await server.createRepository('r'));
  await repo.queue({});
  history = await ServerHistory.install(repo.path);
  const env = {
    GIT_TRANSPORT: transport,
    GIT_COMMAND_TIMEOUT: String(TIMEOUT_S),
    RETRY_ATTEMPTS: '6',
    RETRY_BASE_SECONDS: '0.05',
    PULL_INTERVAL: '1',
    RECORD_DELAY: '0.3',
    // Many pushes are wanted, of whatever kind.
    HEARTBEAT_INTERVAL: String(atScale(2, 0.5)),
    NODE_TTL: '300',
    MAX_PARALLEL_TASKS: '3',
  };
  workers = WORKERS.map((name) =>
    StubWorkerProcess.start({ directory: directory.path, name, repoUrl: server.url('r'), env }),
  );
  await Promise.all(workers.map((worker) => worker.logged('worker.ready', undefined, SETTLE_MS)));
}

async function stopGrid(): Promise<void> {
  await Promise.all(workers.map((worker) => worker.stop()));
  await server.stop();
  directory.remove();
}

afterAll(() => console.info(`misbehaving server: ${figures.join('; ')}`));

function sufferer(request: GitRequest): Suffers | null {
  if (request.kind === 'receive-pack') return 'push';
  if (request.kind === 'ls-refs') return 'listing';
  return request.kind === 'info-refs' && request.service === 'git-receive-pack' ? 'advertisement' : null;
}

/** Hits a share of the requests. Answers how many different ones were hit. */
function misbehave({ misbehaviour, suffers, times = 1 }: Case): () => number {
  const hits = new Map<string, number>();
  let hit = 0;
  server.onRequest = (request) => {
    const who = sufferer(request);
    if (who === null || !suffers.includes(who)) return undefined;
    if (who !== 'push') {
      if (Math.random() > SHARE) return undefined;
      hit += 1;
      return misbehaviour();
    }
    const body = createHash('sha256').update(request.body).digest('hex');
    const before = hits.get(body) ?? (Math.random() > SHARE ? times : 0);
    hits.set(body, before + 1);
    if (before >= times) return undefined;
    hit += before === 0 ? 1 : 0;
    const wanted = misbehaviour();
    return wanted.kind === 'stale' ? { kind: 'drop-reply' } : wanted;
  };
  return () => hit;
}

async function queueMore(): Promise<string[]> {
  const ids = Array.from({ length: TASKS_AT_ONCE }, () => `t${String(tasks++).padStart(5, '0')}`);
  await repo.queue(Object.fromEntries(ids.map((id, at) => [id, { script: `sleep ${(at % 4) * 150}` }])));
  return ids;
}

/** The records that the branch ever got, by task. */
async function records(): Promise<Map<string, number>> {
  const paths = ['tasks/completed', 'tasks/failed'];
  const added = await git(repo.path, ['log', '--format=', '--name-only', '--diff-filter=A', 'main', '--', ...paths]);
  const counts = new Map<string, number>();
  for (const path of added.split('\n')) {
    const id = /^tasks\/(?:completed|failed)\/([^/]+)\.json$/.exec(path)?.[1];
    if (id) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

describe.each(GROUPS)('a server that $name', ({ cases, lateReadings, transport }) => {
  beforeAll(() => startGrid(transport));
  afterAll(stopGrid);

  it.each(cases)('$name', { timeout: atScale(180_000, 1_200_000) }, async (wanted) => {
    const seen = workers.map((worker) => worker.log.length);
    const ids: string[] = [];
    const hit = misbehave(wanted);
    // By what workers say, which costs nothing, until it can be true.
    const ended = (event: EventName): number =>
      workers.reduce((sum, worker, at) => {
        const told = worker.log.slice(seen[at]).filter((entry) => entry.event === event);
        return sum + new Set(told.map(({ task }) => task)).size;
      }, 0);
    await until(
      `${SUFFERED} requests to suffer`,
      async () => {
        if (hit() < SUFFERED && ids.length - ended('task.finished') < TASKS_AT_ONCE / 2)
          ids.push(...(await queueMore()));
        return hit() >= SUFFERED;
      },
      atScale(90_000, 900_000),
    );
    server.onRequest = null;
    const suffered = hit();
    const startMs = performance.now();
    await until(`all results of ${ids.join(' ')}`, () => ended('result.acknowledged') >= ids.length, SETTLE_MS);
    await until('all records', async () => (await repo.queued()).length === 0, SETTLE_MS);
    await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, SETTLE_MS);
    const settledMs = Math.round(performance.now() - startMs);

    const counts = await records();
    expect(ids.filter((id) => counts.get(id) !== 1)).toEqual([]);
    const told = workers.flatMap((worker, at) => worker.log.slice(seen[at]));
    expect(told.filter(({ event }) => WRONG.includes(event))).toEqual([]);
    const starts = told.filter(({ event }) => event === 'task.started').map(({ task }) => task as string);
    expect(starts.toSorted()).toEqual(ids.toSorted());
    figures.push(`${wanted.name}: ${suffered} hit, ${ids.length} tasks, settled in ${settledMs} ms`);
  });

  it('leaves a history without a fault', async () => {
    expect(await Promise.all(workers.map((worker) => worker.stop()))).toEqual(workers.map(() => 0));
    const told = new WorkerHistory();
    for (const worker of workers) told.take(worker.name, worker.log);
    const verdict = await judge(history, told, { settled: true, lateReadings });
    expectNoViolations(verdict.violations);
    const { startedMoreThanOnce, tasks: judged } = verdict.figures;
    figures.push(`oracle: ${judged} tasks, ${startedMoreThanOnce} started twice, 0 violations`);
  });

  it('gets the pause that it asks for', () => {
    const asked = cases.filter(({ misbehaviour }) => misbehaviour().kind === 'status').length;
    const throttled = workers
      .flatMap((worker) => worker.entries('git.retry'))
      .filter(({ kind }) => kind === 'throttled');
    expect(throttled.length > 0).toBe(asked > 0);
    expect(throttled.filter((entry) => (entry['delay_ms'] as number) < PAUSE_S * 1000 - 1)).toEqual([]);
  });
});
