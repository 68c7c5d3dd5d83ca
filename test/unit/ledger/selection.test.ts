import { describe, expect, it } from 'vitest';
import { oid, refName } from '../../../src/git/oid.ts';
import { FoundFiles, type QueueFile } from '../../../src/ledger/found-files.ts';
import type { GridView } from '../../../src/ledger/grid-view.ts';
import { QueueIndex } from '../../../src/ledger/queue-index.ts';
import { type SelectionInput, SHUFFLE_WINDOW, selectCandidates } from '../../../src/ledger/selection.ts';
import type { TaskState } from '../../../src/ledger/state-codec.ts';
import { nodeId, type TaskId, taskId } from '../../../src/task/id.ts';
import { parseTaskFile } from '../../../src/task/spec.ts';

const hex = (figure: number): ReturnType<typeof oid> => oid(figure.toString(16).padStart(40, '0'));
const LIMITS = { maxTaskBytes: 100_000, maxTimeoutSeconds: 60 };

interface Task {
  id: string;
  fields?: object;
  state?: TaskState;
  arrival?: number;
}

function input(tasks: readonly Task[], overrides: Partial<SelectionInput> = {}): SelectionInput {
  const found = new FoundFiles();
  tasks.forEach(({ id }, index) => {
    const name = `${id}.json`;
    found.add(`tasks/queue/${name}`, { mode: '100644', name, oid: hex(index + 1) });
  });
  const view: GridView = {
    branch: refName('refs/heads/main'),
    tip: hex(999),
    tipTree: hex(998),
    queue: new QueueIndex({ found, records: [], alreadyRecorded: new Set() }),
    tasks: new Map(
      tasks.flatMap(({ id, state }, index) =>
        state ? [[taskId(id), { oid: hex(500 + index), state: { kind: 'state', state } }] as const] : [],
      ),
    ),
    nodes: new Map(),
    listedAtMs: 0,
    answeredAtMs: 0,
    fetched: false,
    also: new Map(),
    illegalRefs: [],
    elsewhere: false,
  };
  const parsedOf = (file: QueueFile) => {
    const task = tasks.find(({ id }) => id === file.taskId);
    const json = JSON.stringify({ task_id: file.taskId, script: 'true', ...task?.fields });
    return parseTaskFile(Buffer.from(json), file.taskId, LIMITS);
  };
  return {
    view,
    briefOf: (file) => {
      const parsed = parsedOf(file);
      return parsed.ok ? { ok: true, ...parsed.spec } : { ok: false };
    },
    parsedOf,
    isWanted: () => true,
    suits: null,
    isOrphan: () => false,
    delayIsOver: () => true,
    arrivalOf: (id) => tasks.find((task) => task.id === id)?.arrival ?? 1,
    nodeId: nodeId('me'),
    nodeLabels: [],
    room: 1,
    ...overrides,
  };
}

const candidates = (given: SelectionInput) => [...selectCandidates(given)];

const state = (id: string, rest: Partial<TaskState>): TaskState =>
  ({
    state: 'claimed',
    taskId: taskId(id),
    nodeId: nodeId('other'),
    incarnation: 'i',
    epoch: 1,
    attempt: 1,
    failures: 0,
    takeovers: 0,
    specBlob: hex(1),
    nonce: 'n',
    ...rest,
  }) as TaskState;

const ids = (selected: readonly { taskId: TaskId }[]): string[] => selected.map((candidate) => candidate.taskId);

describe('selection', () => {
  it('goes by priority, then by age', () => {
    const tasks = [
      { id: 'low-old', fields: { priority: 'low' }, arrival: 1 },
      { id: 'medium-new', arrival: 3 },
      { id: 'medium-old', arrival: 2 },
      { id: 'critical-new', fields: { priority: 'critical' }, arrival: 9 },
      { id: 'high', fields: { priority: 'high' }, arrival: 5 },
    ];
    expect(ids(candidates(input(tasks)))).toEqual(['critical-new', 'high', 'medium-old', 'medium-new', 'low-old']);
  });

  it('starts at different places on different nodes, but keeps the order of age in the large', () => {
    const tasks = Array.from({ length: 3 * SHUFFLE_WINDOW }, (_, index) => ({
      id: `t${String(index).padStart(4, '0')}`,
    }));
    const orders = ['a', 'b', 'c'].map((name) => ids(candidates(input(tasks, { nodeId: nodeId(name) }))));
    expect(new Set(orders.map((order) => order[0])).size).toBeGreaterThan(1);
    const oldest = tasks.slice(0, SHUFFLE_WINDOW).map(({ id }) => id);
    for (const order of orders) {
      expect(order).toHaveLength(tasks.length);
      expect(order.slice(0, SHUFFLE_WINDOW).toSorted()).toEqual(oldest);
    }
  });

  it('lets many nodes that take much at once reach for different tasks', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const tasks = Array.from({ length: 2_000 }, (_, index) => ({ id: `t${String(index).padStart(4, '0')}` }));
    const room = 40;
    const wanted = names.map((name) => {
      const given = input(tasks, { nodeId: nodeId(name), room });
      for (const other of names) given.view.nodes.set(nodeId(other), { oid: hex(700), state: null });
      return ids(candidates(given)).slice(0, room);
    });
    // Each of them is alone with most of what it wants.
    expect(new Set(wanted.flat()).size).toBeGreaterThan(0.8 * names.length * room);
    // And nobody reaches for what is far behind in the queue.
    expect(wanted.flat().every((id) => id < 't1280')).toBe(true);
  });

  it('lets each task fall to one of the nodes that may claim, and offers what falls to others last', () => {
    const names = ['a', 'b', 'c'];
    const tasks = Array.from({ length: 60 }, (_, index) => ({ id: `t${index}` }));
    const offered = names.map((name) => {
      const given = input(tasks, { nodeId: nodeId(name), room: 60 });
      for (const other of names) given.view.nodes.set(nodeId(other), { oid: hex(700), state: null });
      return candidates(given);
    });
    const own = offered.map((all) => all.filter(({ falls }) => falls));
    expect(ids(own.flat()).toSorted()).toEqual(tasks.map(({ id }) => id).toSorted());
    for (const [at, all] of offered.entries()) {
      expect(all).toHaveLength(tasks.length);
      expect(all.slice(0, own[at]?.length).every(({ falls }) => falls)).toBe(true);
    }
    // Alone there is nobody to leave anything to.
    expect(candidates(input(tasks)).every(({ falls }) => falls)).toBe(true);
  });

  it('leaves out what is taken, finished, unreadable, delayed, no task, or wants other labels', () => {
    const tasks = [
      { id: 'free' },
      { id: 'claimed', state: state('claimed', {}) },
      { id: 'finished', state: state('finished', { state: 'finished', status: 'success', reason: null }) },
      { id: 'delayed', state: state('delayed', { state: 'waiting', waitReason: 'retry', delayMs: 5 }) },
      { id: 'invalid', fields: { colour: 'red' } },
      { id: 'elsewhere', fields: { requires: ['gpu'] } },
    ];
    const given = input(tasks, { delayIsOver: () => false });
    given.view.tasks.set(taskId('unread'), { oid: hex(1), state: null });
    expect(ids(candidates(given))).toEqual(['free']);
  });

  it('takes what waits and what is orphaned from exactly the state that it saw', () => {
    const waiting = state('w', { state: 'waiting', waitReason: 'retry', delayMs: 5 });
    const orphan = state('o', {});
    const found = candidates(
      input(
        [
          { id: 'w', state: waiting },
          { id: 'o', state: orphan },
        ],
        { isOrphan: () => true },
      ),
    );
    expect(new Map(found.map(({ taskId: id, from }) => [id as string, from]))).toEqual(
      new Map([
        ['w', { oid: hex(500), state: waiting }],
        ['o', { oid: hex(501), state: orphan }],
      ]),
    );
  });

  it('runs a task with labels where the node has them all', () => {
    const tasks = [{ id: 'gpu', fields: { requires: ['gpu', 'arm64'] } }];
    expect(ids(candidates(input(tasks, { nodeLabels: ['gpu'] })))).toEqual([]);
    expect(ids(candidates(input(tasks, { nodeLabels: ['arm64', 'gpu', 'x'] })))).toEqual(['gpu']);
  });
});

describe('a long queue', () => {
  it('has the same order whether it is sorted as a whole or only its beginning', () => {
    const tasks = Array.from({ length: 1_000 }, (_, at) => ({
      id: `t${String((at * 7919) % 1_000).padStart(4, '0')}`,
      fields: { priority: ['critical', 'high', 'medium', 'low'][at % 4] },
      arrival: at % 3,
    }));
    const found = candidates(input(tasks));
    expect(found).toHaveLength(1_000);
    const rank = ({ taskId: id }: { taskId: string }): number => {
      const task = tasks.find((each) => each.id === id);
      return ['critical', 'high', 'medium', 'low'].indexOf(task?.fields.priority ?? '') * 3 + (task?.arrival ?? 0);
    };
    const ranks = found.map(rank);
    expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
    // The first of its rank by name are among the first, however far the shuffling goes.
    const first = found.slice(0, SHUFFLE_WINDOW).map(({ taskId: id }) => id);
    const best = tasks
      .filter((task) => rank({ taskId: task.id }) === 0)
      .map(({ id }) => id)
      .sort();
    expect(new Set(first)).toEqual(new Set(best.slice(0, SHUFFLE_WINDOW)));
  });
});
