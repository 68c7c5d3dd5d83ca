/** Whole workers on a repository in memory: the protocol's promises, without git and without an engine. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { GitError } from '../../../src/git/errors.ts';
import { type GitObject, makeCommit, makeTree } from '../../../src/git/objects.ts';
import { refName } from '../../../src/git/oid.ts';
import { encodeNodeState } from '../../../src/ledger/state-codec.ts';
import { systemClock } from '../../../src/runtime.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { MemoryGrid, type TestWorker, testSettings } from '../../support/memory-grid.ts';
import { StubEngine } from '../../support/stub-executor.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const NOBODY = { name: 'nobody', email: 'nobody@example.org', seconds: 0 };
const EMPTY_COMMIT = { tree: makeTree([], 'sha1').oid, parents: [], author: NOBODY, committer: NOBODY };

async function grid(): Promise<MemoryGrid> {
  return new MemoryGrid(await temporaryDirectory());
}

async function stop(worker: TestWorker): Promise<void> {
  worker.agent.requestStop();
  await worker.done;
}

describe('a worker', () => {
  it('runs what is queued, records it, leaves nothing behind', async () => {
    const g = await grid();
    await g.queue({
      good: { script: 'exit 0' },
      bad: { script: 'exit 3' },
      hungry: { script: 'oom' },
      slow: { script: 'hang', timeout_seconds: 1 },
      greedy: { script: 'exit 0', memory: '10g' },
      strange: { script: 'exit 0', image: 'elsewhere:1' },
    });
    const worker = await g.startWorker('a', { untilIdle: true });
    await worker.done;
    const reasons = await Promise.all(
      ['good', 'bad', 'hungry', 'slow', 'greedy', 'strange'].map(async (id) => (await g.record(id))?.reason),
    );
    expect(reasons).toEqual([null, 'exit-code', 'out-of-memory', 'timeout', 'rejected', 'rejected']);
    expect(g.taskRefs()).toEqual([]);
    expect((await g.index()).files.size).toBe(0);
    expect(worker.engine.containers.size).toBe(0);
    expect(await g.record('good')).toMatchObject({ attempt: 1, exit_code: 0, status: 'success', stdout: 'ran good\n' });
  });

  it('records what is no task, with what to mend', async () => {
    const g = await grid();
    await g.commit({
      'tasks/queue/broken.json': '{',
      'tasks/queue/odd.json': '{"task_id":"odd","script":"exit 0","colour":"red"}',
      'tasks/queue/Not Legal.json': '{}',
    });
    const worker = await g.startWorker('a', { untilIdle: true });
    await worker.done;
    expect((await g.record('broken'))?.reason).toBe('invalid-task');
    expect((await g.record('odd'))?.message).toContain('"colour"');
    expect(worker.events.named('queue.illegal-name')).toEqual([{ path: 'tasks/queue/Not Legal.json' }]);
    expect((await g.index()).illegalPaths).toEqual(['tasks/queue/Not Legal.json']);
  });

  it('tries again after an exit code, as often as the task says', async () => {
    const g = await grid();
    await g.queue({ flaky: { script: 'exit 1', retries: 1 } });
    const worker = await g.startWorker('a', { untilIdle: true });
    await worker.done;
    expect(await g.record('flaky')).toMatchObject({ reason: 'exit-code', attempt: 2 });
    expect(worker.engine.starts).toHaveLength(2);
  });

  it('shares a queue with others and runs each task once', async () => {
    const g = await grid();
    const ids = Array.from({ length: 60 }, (_, index) => `t${index}`);
    await g.queue(Object.fromEntries(ids.map((id) => [id, { script: 'sleep 2' }])));
    const workers = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) => g.startWorker(name, { untilIdle: true, settings: { maxParallelTasks: 4 } })),
    );
    await Promise.all(workers.map(({ done }) => done));
    const starts = workers.flatMap(({ engine }) => engine.starts.map(({ taskId }) => taskId));
    expect(starts.toSorted()).toEqual(ids.toSorted());
    for (const id of ids) expect((await g.record(id))?.status).toBe('success');
    expect(g.taskRefs()).toEqual([]);
  });

  it('does not fetch and does not move anything when idle', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    await (await g.startWorker('a', { untilIdle: true })).done;
    const worker = await g.startWorker('b');
    await until('a first poll', () => worker.events.named('poll.skipped').length > 2);
    const { fetches } = worker.repository;
    const skipped = worker.events.named('poll.skipped').length;
    const moved = g.remote.history.length;
    await until('twenty polls', () => worker.events.named('poll.skipped').length >= skipped + 20);
    expect(worker.repository.fetches).toBe(fetches);
    const movedRefs = new Set(g.remote.history.slice(moved).map(({ ref }) => ref));
    expect([...movedRefs]).toEqual(['refs/dgrid/nodes/b']);
    await stop(worker);
  });

  it('hands back on the first signal what does not finish, publishes what does', async () => {
    const g = await grid();
    await g.queue({ short: { script: 'sleep 100' }, long: { script: 'sleep 60000' } });
    const worker = await g.startWorker('a', { settings: { shutdownGraceMs: 300 } });
    await until('both to run', () => worker.engine.starts.length === 2);
    await stop(worker);
    expect((await g.record('short'))?.status).toBe('success');
    expect(g.taskRefs()).toEqual(['refs/dgrid/tasks/long']);
    expect(worker.events.named('worker.summary')).toHaveLength(1);
    expect(worker.engine.containers.size).toBe(0);
    const other = await g.startWorker('b');
    await until('the other to start it', () => other.engine.starts.some(({ taskId }) => taskId === 'long'));
    other.agent.requestStop();
    other.agent.requestStop();
    await other.done;
  });

  it('leaves no claim of a recorded task behind when it is stopped before its second look', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    // Other nodes, some of which come before this one in cleaning up.
    for (let index = 0; index < 8; index += 1) {
      const beat = makeCommit({ ...EMPTY_COMMIT, message: `beat ${index}` }, 'sha1');
      g.remote.objects.set(beat.oid, beat);
      g.remote.swap({ ref: refName(`refs/dgrid/nodes/other-${index}`), from: null, to: beat.oid });
    }
    const worker = await g.startWorker('b', {
      settings: { nodeTtlMs: 60_000 },
      prepare: (repository) => {
        repository.onPush = (swaps) => {
          if (!swaps.some(({ ref, from }) => ref === 'refs/dgrid/tasks/one' && from === null)) return 'none';
          repository.onPush = () => 'none';
          // While its claim travels, another worker has run the task, recorded it, and deleted the ref.
          void g.commit({ 'tasks/queue/one.json': null, 'tasks/completed/one.json': '{}' });
          worker.agent.requestStop();
          repository.onList = () => {
            repository.onList = () => undefined;
            throw new GitError('aborted', 'ls-remote', 'the worker is stopping');
          };
          return 'none';
        };
      },
    });
    await worker.done;
    expect(worker.engine.starts).toEqual([]);
    expect(g.taskRefs()).toEqual([]);
  });

  it('takes up its own containers after a crash, under a new incarnation', async () => {
    const g = await grid();
    const engine = new StubEngine(systemClock);
    await g.queue({ work: { script: 'sleep 2500' } });
    // A worker that dies is one whose pushes and readings go nowhere from then on.
    let dead = false;
    const first = await g.startWorker('a', {
      engine,
      prepare: (repository) => {
        repository.onList = () => {
          if (dead) throw new Error('dead');
        };
        repository.onPush = () => (dead ? 'lost-request' : 'none');
      },
    });
    await until('the task to run', () => engine.starts.length === 1);
    dead = true;
    const second = await g.startWorker('a', { engine });
    await until('the record', async () => (await g.record('work')) !== null);
    expect(await g.record('work')).toMatchObject({ attempt: 1, status: 'success' });
    expect(second.events.named('task.adopted')).toHaveLength(1);
    expect(engine.starts).toHaveLength(1);
    await stop(second);
    onTestFinished(() => {
      first.agent.requestStop();
      first.agent.requestStop();
    });
  });

  it('takes a container up once, also when its registration has to be tried again', async () => {
    const g = await grid();
    const engine = new StubEngine(systemClock);
    await g.queue({ work: { script: 'sleep 2500' } });
    let dead = false;
    const first = await g.startWorker('a', {
      engine,
      prepare: (repository) => {
        repository.onList = () => {
          if (dead) throw new Error('dead');
        };
        repository.onPush = () => (dead ? 'lost-request' : 'none');
      },
    });
    await until('the task to run', () => engine.starts.length === 1);
    dead = true;
    const node = refName('refs/dgrid/nodes/a');
    const earlier = g.remote.history.find(({ ref, to }) => ref === node && to !== g.remote.refs.get(node))?.to;
    let moved = false;
    const second = await g.startWorker('a', {
      engine,
      prepare: (repository) => {
        repository.onPush = (swaps) => {
          if (!moved && swaps.some(({ ref }) => ref === node)) {
            // A last beat of the first life arrives just before.
            moved = true;
            g.remote.refs.set(node, earlier as never);
          }
          return 'none';
        };
      },
    });
    await until('the record', async () => (await g.record('work')) !== null);
    await stop(second);
    expect(moved).toBe(true);
    expect(second.events.named('task.adopted')).toHaveLength(1);
    expect(await g.record('work')).toMatchObject({ attempt: 1, status: 'success' });
    expect(engine.starts).toHaveLength(1);
    onTestFinished(() => {
      first.agent.requestStop();
      first.agent.requestStop();
    });
  });

  it('takes over from a node that died, and the dead one gets nothing accepted any more', async () => {
    const g = await grid();
    await g.queue({ work: { script: 'sleep 1500' } });
    let cut = false;
    const first = await g.startWorker('a', {
      prepare: (repository) => {
        repository.onList = () => {
          if (cut) throw new Error('cut off');
        };
        repository.onPush = () => (cut ? 'lost-request' : 'none');
      },
    });
    await until('the task to run', () => first.engine.starts.length === 1);
    cut = true;
    const second = await g.startWorker('b');
    await until('the takeover', () => second.engine.starts.length === 1);
    cut = false;
    await until('the record', async () => (await g.record('work')) !== null);
    expect(await g.record('work')).toMatchObject({ node_id: 'b', attempt: 2, status: 'success' });
    expect(second.events.named('node.dead')).toHaveLength(1);
    await until('the first to notice', () => first.events.named('node.fenced').length > 0);
    await until('its container to go', () => first.engine.containers.size === 0);
    await until('it to be back', () => first.events.named('node.registered').length === 2);
    await Promise.all([stop(first), stop(second)]);
    expect(g.taskRefs()).toEqual([]);
  });

  it('survives lost requests and lost replies without doing anything twice', async () => {
    const g = await grid();
    const ids = Array.from({ length: 30 }, (_, index) => `t${index}`);
    await g.queue(Object.fromEntries(ids.map((id) => [id, { script: 'sleep 1' }])));
    const faulty = (seed: number) => {
      let count = seed;
      return () => {
        count += 1;
        if (count % 5 === 0) return 'lost-reply' as const;
        return count % 7 === 0 ? ('lost-request' as const) : ('none' as const);
      };
    };
    const workers = await Promise.all(
      ['a', 'b', 'c'].map((name, index) =>
        g.startWorker(name, {
          untilIdle: true,
          settings: { maxParallelTasks: 3, nodeTtlMs: 60_000 },
          prepare: (repository) => {
            repository.onPush = faulty(index * 2);
          },
        }),
      ),
    );
    await Promise.all(workers.map(({ done }) => done));
    for (const id of ids) expect((await g.record(id))?.status).toBe('success');
    const finished = g.remote.history.filter(({ ref, to }) => {
      const message = to ? (g.remote.objects.get(to)?.content.toString() ?? '') : '';
      return ref.startsWith('refs/dgrid/tasks/') && message.includes('DGrid-State: finished');
    });
    expect(new Set(finished.map(({ ref }) => ref)).size).toBe(ids.length);
    expect(finished).toHaveLength(ids.length);
    expect(g.taskRefs()).toEqual([]);
  });

  it('keeps its results when the host does not let it write the branch', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    const worker = await g.startWorker('a', {
      untilIdle: true,
      prepare: (repository) => {
        repository.onPush = (swaps) => (swaps.some(({ ref }) => ref === 'refs/heads/main') ? 'refused' : 'none');
      },
    });
    await worker.done;
    expect(worker.events.named('record.refused').length).toBeGreaterThan(0);
    expect(g.taskRefs()).toEqual(['refs/dgrid/tasks/one']);
  });

  it('falls back to branches where the host refuses its own namespace', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    const worker = await g.startWorker('a', {
      untilIdle: true,
      prepare: (repository) => {
        repository.onPush = (swaps) => (swaps.some(({ ref }) => ref.startsWith('refs/dgrid/')) ? 'refused' : 'none');
      },
    });
    await worker.done;
    expect((await g.record('one'))?.status).toBe('success');
    expect([...g.remote.refs.keys()].toSorted()).toEqual(['refs/heads/dgrid/nodes/a', 'refs/heads/main']);
  });

  it('stops with an explanation when another machine lives under its id', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    const first = await g.startWorker('a', { machine: 'm1' });
    await until('it to register', () => first.membership.registered);
    const second = await g.startWorker('a', { machine: 'm2' });
    await expect(second.done).rejects.toThrow(/another machine works under the node id a/);
    await stop(first);
  });

  it('cancels what people take out of the queue', async () => {
    const g = await grid();
    await g.queue({ regret: { script: 'sleep 60000' } });
    const worker = await g.startWorker('a');
    await until('the task to run', () => worker.engine.starts.length === 1);
    await g.commit({ 'tasks/queue/regret.json': null });
    await until('the record', async () => (await g.record('regret')) !== null);
    expect(await g.record('regret')).toMatchObject({ reason: 'cancelled' });
    expect(worker.engine.containers.size).toBe(0);
    await stop(worker);
  });

  it('claims nothing while the engine is away, and goes on when it is back', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    const engine = new StubEngine(systemClock);
    engine.available = false;
    const worker = await g.startWorker('a', { engine });
    await until('some polls', () => worker.events.named('poll.skipped').length > 5);
    expect(g.taskRefs()).toEqual([]);
    engine.available = true;
    await until('the record', async () => (await g.record('one')) !== null);
    await stop(worker);
  });

  it('keeps its hourly quota over a restart', async () => {
    const g = await grid();
    await g.queue(Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((id) => [id, { script: 'exit 0' }])));
    const engine = new StubEngine(systemClock);
    const settings = { maxTasksPerHour: 3 };
    const first = await g.startWorker('w', { engine, settings });
    await until('the limit', () => first.events.named('limit.rate').length > 0 && first.runner.activeCount === 0);
    await stop(first);
    const second = await g.startWorker('w', { engine, settings });
    await until('some polls', () => second.events.named('poll.skipped').length > 5);
    expect(engine.starts).toHaveLength(3);
    await stop(second);
    expect(second.events.named('worker.summary')[0]).toMatchObject({ tasks_executed_this_hour: 3 });
  });

  it('pulls in every poll when it is told not to be smart', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    const worker = await g.startWorker('a', { settings: { useSmartPolling: false } });
    await until('some polls', () => worker.events.named('poll.pulling').length >= 5);
    expect(worker.events.named('poll.skipped')).toEqual([]);
    await stop(worker);
  });

  it('leaves a state of a newer format alone, and says so', async () => {
    const g = await grid();
    await g.queue({ future: { script: 'exit 0' }, present: { script: 'exit 0' } });
    const tree = makeTree([], 'sha1');
    const who = { name: 'x', email: 'x@example.org', seconds: 0 };
    const message = 'claimed\n\nDGrid-Format: 2\nDGrid-Kind: task\n';
    const commit = makeCommit({ tree: tree.oid, parents: [], author: who, committer: who, message }, 'sha1');
    for (const object of [tree, commit]) g.remote.objects.set(object.oid, object);
    g.remote.refs.set(refName('refs/dgrid/tasks/future'), commit.oid);
    const worker = await g.startWorker('a');
    await until('the other record', async () => (await g.record('present')) !== null);
    await stop(worker);
    expect(worker.events.named('task.newer-format')).toEqual([{ task: 'future', format: 2 }]);
    expect(g.remote.refs.get(refName('refs/dgrid/tasks/future'))).toBe(commit.oid);
    expect(worker.engine.starts.map(({ taskId }) => taskId)).toEqual(['present']);
  });

  it('keeps a task file that was changed after it was claimed', async () => {
    const g = await grid();
    await g.queue({ edited: { script: 'sleep 300' } });
    const worker = await g.startWorker('a');
    await until('the task to run', () => worker.engine.starts.length === 1);
    await g.queue({ edited: { script: 'exit 0' } });
    worker.agent.nudge();
    await until('the record', async () => (await g.record('edited')) !== null);
    expect((await g.record('edited'))?.task).toEqual({ task_id: 'edited', script: 'sleep 300' });
    expect((await g.index()).files.has(taskId('edited'))).toBe(true);
    await until('it to be told', () => worker.events.named('queue.already-recorded').length > 0);
    await stop(worker);
    expect(worker.engine.starts).toHaveLength(1);
  });

  it('gives a task up that takes one node after the other down with it', async () => {
    const g = await grid();
    await g.queue({ poison: { script: 'vanish' } });
    const worker = await g.startWorker('a', { untilIdle: true, settings: { maxTakeovers: 0 } });
    await worker.done;
    expect(await g.record('poison')).toMatchObject({ status: 'failed', reason: 'lost' });
  });

  it('leaves a task to a node that has its labels', async () => {
    const g = await grid();
    await g.queue({ special: { script: 'exit 0', requires: ['gpu'] } });
    const plain = await g.startWorker('plain');
    await until('some polls', () => plain.events.named('poll.skipped').length > 3);
    expect(plain.engine.starts).toEqual([]);
    const gpu = await g.startWorker('gpu', { settings: { nodeLabels: ['gpu'] } });
    await until('the record', async () => (await g.record('special')) !== null);
    expect((await g.record('special'))?.node_id).toBe('gpu');
    await Promise.all([stop(plain), stop(gpu)]);
  });

  it('names an image that cannot be had, and a program that is not there', async () => {
    const g = await grid();
    await g.queue({ image: { script: 'exit 0', image: 'missing:1' }, program: { script: 'unstartable' } });
    const worker = await g.startWorker('a', {
      untilIdle: true,
      settings: { docker: { ...testSettings('', 'a').docker, allowedImages: ['busybox:stable', 'missing:1'] } },
    });
    await worker.done;
    expect(await g.record('image')).toMatchObject({ reason: 'image-unavailable', exit_code: null });
    expect(await g.record('program')).toMatchObject({
      reason: 'exit-code',
      exit_code: 127,
      message: 'no such program',
    });
  });

  it('survives a start at which nothing can be pushed, with a container to take up again', async () => {
    const g = await grid();
    const engine = new StubEngine(systemClock);
    await g.queue({ work: { script: 'sleep 1500' } });
    let dead = false;
    await g.startWorker('a', {
      engine,
      prepare: (repository) => {
        const list = repository.listRefs.bind(repository);
        const swap = repository.swapRefs.bind(repository);
        repository.listRefs = (prefixes) => (dead ? new Promise(() => undefined) : list(prefixes));
        repository.swapRefs = (swaps, objects) => (dead ? new Promise(() => undefined) : swap(swaps, objects));
      },
    });
    await until('the task to run', () => engine.starts.length === 1);
    dead = true;
    let failing = true;
    const second = await g.startWorker('a', {
      engine,
      prepare: (repository) => {
        repository.onPush = () => (failing ? 'lost-request' : 'none');
      },
    });
    // The registration and the adoption both fail, in one push; a rejection that nobody looks at would end the process.
    await until('the first tries to fail', () => second.events.named('push.failed').length > 0);
    failing = false;
    await until('the record', async () => (await g.record('work')) !== null);
    expect(await g.record('work')).toMatchObject({ status: 'success', attempt: 1 });
    expect(engine.starts).toHaveLength(1);
    await stop(second);
  });

  it('cleans up after a recorder that died, although a dead node that nobody reads comes first in the order', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    // Refs of recorded tasks stay, as after a crash between the two steps.
    const first = await g.startWorker('a', {
      untilIdle: true,
      prepare: (repository) => {
        repository.onPush = (swaps) => (swaps.some(({ to }) => to === null) ? 'refused' : 'none');
      },
    });
    await first.done;
    expect(g.taskRefs()).toEqual(['refs/dgrid/tasks/one']);
    // Nodes that look alive and never speak again; some of them come before b in any order.
    for (let number = 0; number < 8; number += 1) {
      const dead = await g.startWorker(`dead-${number}`);
      await until('it to register', () => dead.events.named('node.registered').length > 0);
      dead.repository.onPush = () => 'lost-request';
      await stop(dead);
    }
    const worker = await g.startWorker('b', { settings: { nodeTtlMs: 300 } });
    await until('the ref to go', () => g.taskRefs().length === 0);
    await stop(worker);
  });

  it('leaves the fallback namespace when others turn up in the preferred one', async () => {
    const g = await grid();
    const early = await g.startWorker('early', {
      prepare: (repository) => {
        repository.onPush = (swaps) => (swaps.some(({ ref }) => ref.startsWith('refs/dgrid/')) ? 'refused' : 'none');
      },
    });
    const ended = early.done.then(
      () => null,
      (error: unknown) => error,
    );
    await until('the fallback', () => early.events.named('namespace.fallback').length > 0);
    await until('it to work there', () => early.events.named('worker.ready').length > 0);
    const late = await g.startWorker('late');
    expect(await ended).toMatchObject({ message: expect.stringContaining('another namespace') });
    expect(early.events.named('namespace.split')).toHaveLength(1);
    await stop(late);
  });

  it('does not take its own ref for that of another machine while its state cannot be read yet', async () => {
    const g = await grid();
    const first = await g.startWorker('a');
    await until('it to register', () => first.events.named('worker.ready').length > 0);
    await stop(first);
    const ref = refName('refs/dgrid/nodes/a');
    let lists = 0;
    let blind = 0;
    const second = await g.startWorker('a', {
      prepare: (repository) => {
        repository.onList = () => {
          lists += 1;
          if (lists !== 2) return;
          // A request of the life before that was long under way: the ref moves after the id was found free.
          const late = nodeCommit('a', { state: 'alive', machine: 'machine-a' });
          for (const object of late) g.remote.objects.set(object.oid, object);
          g.remote.refs.set(ref, late[1].oid);
          blind = 1;
        };
        const fetchRefs = repository.fetchRefs.bind(repository);
        repository.fetchRefs = async (patterns) => {
          blind -= 1;
          return blind < 0 ? fetchRefs(patterns) : new Map();
        };
      },
    });
    await until('it to work', () => second.events.named('worker.ready').length > 0);
    await stop(second);
  });
});

function nodeCommit(id: string, { state, machine }: { state: 'alive'; machine: string }): [GitObject, GitObject] {
  const tree = makeTree([], 'sha1');
  const message = encodeNodeState({
    state,
    machine,
    nodeId: nodeId(id),
    incarnation: 'earlier',
    sequence: 9,
    intervalMs: 60,
    ttlMs: 300,
    nonce: 'late',
    fencedBy: null,
    info: {},
  });
  const who = { name: 'w', email: `worker+${id}@d-grid.local`, seconds: 0 };
  return [tree, makeCommit({ tree: tree.oid, parents: [], author: who, committer: who, message }, 'sha1')];
}
