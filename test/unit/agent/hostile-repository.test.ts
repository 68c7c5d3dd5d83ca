/**
 * Whole workers on a repository that somebody else writes to as he likes: whatever stands there, good tasks get their
 * results, and the log names what is odd.
 */
import { describe, expect, it } from 'vitest';
import {
  type GitObject,
  MODE_FILE,
  MODE_TREE,
  makeBlob,
  makeCommit,
  makeObject,
  makeTree,
} from '../../../src/git/objects.ts';
import { type Oid, refName } from '../../../src/git/oid.ts';
import { encodeNodeState, encodeTaskState, type TaskState } from '../../../src/ledger/state-codec.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { MAIN, MemoryGrid, type TestWorker } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const NOBODY = { name: 'nobody', email: 'nobody@example.org', seconds: 0 };
const EMPTY = makeTree([], 'sha1');

async function grid(): Promise<MemoryGrid> {
  const made = new MemoryGrid(await temporaryDirectory());
  put(made, EMPTY);
  return made;
}

function put(grid: MemoryGrid, ...objects: GitObject[]): void {
  for (const object of objects) grid.remote.objects.set(object.oid, object);
}

function commit(grid: MemoryGrid, message: string, tree: Oid = EMPTY.oid): Oid {
  const made = makeCommit({ tree, parents: [], author: NOBODY, committer: NOBODY, message }, 'sha1');
  put(grid, made);
  return made.oid;
}

function state(id: string, over: Partial<TaskState> = {}): string {
  const facts = {
    state: 'waiting',
    taskId: taskId(id),
    nodeId: nodeId('gone'),
    incarnation: 'i1',
    epoch: 1,
    attempt: 1,
    failures: 0,
    takeovers: 0,
    specBlob: 'b'.repeat(40),
    nonce: `n-${id}`,
    waitReason: 'handed-back',
    delayMs: 0,
    ...over,
  };
  return encodeTaskState(facts as TaskState);
}

/** An entry of a tree by hand: any mode, any name. */
function entry(mode: string, name: string | Buffer, oid: Oid): Buffer {
  return Buffer.concat([Buffer.from(`${mode} `), Buffer.from(name), Buffer.from([0]), Buffer.from(oid, 'hex')]);
}

function rawTree(grid: MemoryGrid, ...entries: Buffer[]): Oid {
  const made = makeObject('tree', Buffer.concat(entries), 'sha1');
  put(grid, made);
  return made.oid;
}

function file(grid: MemoryGrid, content: string): Oid {
  const made = makeBlob(content, 'sha1');
  put(grid, made);
  return made.oid;
}

function task(grid: MemoryGrid, id: string): Oid {
  return file(grid, JSON.stringify({ task_id: id, script: 'exit 0' }));
}

/** The branch, with this as its `tasks/queue` and these beside it. */
function branch(grid: MemoryGrid, queue: Oid, beside: Buffer[] = []): void {
  const tasks = rawTree(grid, ...beside, entry(MODE_TREE, 'queue', queue));
  grid.remote.refs.set(MAIN, commit(grid, 'by hand', rawTree(grid, entry(MODE_TREE, 'tasks', tasks))));
}

async function stop(worker: TestWorker): Promise<void> {
  worker.agent.requestStop();
  await worker.done;
}

async function recorded(grid: MemoryGrid, ...ids: string[]): Promise<void> {
  for (const id of ids) await until(`the record of ${id}`, async () => (await grid.record(id)) !== null);
}

describe('refs', () => {
  it('of two tasks at one object are a state of the one that it names', async () => {
    const g = await grid();
    await g.queue({ aaa: { script: 'exit 0' }, zzz: { script: 'exit 0' } });
    const oid = commit(g, state('aaa'));
    g.remote.refs.set(refName('refs/dgrid/tasks/aaa'), oid);
    g.remote.refs.set(refName('refs/dgrid/tasks/zzz'), oid);
    const worker = await g.startWorker('a');
    await recorded(g, 'aaa');
    expect(worker.events.named('task.unreadable-state')).toEqual([
      { task: 'zzz', problem: expect.stringContaining('DGrid-Task') },
    ]);
    await stop(worker);
    expect(g.taskRefs()).toEqual(['refs/dgrid/tasks/zzz']);
  });

  it('that become unreadable later are told once, nodes too', async () => {
    const g = await grid();
    await g.queue({ first: { script: 'exit 0' } });
    const worker = await g.startWorker('a');
    await recorded(g, 'first');
    g.remote.refs.set(refName('refs/dgrid/tasks/odd'), commit(g, 'no state at all'));
    // Of nodes only those are read that hold a claim.
    g.remote.refs.set(refName('refs/dgrid/nodes/odd'), file(g, 'no commit at all'));
    const claim = { state: 'claimed', nodeId: nodeId('odd') } as Partial<TaskState>;
    g.remote.refs.set(refName('refs/dgrid/tasks/held'), commit(g, state('held', claim)));
    await until(
      'both to be told',
      () =>
        worker.events.named('task.unreadable-state').length + worker.events.named('node.unreadable-state').length === 2,
    );
    await g.queue({ second: { script: 'exit 0' } });
    await recorded(g, 'second');
    expect(worker.events.named('task.unreadable-state')).toMatchObject([{ task: 'odd' }]);
    expect(worker.events.named('node.unreadable-state')).toMatchObject([{ unreadable_node: 'odd' }]);
    await stop(worker);
  });

  it('whose names are no ids are told', async () => {
    const g = await grid();
    for (const name of ['tasks/UPPER', 'tasks/a/b', 'nodes/-x', 'else']) {
      g.remote.refs.set(refName(`refs/dgrid/${name}`), commit(g, 'x'));
    }
    await g.queue({ first: { script: 'exit 0' } });
    const worker = await g.startWorker('a');
    await recorded(g, 'first');
    expect(worker.events.named('ref.illegal-name').map(({ ref }) => ref)).toEqual([
      'refs/dgrid/tasks/UPPER',
      'refs/dgrid/tasks/a/b',
      'refs/dgrid/nodes/-x',
      'refs/dgrid/else',
    ]);
    await stop(worker);
  });

  it('with counts as high as they go still lead to states that others can read', async () => {
    const g = await grid();
    await g.queue({ high: { script: 'exit 0' } });
    const most = 999_999_999_999_999;
    const text = state('high', { epoch: most, attempt: most, failures: most, takeovers: most });
    g.remote.refs.set(refName('refs/dgrid/tasks/high'), commit(g, text));
    const worker = await g.startWorker('a');
    await recorded(g, 'high');
    await stop(worker);
    for (const { ref, to } of g.remote.history) {
      if (ref !== 'refs/dgrid/tasks/high' || to === null) continue;
      expect(g.remote.objects.get(to)?.content.toString()).toContain(`DGrid-Epoch: ${most}\n`);
    }
  });

  it('of finished tasks without a record are told once, and do not keep the worker busy', async () => {
    const g = await grid();
    await g.queue({ bare: { script: 'exit 0' }, torn: { script: 'exit 0' }, first: { script: 'exit 0' } });
    const finished = { state: 'finished', status: 'success', reason: null } as Partial<TaskState>;
    const torn = makeObject('tree', Buffer.from('100644 torn'), 'sha1');
    put(g, torn);
    g.remote.refs.set(refName('refs/dgrid/tasks/bare'), commit(g, state('bare', finished)));
    g.remote.refs.set(refName('refs/dgrid/tasks/torn'), commit(g, state('torn', finished), torn.oid));
    const worker = await g.startWorker('a', { settings: { pullIntervalMs: 300 } });
    await recorded(g, 'first');
    await until('both to be told', () => worker.events.named('task.unreadable-state').length >= 2);
    const before = worker.repository.lists;
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect(worker.repository.lists - before).toBeLessThan(10);
    expect(worker.events.named('task.unreadable-state').map(({ task: id }) => id)).toEqual(['bare', 'torn']);
    await stop(worker);
  });

  it('of this very node that hold garbage are taken back, and its work goes on', async () => {
    const g = await grid();
    const worker = await g.startWorker('a');
    await until('it to be registered', () => worker.events.named('worker.ready').length === 1);
    g.remote.refs.set(refName('refs/dgrid/nodes/a'), commit(g, 'garbage'));
    await until('it to be back', () => worker.events.named('node.registered').length === 2);
    await g.queue({ first: { script: 'exit 0' } });
    await recorded(g, 'first');
    await stop(worker);
    g.remote.refs.set(refName('refs/dgrid/nodes/a'), commit(g, 'garbage again'));
    const next = await g.startWorker('a');
    await until('it to start', () => next.events.named('worker.ready').length === 1);
    await stop(next);
  });

  it('with a delay beyond all measure are unreadable', async () => {
    const g = await grid();
    await g.queue({ never: { script: 'exit 0' }, first: { script: 'exit 0' } });
    const text = state('never', { delayMs: 999_999_999_999_999 });
    g.remote.refs.set(refName('refs/dgrid/tasks/never'), commit(g, text));
    const worker = await g.startWorker('a');
    await recorded(g, 'first');
    expect(worker.events.named('task.unreadable-state')).toMatchObject([{ task: 'never' }]);
    await stop(worker);
  });

  it('of a node with times beyond all measure are unreadable', async () => {
    const g = await grid();
    const facts = { nodeId: nodeId('odd'), incarnation: 'i', machine: 'm', nonce: 'n', fencedBy: null, info: {} };
    const text = encodeNodeState({ ...facts, state: 'alive', sequence: 1, intervalMs: 1, ttlMs: 999_999_999_999_999 });
    g.remote.refs.set(refName('refs/dgrid/nodes/odd'), commit(g, text));
    await g.queue({ claimed: { script: 'exit 0' }, first: { script: 'exit 0' } });
    const claim = { state: 'claimed', nodeId: nodeId('odd'), incarnation: 'i' } as Partial<TaskState>;
    g.remote.refs.set(refName('refs/dgrid/tasks/claimed'), commit(g, state('claimed', claim)));
    const worker = await g.startWorker('a');
    await recorded(g, 'first');
    expect(worker.events.named('node.unreadable-state')).toMatchObject([{ unreadable_node: 'odd' }]);
    await stop(worker);
  });
});

describe('trees', () => {
  it('that are no trees are named, and what stands beside them is run', async () => {
    const g = await grid();
    const torn = makeObject('tree', Buffer.from('100644 torn'), 'sha1');
    put(g, torn);
    branch(
      g,
      rawTree(
        g,
        entry(MODE_TREE, 'blob', file(g, 'no tree')),
        entry(MODE_FILE, 'good.json', task(g, 'good')),
        entry(MODE_TREE, 'torn', torn.oid),
      ),
    );
    const worker = await g.startWorker('a');
    await recorded(g, 'good');
    const told = worker.events.named('queue.unreadable').map(({ path }) => String(path));
    expect(told.toSorted()).toEqual(['tasks/queue/blob', 'tasks/queue/torn']);
    await stop(worker);
  });

  it('with names that no path may hold run nothing from there, and recording goes on', async () => {
    const g = await grid();
    const evil = rawTree(g, entry(MODE_FILE, 'evil.json', task(g, 'evil')));
    const names = ['.', '..', '', '.git', '.GIT', 'a/b', 'a\nb', '\u001b[2J'].map((name) => Buffer.from(name));
    branch(
      g,
      rawTree(
        g,
        ...[...names, Buffer.from([0xff, 0xfe])].map((name) => entry(MODE_TREE, name, evil)),
        entry(MODE_FILE, 'good.json', task(g, 'good')),
      ),
    );
    const worker = await g.startWorker('a');
    await recorded(g, 'good');
    expect(worker.engine.starts.map(({ taskId: id }) => id)).toEqual(['good']);
    expect(worker.events.named('queue.illegal-name')).toHaveLength(names.length + 1);
    await stop(worker);
  });

  it('that unfold without an end are read as far as there is sense in it', async () => {
    const g = await grid();
    let tree = rawTree(g, ...Array.from({ length: 10 }, (_, at) => entry(MODE_FILE, `f${at}`, file(g, ''))));
    for (let depth = 0; depth < 12; depth += 1) {
      tree = rawTree(g, ...Array.from({ length: 10 }, (_, at) => entry(MODE_TREE, `d${at}`, tree)));
    }
    branch(g, rawTree(g, entry(MODE_TREE, 'bomb', tree), entry(MODE_FILE, 'good.json', task(g, 'good'))));
    const worker = await g.startWorker('a');
    await recorded(g, 'good');
    expect(worker.events.named('queue.too-large')).toMatchObject([
      { path: expect.stringContaining('tasks/queue/bomb') },
    ]);
    await stop(worker);
  });

  it('with any number of rubbish names do not fill the log at once', async () => {
    const g = await grid();
    const rubbish = Array.from({ length: 5_000 }, (_, at) =>
      entry(MODE_FILE, `Rubbish ${String(at).padStart(4, '0')}`, file(g, '')),
    );
    branch(g, rawTree(g, ...rubbish, entry(MODE_FILE, 'good.json', task(g, 'good'))));
    const worker = await g.startWorker('a');
    await recorded(g, 'good');
    const told = worker.events.named('queue.illegal-name').length;
    expect(told).toBeGreaterThan(0);
    expect(told).toBeLessThanOrEqual(1_000);
    await until('the rest to be counted', () => worker.events.named('queue.more-illegal-names').length > 0);
    expect(worker.events.named('queue.more-illegal-names')).toEqual([{ path: 'tasks/queue', count: 4_000 }]);
    expect(worker.events.named('queue.illegal-name')).toHaveLength(1_000);
    await stop(worker);
  });

  it('out of order get each record once', async () => {
    const g = await grid();
    const known = Array.from({ length: 9 }, (_, at) => `r${at}`);
    const records = ['zzz', ...known].map((id) => entry(MODE_FILE, `${id}.json`, file(g, '{}')));
    const queue = rawTree(g, ...['x', 'q', 'r0', 'a'].map((id) => entry(MODE_FILE, `${id}.json`, task(g, id))));
    branch(g, queue, [entry(MODE_TREE, 'completed', rawTree(g, ...records))]);
    const worker = await g.startWorker('a');
    await recorded(g, 'a', 'q', 'x');
    await until('its refs to go', () => g.taskRefs().length === 0);
    expect(worker.engine.starts.map(({ taskId: id }) => id).toSorted()).toEqual(['a', 'q', 'x']);
    const before = worker.repository.pushes;
    await new Promise((resolve) => setTimeout(resolve, 300));
    // Heartbeats, and nothing else.
    expect(worker.repository.pushes - before).toBeLessThan(10);
    expect(worker.events.named('queue.already-recorded').map(({ task: id }) => id)).toContain('r0');
    await stop(worker);
  });

  it('where directories should be and are not are named', async () => {
    const g = await grid();
    const tasks = rawTree(g, entry(MODE_FILE, 'completed', file(g, 'x')), entry('120000', 'queue', file(g, '/etc')));
    g.remote.refs.set(MAIN, commit(g, 'by hand', rawTree(g, entry(MODE_TREE, 'tasks', tasks))));
    const worker = await g.startWorker('a');
    await until('it to be told', () => worker.events.named('queue.unreadable').length > 0);
    expect(worker.events.named('queue.unreadable')).toMatchObject([{ path: 'tasks/queue' }]);
    await stop(worker);
  });

  it('with many files of one id cost no more than others', async () => {
    const g = await grid();
    const same = rawTree(g, entry(MODE_FILE, 'good.json', task(g, 'good')));
    branch(g, rawTree(g, ...Array.from({ length: 3_000 }, (_, at) => entry(MODE_TREE, `d${at}`, same))));
    const worker = await g.startWorker('a');
    await recorded(g, 'good');
    await until('the queue to be empty', async () => (await g.index()).files.size === 0);
    expect(worker.engine.starts).toHaveLength(1);
    await stop(worker);
  });
});
