/** Whatever a ref holds, reading it ends soon: with a state of the one that it is the ref of, or with a problem. */
import { afterAll, expect, it } from 'vitest';
import { type GitObject, makeCommit, makeObject, makeTree } from '../../../src/git/objects.ts';
import { refName } from '../../../src/git/oid.ts';
import { GridReader } from '../../../src/ledger/grid-view.ts';
import { MAX_COUNT } from '../../../src/ledger/trailers.ts';
import { systemClock } from '../../../src/runtime.ts';
import { goodNodeMessages, goodTaskMessages } from '../../support/hostile-samples.ts';
import { MemoryRemote, MemoryRepository } from '../../support/memory-repository.ts';
import { type Mutant, messageMutants } from '../../support/mutator.ts';
import { seeded } from '../../support/seeded.ts';

const COUNT = 10_000;
const IN_ONE_VIEW = 1_000;
const SOON_MS = 20_000;
const NOBODY = { name: 'nobody', email: 'nobody@example.org', seconds: 0 };
const EMPTY = makeTree([], 'sha1');

const ended: Record<string, number> = {};
let slowestMs = 0;

afterAll(() => {
  console.info(
    `states: ${COUNT} mutants: ${JSON.stringify(ended)}; slowest view of ${IN_ONE_VIEW}: ${slowestMs.toFixed(0)} ms`,
  );
});

/** What a ref may hold in the place of a good commit with this message. */
function objectOf(bytes: Buffer, below: (below: number) => number): GitObject {
  const good = makeCommit({ tree: EMPTY.oid, parents: [], author: NOBODY, committer: NOBODY, message: '' }, 'sha1');
  const content = Buffer.concat([good.content, bytes]);
  switch (below(12)) {
    case 0:
      return makeObject('blob', content, 'sha1');
    case 1:
      return makeObject('tag', Buffer.from(`object ${EMPTY.oid}\ntype tree\ntag x\n\n`), 'sha1');
    case 2:
      return makeTree([{ mode: '40000', name: 'x', oid: EMPTY.oid }], 'sha1');
    case 3: {
      const at = below(content.length);
      content[at] = below(256);
      return makeObject('commit', content, 'sha1');
    }
    case 4:
      return makeObject('commit', content.subarray(below(content.length)), 'sha1');
    case 5:
      return makeObject('commit', Buffer.concat([Buffer.from(`tree ${'x'.repeat(below(80))}\n\n`), bytes]), 'sha1');
    default:
      return makeObject('commit', content, 'sha1');
  }
}

it(`reads ${COUNT} mutated states`, { timeout: 120_000 }, async () => {
  const below = seeded(815);
  const messages = [...goodTaskMessages('sample'), ...goodNodeMessages('sample')];
  const all = messageMutants(messages, COUNT, 42);
  for (let at = 0; at < COUNT; at += IN_ONE_VIEW) {
    const remote = new MemoryRemote();
    remote.objects.set(EMPTY.oid, EMPTY);
    for (let index = 0; index < IN_ONE_VIEW; index += 1) {
      const id = `s-${index}`;
      const { bytes } = all.next().value as Mutant;
      const meant = below(4) === 0 ? 'another' : id;
      const object = objectOf(Buffer.from(bytes.toString('latin1').replaceAll('sample', meant), 'latin1'), below);
      remote.objects.set(object.oid, object);
      remote.refs.set(refName(`refs/dgrid/${below(2) === 0 ? 'tasks' : 'nodes'}/${id}`), object.oid);
    }
    const repository = new MemoryRepository(remote);
    const reader = new GridReader({ repository, clock: systemClock, namespace: 'refs/dgrid', branch: null });
    const startedMs = performance.now();
    const view = await reader.refresh({ nodes: 'all' });
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    for (const [id, { state }] of view.tasks) {
      if (count(state)) expect([state.state.taskId, isNumber(state.state.epoch)]).toEqual([id, true]);
    }
    for (const [id, { state }] of view.nodes) {
      if (count(state)) expect([state.state.nodeId, isNumber(state.state.ttlMs)]).toEqual([id, true]);
    }
  }
  expect(Object.keys(ended).toSorted()).toEqual(['newer-format', 'state', 'unreadable']);
  expect(slowestMs).toBeLessThan(SOON_MS);
});

it('finds states of the right ids among them', async () => {
  const remote = new MemoryRemote();
  const message = goodTaskMessages('sample')[1] as string;
  const object = makeCommit({ tree: EMPTY.oid, parents: [], author: NOBODY, committer: NOBODY, message }, 'sha1');
  remote.objects.set(object.oid, object);
  for (const id of ['other', 'sample']) remote.refs.set(refName(`refs/dgrid/tasks/${id}`), object.oid);
  const repository = new MemoryRepository(remote);
  const view = await new GridReader({
    repository,
    clock: systemClock,
    namespace: 'refs/dgrid',
    branch: null,
  }).refresh();
  expect([...view.tasks].map(([id, { state }]) => [id, state?.kind])).toEqual([
    ['other', 'unreadable'],
    ['sample', 'state'],
  ]);
});

function count<T>(state: { kind: string; problem?: string; state?: T } | null): state is { kind: 'state'; state: T } {
  if (state === null) throw new Error('a state was not read at all');
  ended[state.kind] = (ended[state.kind] ?? 0) + 1;
  if (state.kind === 'unreadable') expect(state.problem).not.toBe('');
  return state.kind === 'state';
}

function isNumber(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= MAX_COUNT;
}
