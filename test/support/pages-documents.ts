/**
 * Documents of the pages as a grid of edge boxes would have them: for tests of the page in the browser, and for the
 * pictures in the documentation. The same seed gives the same grid.
 */
import type { NodeRow, Overview, SeriesPoint, TaskRow } from '../../src/pages/model.ts';
import { isoTime } from '../../src/runtime.ts';
import { seeded } from './seeded.ts';

export interface GridSizes {
  running: number;
  waiting: number;
  queued: number;
  recent: number;
  /** Of the results, from 0 to 1. */
  failing: number;
}

interface Random {
  below: (bound: number) => number;
  pick: <T>(from: readonly [T, ...T[]]) => T;
}

function randomOf(seed: number): Random {
  const below = seeded(seed);
  return { below, pick: (from) => from[below(from.length)] ?? from[0] };
}

const MINUTE_MS = 60_000;
const PRIORITIES = ['critical', 'high', 'medium', 'low'] as const;
const JOBS: readonly [string, ...string[]] = [
  'camera-index',
  'ndvi-tiles',
  'firmware-scan',
  'meter-rollup',
  'tide-model',
  'license-plates',
  'speech-batch',
  'route-plan',
];
const PLACES: readonly [string, ...string[]] = ['hamburg', 'oslo', 'porto', 'gdansk', 'turku', 'galway'];
const IMAGES: readonly [string | null, ...(string | null)[]] = [
  'python:3.13-slim',
  'ffmpeg:7',
  null,
  null,
  'registry.example.com/edge/opencv:4.11',
];
const FAILURES: readonly [readonly [string, string], ...(readonly [string, string])[]] = [
  ['exit-code', 'exit code 3'],
  ['timeout', 'stopped after 300 s (timeout_seconds)'],
  ['out-of-memory', 'a process was killed at the memory limit of 512m'],
  ['image-unavailable', 'image "registry.example.com/edge/opencv:4.12": the registry does not have it'],
  ['rejected', 'image: "alpine:edge" is not on the list of this node (ALLOWED_IMAGES)'],
];

export function emptyOverview(nowMs: number): Overview {
  return {
    schema_version: 1,
    source: 'worker',
    version: '0.1.0',
    generated_at: isoTime(nowMs),
    revision: 'empty',
    repository: 'https://git.example.com/fleet/tasks.git',
    branch: 'main',
    commit: null,
    problem: null,
    this_node: null,
    queue: { pending: 0, invalid: 0, by_priority: { critical: 0, high: 0, medium: 0, low: 0 } },
    recorded: { completed: 0, failed: 0 },
    done_per_minute: null,
    nodes: [],
    tasks: [],
    tasks_left_out: 0,
    recent: [],
    problems: [],
    series: { step_ms: MINUTE_MS, points: [] },
  };
}

/** A grid at work. */
export function fullOverview(nowMs: number, sizes: Partial<GridSizes> = {}, seed = 7): Overview {
  const random = randomOf(seed);
  const { running, waiting, queued, recent, failing } = {
    running: 7,
    waiting: 3,
    queued: 23,
    recent: 40,
    failing: 0.08,
    ...sizes,
  };
  const nodes = nodeRows(nowMs);
  const workers = nodes.filter((node) => node.state === 'alive').map(({ node_id }) => node_id);
  const names = taskNames(random);
  const rows = (count: number, make: (index: number) => TaskRow): TaskRow[] =>
    Array.from({ length: count }, (_none, index) => make(index));
  const byState = {
    running: rows(running, (index) =>
      runningRow(names(), workers[index % workers.length] ?? 'edge-hamburg-1', nowMs, random),
    ),
    waiting: rows(waiting, (index) => waitingRow(names(), index)),
    queued: rows(queued, () => taskRow(names(), random)),
    recent: rows(recent, (index) => recentRow(names(), random, { nowMs, index, failing, workers })),
  };
  for (const node of nodes)
    node.running = byState.running.filter((row) => row.node_id === node.node_id).map((row) => row.task_id);
  const count = (priority: string): number => byState.queued.filter((row) => row.priority === priority).length;
  const failed = byState.recent.filter((row) => row.status === 'failed').length;
  return {
    ...emptyOverview(nowMs),
    revision: `full-${seed}`,
    commit: '9f2c1e7ab04d5566e1f0c3a8b7d2946e0a1b5c3d',
    this_node: 'edge-hamburg-1',
    queue: {
      pending: queued,
      invalid: 0,
      by_priority: { critical: count('critical'), high: count('high'), medium: count('medium'), low: count('low') },
    },
    recorded: { completed: 18_204, failed: 311 + failed },
    done_per_minute: 6.4,
    nodes,
    tasks: [...byState.running, ...byState.waiting, ...byState.queued],
    recent: byState.recent,
    series: { step_ms: MINUTE_MS, points: seriesPoints(nowMs, random, failing) },
  };
}

/** Much has gone wrong. */
export function failingOverview(nowMs: number): Overview {
  const overview = fullOverview(nowMs, { running: 2, waiting: 6, queued: 31, failing: 0.7 }, 11);
  const [first, second, third] = overview.nodes;
  if (!first || !second || !third) throw new Error('the grid has fewer nodes than it should');
  first.paused = [{ reason: 'disk', text: 'disk /var/lib/docker: 94 % used, above 90' }];
  first.disk_percent = 94;
  second.state = 'silent';
  second.seen_ms_ago = 7 * MINUTE_MS;
  third.paused = [
    { reason: 'engine', text: 'the container engine does not answer: connect ENOENT /var/run/docker.sock' },
    { reason: 'memory-pressure', text: 'memory pressure 61 %, above 40' },
  ];
  const [running] = overview.tasks;
  if (running) running.note = 'its node is silent: another one may take it over';
  return {
    ...overview,
    revision: 'failing',
    problem: 'git fetch: could not resolve host git.example.com',
    queue: { ...overview.queue, invalid: 2 },
    problems: [
      { path: 'tasks/queue/Übersicht.json', problem: 'its name is no task id followed by .json: rename or remove it' },
      {
        path: 'tasks/queue/old/ndvi-tiles-0311.json',
        problem: 'the task has a record already: to run it again, give it a new task id',
      },
      { path: 'refs/dgrid/nodes/EDGE', problem: 'it is the ref of no task and no node: remove it' },
      { path: 'task tide-model-0007', problem: 'the state has a newer format than this version reads' },
      {
        path: 'tasks/queue/a/meter-rollup-0100.json',
        problem: 'tasks/queue/meter-rollup-0100.json has the same task id: rename or remove one of the two',
      },
      { path: 'tasks/queue/notes.txt', problem: 'its name is no task id followed by .json: rename or remove it' },
    ],
  };
}

/** As much as a document may hold. */
export function crowdedOverview(nowMs: number): Overview {
  const overview = fullOverview(nowMs, { running: 40, waiting: 60, queued: 400, recent: 200 }, 3);
  return { ...overview, revision: 'crowded', tasks_left_out: 1234 };
}

export const HOSTILE_TEXT = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';

/** What people who mean no good could write into a repository, and names without end. */
export function hostileOverview(nowMs: number): Overview {
  const overview = fullOverview(nowMs, { running: 2, waiting: 2, queued: 3, recent: 4 }, 5);
  const long = 'x'.repeat(2000);
  const longId = `a${'0123456789'.repeat(6)}zz`;
  overview.repository = `https://git.example.com/${HOSTILE_TEXT}`;
  overview.branch = `b\u202egnp.exe/${'branch-'.repeat(30)}`;
  for (const row of [...overview.tasks, ...overview.recent]) {
    row.message = `${HOSTILE_TEXT} ${long}`;
    row.reason ??= row.state === 'queued' ? null : HOSTILE_TEXT;
    row.note = `${HOSTILE_TEXT}\u202e${long}`;
    row.image = `javascript:alert(1)/${long}`;
    row.labels = [HOSTILE_TEXT, long];
  }
  const [first, second] = overview.tasks;
  if (first) first.task_id = longId;
  if (second) second.node_id = longId;
  for (const node of overview.nodes) {
    node.name = HOSTILE_TEXT;
    node.labels = [HOSTILE_TEXT, long];
    node.paused = [{ reason: HOSTILE_TEXT, text: long }];
    node.refuses = [{ reason: '__proto__', text: HOSTILE_TEXT }];
    node.version = HOSTILE_TEXT;
  }
  overview.problems = [{ path: HOSTILE_TEXT, problem: long }];
  return { ...overview, revision: 'hostile', problem: HOSTILE_TEXT, this_node: HOSTILE_TEXT };
}

function taskNames(random: Random): () => string {
  let number = 411;
  return () => {
    number += 1;
    return `${random.pick(JOBS)}-${random.pick(PLACES)}-${String(number).padStart(4, '0')}`;
  };
}

function taskRow(taskId: string, random: Random): TaskRow {
  const roll = random.below(10);
  return {
    task_id: taskId,
    state: 'queued',
    status: null,
    reason: null,
    message: null,
    priority: PRIORITIES[roll < 1 ? 0 : roll < 3 ? 1 : roll < 8 ? 2 : 3] ?? 'medium',
    node_id: null,
    attempt: 0,
    image: random.pick(IMAGES),
    labels: random.below(3) === 0 ? [random.pick(['gpu', 'camera', 'arch=arm64'] as const)] : [],
    claimed_at: null,
    started_at: null,
    finished_at: null,
    run_ms: null,
    note: null,
  };
}

function runningRow(taskId: string, nodeId: string, nowMs: number, random: Random): TaskRow {
  const runMs = 4_000 + random.below(260_000);
  return {
    ...taskRow(taskId, random),
    state: 'running',
    node_id: nodeId,
    attempt: 1,
    claimed_at: isoTime(nowMs - runMs - 2_500),
    started_at: isoTime(nowMs - runMs),
    run_ms: runMs,
  };
}

function waitingRow(taskId: string, index: number): TaskRow {
  return {
    ...taskRow(taskId, randomOf(index + 1)),
    state: 'waiting',
    reason: index % 3 === 2 ? 'handed-back' : 'retry',
    message: index % 3 === 2 ? 'the worker was stopped' : 'exit code 7, tried again in 30 s',
    attempt: 1 + (index % 3),
  };
}

function recentRow(
  taskId: string,
  random: Random,
  { nowMs, index, failing, workers }: { nowMs: number; index: number; failing: number; workers: readonly string[] },
): TaskRow {
  const isFailed = random.below(1000) < failing * 1000;
  const [reason, message] = random.pick(FAILURES);
  const runMs = 900 + random.below(isFailed ? 300_000 : 90_000);
  const endMs = nowMs - 3_000 - index * 9_400;
  return {
    ...taskRow(taskId, random),
    state: index < 2 ? 'finished' : 'recorded',
    status: isFailed ? 'failed' : 'success',
    reason: isFailed ? reason : null,
    message: isFailed ? message : 'exit code 0',
    node_id: workers[random.below(workers.length)] ?? null,
    attempt: isFailed ? 2 : 1,
    claimed_at: isoTime(endMs - runMs - 2_600),
    started_at: isoTime(endMs - runMs),
    finished_at: isoTime(endMs),
    run_ms: runMs,
  };
}

function nodeRows(nowMs: number): NodeRow[] {
  const node = (id: string, more: Partial<NodeRow>): NodeRow => ({
    node_id: id,
    state: 'alive',
    name: `worker-${id}`,
    version: '0.1.0',
    labels: ['arch=arm64'],
    slots: 2,
    running: [],
    paused: [],
    refuses: [],
    seen_ms_ago: 12_000,
    last_beat: isoTime(nowMs - 12_000),
    heartbeat_ms: 60_000,
    ttl_ms: 300_000,
    cpu_percent: 34,
    memory_percent: 48,
    disk_percent: 61,
    quota_left: null,
    ...more,
  });
  return [
    node('edge-hamburg-1', {
      labels: ['arch=amd64', 'gpu'],
      slots: 4,
      cpu_percent: 72,
      memory_percent: 64,
      seen_ms_ago: 3_000,
    }),
    node('edge-oslo-1', { labels: ['arch=arm64', 'camera'], seen_ms_ago: 41_000, cpu_percent: 55 }),
    node('edge-porto-2', { memory_percent: 79, quota_left: 6 }),
    node('edge-turku-1', {
      paused: [{ reason: 'hours', text: 'outside of 22:00-06:00, until 22:00' }],
      cpu_percent: 8,
      memory_percent: 21,
      disk_percent: 35,
    }),
    node('edge-gdansk-3', {
      refuses: [
        { reason: 'image-set-aside', text: 'registry.example.com/edge/opencv:4.12 could not be pulled, for 4 min' },
      ],
      labels: ['arch=arm64', 'gpu', 'camera'],
      disk_percent: 83,
    }),
    node('edge-galway-1', {
      state: 'stopped',
      seen_ms_ago: 3 * 60 * MINUTE_MS,
      cpu_percent: null,
      memory_percent: null,
      disk_percent: null,
    }),
  ];
}

function seriesPoints(nowMs: number, random: Random, failing: number): SeriesPoint[] {
  const end = Math.floor(nowMs / MINUTE_MS) * MINUTE_MS;
  return Array.from({ length: 90 }, (_none, index) => {
    const wave = Math.sin(index / 9) + 1;
    const done = Math.round(3 + 3 * wave + random.below(4));
    const failed = Math.min(done, Math.round(done * failing + (random.below(9) === 0 ? 1 : 0)));
    return {
      at: isoTime(end - (89 - index) * MINUTE_MS),
      succeeded: done - failed,
      failed,
      pending: Math.round(14 + 9 * Math.sin(index / 14 + 2) + random.below(4)),
      running: Math.min(8, Math.round(4 + 2.5 * wave)),
      run_p50_ms: 21_000 + 6_000 * wave + random.below(5_000),
      run_p95_ms: 62_000 + 19_000 * wave + random.below(22_000),
      cpu_percent: 38 + 17 * wave + random.below(12),
      memory_percent: 52 + 5 * wave + random.below(4),
    };
  });
}
