import { describe, expect, it } from 'vitest';
import { makeBlob } from '../../../src/git/objects.ts';
import { type Oid, type RefName, refName } from '../../../src/git/oid.ts';
import { MAX_LAG_MS, OrderedRepository } from '../../../src/ledger/ordered-repository.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryRemote, MemoryRepository } from '../../support/memory-repository.ts';

const TASK = refName('refs/dgrid/tasks/t');
const OTHER = refName('refs/dgrid/tasks/other');
const MAIN = refName('refs/heads/main');
const [A, B, C] = ['a', 'b', 'c'].map((text) => makeBlob(text, 'sha1').oid) as [Oid, Oid, Oid];

function setUp() {
  const remote = new MemoryRemote();
  const inner = new MemoryRepository(remote);
  const clock = new ManualClock();
  const repository = new OrderedRepository(inner, clock);
  const now = inner.listRefs.bind(inner);
  let past: ReadonlyMap<RefName, Oid> | null = null;
  inner.listRefs = async (prefixes) => (past ? { refs: past, headBranch: null } : now(prefixes));
  const show = (refs: ReadonlyArray<readonly [RefName, Oid]> | null): void => {
    past = refs && new Map(refs);
  };
  return { remote, inner, clock, repository, show };
}

describe('a repository whose listings keep their order', () => {
  it('does not answer with what this worker has replaced', async () => {
    const { remote, repository, show } = setUp();
    remote.refs.set(TASK, A);
    await repository.swapRefs([{ ref: TASK, from: A, to: B }], []);
    show([[TASK, A]]);
    await expect(repository.listRefs(['refs/'])).rejects.toMatchObject({ kind: 'network' });
    show(null);
    expect((await repository.listRefs(['refs/'])).refs.get(TASK)).toBe(B);
  });

  it('learns from a listing that a swap without an answer was applied', async () => {
    const { remote, inner, repository, show } = setUp();
    remote.refs.set(TASK, A);
    inner.onPush = () => 'lost-reply';
    await expect(repository.swapRefs([{ ref: TASK, from: A, to: B }], [])).rejects.toMatchObject({ kind: 'network' });
    show([[TASK, A]]);
    await repository.listRefs(['refs/']);
    show(null);
    await repository.listRefs(['refs/']);
    show([[TASK, A]]);
    await expect(repository.listRefs(['refs/'])).rejects.toMatchObject({ kind: 'network' });
  });

  it('concludes nothing from swaps of others, of which two listings do not tell which came first', async () => {
    const { repository, show } = setUp();
    for (const oid of [A, B, A]) {
      show([[OTHER, oid]]);
      expect((await repository.listRefs(['refs/'])).refs.get(OTHER)).toBe(oid);
    }
  });

  it('takes a listing that was under way while the swap was settled', async () => {
    const { remote, inner, repository } = setUp();
    remote.refs.set(TASK, A);
    const answered = Promise.withResolvers<void>();
    inner.listRefs = async () => {
      await answered.promise;
      return { refs: new Map([[TASK, A]]), headBranch: null };
    };
    const listing = repository.listRefs(['refs/']);
    await repository.swapRefs([{ ref: TASK, from: A, to: B }], []);
    answered.resolve();
    expect((await listing).refs.get(TASK)).toBe(A);
    await expect(repository.listRefs(['refs/'])).rejects.toMatchObject({ kind: 'network' });
  });

  it('leaves the branch alone, which people may set back', async () => {
    const { remote, repository, show } = setUp();
    remote.refs.set(MAIN, A);
    await repository.swapRefs([{ ref: MAIN, from: A, to: B }], []);
    show([[MAIN, A]]);
    expect((await repository.listRefs(['refs/'])).refs.get(MAIN)).toBe(A);
  });

  it('believes a host in the end that was set back', async () => {
    const { clock, remote, repository, show } = setUp();
    remote.refs.set(TASK, A);
    await repository.swapRefs([{ ref: TASK, from: A, to: B }], []);
    await repository.swapRefs([{ ref: TASK, from: B, to: C }], []);
    show([[TASK, A]]);
    await expect(repository.listRefs(['refs/'])).rejects.toMatchObject({ kind: 'network' });
    clock.advance(MAX_LAG_MS - 1);
    await expect(repository.listRefs(['refs/'])).rejects.toMatchObject({ kind: 'network' });
    clock.advance(1);
    expect((await repository.listRefs(['refs/'])).refs.get(TASK)).toBe(A);
    show([[TASK, B]]);
    expect((await repository.listRefs(['refs/'])).refs.get(TASK)).toBe(B);
  });

  it('counts the lag anew after a listing that was up to date', async () => {
    const { clock, remote, repository, show } = setUp();
    remote.refs.set(TASK, A);
    await repository.swapRefs([{ ref: TASK, from: A, to: B }], []);
    for (let round = 0; round < 3; round += 1) {
      show([[TASK, A]]);
      await expect(repository.listRefs(['refs/'])).rejects.toMatchObject({ kind: 'network' });
      clock.advance(MAX_LAG_MS - 1);
      show(null);
      await repository.listRefs(['refs/']);
    }
  });
});
