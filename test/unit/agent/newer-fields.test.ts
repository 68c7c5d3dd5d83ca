/** Task files with fields that this version does not know, on a grid where some nodes are newer. */
import { describe, expect, it } from 'vitest';
import { makeCommit, makeTree } from '../../../src/git/objects.ts';
import { refName } from '../../../src/git/oid.ts';
import { encodeNodeState, type NodeState } from '../../../src/ledger/state-codec.ts';
import { nodeId } from '../../../src/task/id.ts';
import { TASK_FIELDS } from '../../../src/task/task-schema.ts';
import { MemoryGrid, type TestWorker } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const REF = refName('refs/dgrid/nodes/newer');
const PATIENT = { heartbeatIntervalMs: 60_000, nodeTtlMs: 300_000 };

let sequence = 0;

/** A sign of life of a node that nobody here runs. */
function beat(
  grid: MemoryGrid,
  facts: Partial<NodeState> = {},
  edit: (message: string) => string = (text) => text,
): void {
  sequence += 1;
  const message = encodeNodeState({
    state: 'alive',
    nodeId: nodeId('newer'),
    incarnation: 'i',
    machine: 'm',
    sequence,
    intervalMs: 60_000,
    ttlMs: 300_000,
    nonce: String(sequence),
    fencedBy: null,
    info: { task_fields: [...TASK_FIELDS, 'hologram'] },
    ...facts,
  });
  const tree = makeTree([], 'sha1');
  const who = { name: 'w', email: 'worker+newer@d-grid.local', seconds: 0 };
  const commit = makeCommit(
    { tree: tree.oid, parents: [], author: who, committer: who, message: edit(message) },
    'sha1',
  );
  for (const object of [tree, commit]) grid.remote.objects.set(object.oid, object);
  const swapped = grid.remote.swap({ ref: REF, from: grid.remote.refs.get(REF) ?? null, to: commit.oid });
  expect(swapped).toBe(true);
}

async function gridWith(...beats: Parameters<typeof beat>[1][]): Promise<MemoryGrid> {
  const grid = new MemoryGrid(await temporaryDirectory());
  for (const facts of beats) beat(grid, facts);
  await grid.queue({ plain: { script: 'exit 0' }, novel: { script: 'exit 0', hologram: true } });
  return grid;
}

async function stop(worker: TestWorker): Promise<void> {
  worker.agent.requestStop();
  await worker.done;
}

const cycles = (worker: TestWorker): number =>
  worker.events.named('poll.skipped').length + worker.events.named('poll.pulling').length;

async function plainIsDone(grid: MemoryGrid, worker: TestWorker): Promise<void> {
  await until('the plain task', async () => (await grid.record('plain')) !== null);
  const before = cycles(worker);
  await until('some more looks', () => cycles(worker) > before + 3);
}

describe('a task with a field that this version does not know', () => {
  it('is left to a living node that knows it, and told once', async () => {
    const grid = await gridWith({});
    const worker = await grid.startWorker('a', { settings: PATIENT });
    await plainIsDone(grid, worker);
    expect(await grid.record('novel')).toBeNull();
    expect(grid.taskRefs()).not.toContain('refs/dgrid/tasks/novel');
    expect(worker.events.named('task.left-to-newer')).toMatchObject([
      { task: 'novel', fields: ['hologram'], to: 'newer' },
    ]);
    await stop(worker);
  });

  it('is settled as invalid once that node has left', async () => {
    const grid = await gridWith({});
    const worker = await grid.startWorker('a', { settings: PATIENT });
    await plainIsDone(grid, worker);
    beat(grid, { state: 'stopped' });
    await until('the record', async () => (await grid.record('novel')) !== null);
    expect(await grid.record('novel')).toMatchObject({
      reason: 'invalid-task',
      message: expect.stringMatching(/^"hologram" is not a field of a task/),
    });
    await stop(worker);
  });

  it('is left to a node that is so new that its signs of life cannot be read', async () => {
    const grid = new MemoryGrid(await temporaryDirectory());
    beat(grid, {}, (message) => message.replace('DGrid-Format: 1', 'DGrid-Format: 2'));
    await grid.queue({ plain: { script: 'exit 0' }, novel: { script: 'exit 0', hologram: true } });
    const worker = await grid.startWorker('a', { settings: PATIENT });
    await plainIsDone(grid, worker);
    expect(await grid.record('novel')).toBeNull();
    await stop(worker);
  });

  it.each([
    ['tells nothing of what it knows', { info: {} }],
    ['knows other fields', { info: { task_fields: ['task_id', 'script', 'smell'] } }],
    ['says it in no way that can be understood', { info: { task_fields: 'hologram' } }],
    ['has left', { state: 'stopped' }],
  ] as const)('is settled as invalid where the other node %s', async (_what, facts) => {
    const grid = await gridWith(facts);
    const worker = await grid.startWorker('a', { settings: PATIENT });
    await until('the record', async () => (await grid.record('novel')) !== null);
    expect(await grid.record('novel')).toMatchObject({ status: 'failed', reason: 'invalid-task' });
    await stop(worker);
  });

  it('is settled as invalid where something else is wrong as well', async () => {
    const grid = await gridWith({});
    await grid.queue({ wrong: { script: '', hologram: true } });
    const worker = await grid.startWorker('a', { settings: PATIENT });
    await until('the record', async () => (await grid.record('wrong')) !== null);
    expect(await grid.record('wrong')).toMatchObject({ reason: 'invalid-task' });
    expect(await grid.record('novel')).toBeNull();
    await stop(worker);
  });

  it('is no longer waited for when the node that knows it has fallen silent', async () => {
    const grid = await gridWith({ intervalMs: 100, ttlMs: 1_000 });
    const worker = await grid.startWorker('a', { settings: PATIENT });
    await plainIsDone(grid, worker);
    await until('the record', async () => (await grid.record('novel')) !== null, 10_000);
    expect(await grid.record('novel')).toMatchObject({ reason: 'invalid-task' });
    await stop(worker);
  });
});
