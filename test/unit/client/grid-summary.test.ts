import { describe, expect, it } from 'vitest';
import { doneOf, GridSummaries } from '../../../src/client/grid-summary.ts';
import { makeCommit, makeTree } from '../../../src/git/objects.ts';
import { refName } from '../../../src/git/oid.ts';
import { standingOf } from '../../../src/ledger/task-standing.ts';
import { taskId } from '../../../src/task/id.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MemoryGrid } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

async function summaryOf(grid: MemoryGrid) {
  const { client } = memoryClient(grid.remote);
  return new GridSummaries(client, { maxTaskBytes: 1024 }).of(await client.refresh({ nodes: 'all' }));
}

describe('the summary of a grid', () => {
  it('of an empty repository', async () => {
    const summary = await summaryOf(new MemoryGrid('/nowhere'));
    expect(summary).toMatchObject({ branch: 'main', commit: null, nodes: [], problems: [] });
    expect(summary.queue).toMatchObject({ pending: 0, invalid: 0 });
  });

  it('counts what is queued, and names what can become no task', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.queue({ a: { script: 'true', priority: 'critical' }, b: { script: 'true' }, bad: { scirpt: 'true' } });
    await grid.commit({
      'tasks/queue/x/a.json': '{}',
      'tasks/queue/No Good.json': '{}',
      'tasks/completed/b.json': '{}',
      'tasks/failed/c.json': '{}',
      'tasks/failed/c/stdout.log': 'long',
    });
    const summary = await summaryOf(grid);
    expect(summary.queue).toEqual({
      pending: 2,
      by_priority: { critical: 1, high: 0, medium: 0, low: 0 },
      invalid: 1,
    });
    expect(summary.recorded).toEqual({ completed: 1, failed: 1 });
    expect(doneOf(summary)).toBe(2);
    expect(summary.problems.map(({ path }) => path)).toEqual([
      'tasks/queue/No Good.json',
      'tasks/queue/x/a.json',
      'tasks/queue/b.json',
    ]);
  });

  it('shows who works on what, who is gone, and what a newer version wrote', async () => {
    const grid = new MemoryGrid(await temporaryDirectory());
    await grid.queue({ a: { script: 'hang' } });
    const worker = await grid.startWorker('one', { settings: { nodeLabels: ['camera'] } });
    await until('the task runs', () => worker.engine.containers.size === 1);
    let summary = await summaryOf(grid);
    expect(summary.in_work).toEqual([
      { task_id: 'a', node_id: 'one', attempt: 1, epoch: 1, owner_gone: false, withdrawn: false },
    ]);
    expect(summary.nodes).toMatchObject([
      { node_id: 'one', state: 'alive', name: 'worker-one', labels: ['camera'], slots: 2, paused: [] },
    ]);
    expect(summary.nodes[0]?.last_beat_by_its_clock).toMatch(/^\d{4}-/);
    worker.agent.requestStop();
    worker.agent.requestStop();
    await worker.done;
    summary = await summaryOf(grid);
    expect(summary.nodes).toMatchObject([{ state: 'stopped' }]);
    expect(summary.waiting).toMatchObject([{ task_id: 'a', reason: 'handed-back' }]);

    const tree = makeTree([], 'sha1');
    const who = { name: 'x', email: 'x@example.org', seconds: 0 };
    const message = 'claimed b\n\nDGrid-Format: 99\n';
    const commit = makeCommit({ tree: tree.oid, parents: [], author: who, committer: who, message }, 'sha1');
    for (const object of [tree, commit]) grid.remote.objects.set(object.oid, object);
    grid.remote.refs.set(refName('refs/dgrid/tasks/b'), commit.oid);
    grid.remote.refs.set(refName('refs/dgrid/nodes/future'), commit.oid);
    summary = await summaryOf(grid);
    expect(summary.problems).toEqual([{ path: 'task b', problem: expect.stringContaining('format 99') }]);
    expect(summary.nodes.map(({ node_id, state }) => [node_id, state])).toEqual([
      ['future', 'unreadable'],
      ['one', 'stopped'],
    ]);
  });

  it('sees that the owner of a claim has gone without a word', async () => {
    const grid = new MemoryGrid(await temporaryDirectory());
    await grid.queue({ a: { script: 'hang' } });
    const worker = await grid.startWorker('one');
    await until('the task runs', () => worker.engine.containers.size === 1);
    const { client } = memoryClient(grid.remote);
    const node = refName('refs/dgrid/nodes/one');
    const list = client.repository.listRefs.bind(client.repository);
    client.repository.listRefs = async (prefixes) => {
      const listing = await list(prefixes);
      return { ...listing, refs: new Map([...listing.refs].filter(([ref]) => ref !== node)) };
    };
    expect(standingOf(await client.refresh(), taskId('a'))).toMatchObject({ kind: 'claimed', ownerGone: true });
    worker.agent.requestStop();
    worker.agent.requestStop();
    await worker.done;
  });
});
