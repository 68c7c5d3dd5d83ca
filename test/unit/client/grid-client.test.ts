import { expect, it } from 'vitest';
import { type Oid, refName } from '../../../src/git/oid.ts';
import { nodeId } from '../../../src/task/id.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MemoryGrid } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const ONE = nodeId('one');
const REF = refName('refs/dgrid/nodes/one');

/** A client of a grid with one idle worker, for whom the state of that is not there the first `misses` times. */
async function clientThatMisses(misses: number) {
  const grid = new MemoryGrid(await temporaryDirectory());
  const worker = await grid.startWorker('one');
  await until('it has its place', () => grid.remote.refs.has(REF));
  const state = grid.remote.refs.get(REF) as Oid;
  worker.agent.requestStop();
  await worker.done;
  // As it was while the worker lived.
  grid.remote.refs.set(REF, state);
  const { client, repository } = memoryClient(grid.remote);
  const read = repository.readObjects.bind(repository);
  let left = misses;
  repository.readObjects = async (oids) => {
    const found = new Map(await read(oids));
    if (left > 0 && found.delete(state)) left -= 1;
    return found;
  };
  return { client, repository };
}

it('looks again where a state moved on between the listing and the fetch', async () => {
  const view = await (await clientThatMisses(3)).client.refresh({ nodes: 'all' });
  expect(view.nodes.get(ONE)?.state).toMatchObject({ kind: 'state', state: { state: 'alive' } });
});

it('does so a few times only, and only for what was asked for', async () => {
  const { client, repository } = await clientThatMisses(100);
  expect((await client.refresh({ nodes: 'all' })).nodes.get(ONE)?.state).toBe(null);
  expect(repository.lists).toBe(4);
  await client.refresh();
  expect(repository.lists).toBe(5);
});
