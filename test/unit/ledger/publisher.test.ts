import { describe, expect, it } from 'vitest';
import { GitError } from '../../../src/git/errors.ts';
import { type GitObject, makeBlob } from '../../../src/git/objects.ts';
import { type Oid, type RefName, refName } from '../../../src/git/oid.ts';
import type { RefSwap } from '../../../src/git/repository.ts';
import { Publisher, type Retry, type Rider } from '../../../src/ledger/publisher.ts';
import type { SwapStep } from '../../../src/steps.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryRemote, MemoryRepository } from '../../support/memory-repository.ts';
import { recordEvents } from '../../support/recorded-events.ts';

const ref = (name: string): RefName => refName(`refs/dgrid/tasks/${name}`);
const blob = (text: string): GitObject => makeBlob(text, 'sha1');
const once: Retry = (_operation, attempt) => attempt(1);
const thrice: Retry = async (_operation, attempt) => {
  for (let tryNumber = 1; ; tryNumber += 1) {
    try {
      return await attempt(tryNumber);
    } catch (error) {
      if (tryNumber === 3) throw error;
    }
  }
};

function setUp(options: { retry?: Retry; pushesPerMinute?: number; riders?: () => Rider[] } = {}) {
  const remote = new MemoryRemote();
  const repository = new MemoryRepository(remote);
  const clock = new ManualClock();
  const events = recordEvents();
  const failures: unknown[] = [];
  const sent: RefSwap[][] = [];
  repository.onPush = (swaps) => {
    sent.push([...swaps]);
    return 'none';
  };
  const publisher = new Publisher({
    repository,
    clock,
    retry: options.retry ?? once,
    emit: events.emit,
    pushesPerMinute: options.pushesPerMinute ?? 0,
    signal: new AbortController().signal,
    onSettled: () => undefined,
    onFailed: (error) => failures.push(error),
    ...(options.riders ? { riders: options.riders } : {}),
  });
  const push = (name: string, from: Oid | null, object: GitObject | null, step: SwapStep = 'swap.claim') =>
    publisher.push({
      swap: { ref: name.startsWith('refs/') ? refName(name) : ref(name), from, to: object?.oid ?? null },
      objects: object ? [object] : [],
      step,
    });
  return { remote, repository, clock, events, failures, sent, publisher, push };
}

describe('publisher', () => {
  it('sends what was asked for in one turn with one push, most important first', async () => {
    const { push, sent } = setUp();
    await Promise.all([
      push('c', null, blob('c'), 'swap.beat'),
      push('b', null, blob('b'), 'swap.claim'),
      push('a', null, blob('a'), 'swap.result'),
    ]);
    expect(sent.map((swaps) => swaps.map((swap) => swap.ref))).toEqual([[ref('a'), ref('b'), ref('c')]]);
  });

  it('pushes a recording alone, after results and before claims', async () => {
    const { push, sent } = setUp();
    await Promise.all([
      push('claim', null, blob('1'), 'swap.claim'),
      push('refs/heads/main', null, blob('2'), 'swap.record'),
      push('result', null, blob('3'), 'swap.result'),
    ]);
    expect(sent.map((swaps) => swaps.map((swap) => swap.ref))).toEqual([
      [ref('result'), ref('claim')],
      ['refs/heads/main'],
    ]);
  });

  it('never puts a ref into a push twice', async () => {
    const { push, sent, remote } = setUp();
    const [first, second] = [blob('1'), blob('2')];
    const outcomes = await Promise.all([push('a', null, first), push('a', first.oid, second)]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['won', 'won']);
    expect(sent).toHaveLength(2);
    expect(remote.refs.get(ref('a'))).toBe(second.oid);
  });

  it('tells the loser what the ref holds', async () => {
    const { push, remote } = setUp();
    const theirs = blob('theirs');
    remote.refs.set(ref('a'), theirs.oid);
    expect(await push('a', null, blob('ours'))).toEqual({ kind: 'lost', current: theirs.oid });
    expect(await push('b', theirs.oid, blob('ours'))).toEqual({ kind: 'lost', current: null });
  });

  it('finds out by reading that a push whose answer was lost had won, and does not send it again', async () => {
    const { push, repository, remote, sent } = setUp({ retry: thrice });
    repository.onPush = (swaps) => {
      sent.push([...swaps]);
      return 'lost-reply';
    };
    expect(await push('a', null, blob('ours'))).toEqual({ kind: 'won' });
    expect(sent).toHaveLength(1);
    expect(remote.history).toHaveLength(1);
  });

  it('reads the ref before it believes a refusal: an earlier copy may have been let through', async () => {
    const { push, repository, remote } = setUp();
    const swapRefs = repository.swapRefs.bind(repository);
    repository.swapRefs = async (swaps, objects) => {
      await swapRefs(swaps, objects);
      return new Map(swaps.map((swap) => [swap.ref, { kind: 'refused', reason: 'pre-receive hook declined' }]));
    };
    const ours = blob('ours');
    expect(await push('a', null, ours)).toEqual({ kind: 'won' });
    expect(remote.refs.get(ref('a'))).toBe(ours.oid);
  });

  it('sends the very same object again when the request was lost', async () => {
    const { push, repository, remote } = setUp({ retry: thrice });
    let pushes = 0;
    repository.onPush = () => (++pushes < 3 ? 'lost-request' : 'none');
    const ours = blob('ours');
    expect(await push('a', null, ours)).toEqual({ kind: 'won' });
    expect(remote.refs.get(ref('a'))).toBe(ours.oid);
    expect(pushes).toBe(3);
  });

  it('concludes nothing when nothing is certain', async () => {
    const { push, repository, failures, publisher } = setUp({ retry: thrice });
    repository.onPush = () => 'lost-request';
    await expect(push('a', null, blob('ours'))).rejects.toThrow(GitError);
    expect(failures).toHaveLength(1);
    expect(publisher.failedPushes).toBe(1);
  });

  it('does not take a swap for lost on the word of a listing alone, which may be older than the swap', async () => {
    const { push, repository, remote, sent } = setUp({ retry: thrice });
    const [before, claim, result] = [blob('before'), blob('claim'), blob('result')];
    remote.refs.set(ref('a'), claim.oid);
    const listed = repository.listRefs.bind(repository);
    let lists = 0;
    repository.listRefs = async (prefixes) => {
      lists += 1;
      const listing = await listed(prefixes);
      return lists === 1 ? { ...listing, refs: new Map([[ref('a'), before.oid]]) } : listing;
    };
    repository.onPush = (swaps) => {
      sent.push([...swaps]);
      return sent.length === 1 ? 'lost-request' : 'none';
    };
    expect(await push('a', claim.oid, result)).toEqual({ kind: 'won' });
    expect(remote.refs.get(ref('a'))).toBe(result.oid);
  });

  it('does not take a deletion for done on the word of a listing alone', async () => {
    const { push, repository, remote } = setUp({ retry: thrice });
    const held = blob('held');
    remote.refs.set(ref('a'), held.oid);
    const listed = repository.listRefs.bind(repository);
    let lists = 0;
    repository.listRefs = async (prefixes) => {
      lists += 1;
      return lists === 1 ? { refs: new Map(), headBranch: null } : listed(prefixes);
    };
    let pushes = 0;
    repository.onPush = () => (++pushes === 1 ? 'lost-request' : 'none');
    expect(await push('a', held.oid, null)).toEqual({ kind: 'won' });
    expect(remote.refs.has(ref('a'))).toBe(false);
    // One that is gone already is as good as done.
    expect(await push('a', held.oid, null)).toEqual({ kind: 'won' });
  });

  it('does not take it for a refusal for good when a swap is rejected and the ref seems not to have moved', async () => {
    const { push, repository, remote } = setUp();
    const [before, theirs] = [blob('before'), blob('theirs')];
    remote.refs.set(ref('a'), theirs.oid);
    repository.listRefs = async () => ({ refs: new Map([[ref('a'), before.oid]]), headBranch: null });
    expect(await push('a', before.oid, blob('ours'))).toMatchObject({ kind: 'refused', lasting: false });
    repository.onPush = () => 'refused';
    expect(await push('a', before.oid, blob('ours'))).toMatchObject({ kind: 'refused', lasting: true });
  });

  it('does not let a refusal meant for one ref stand for its company', async () => {
    const { push, repository } = setUp();
    repository.onPush = (swaps) => (swaps.some((swap) => swap.ref === ref('bad')) ? 'refused' : 'none');
    const [good, bad] = await Promise.all([push('good', null, blob('1')), push('bad', null, blob('2'))]);
    expect(good).toEqual({ kind: 'won' });
    expect(bad).toMatchObject({ kind: 'refused' });
  });

  it('takes along what can wait, as it is then, but not with a recording', async () => {
    const settled: unknown[] = [];
    let asked = 0;
    const riders = (): Rider[] => {
      asked += 1;
      const object = blob(`output ${asked}`);
      const swap = { ref: ref(`output-${asked}`), from: null, to: object.oid };
      return [
        {
          request: { swap, objects: [object], step: 'swap.output' },
          settled: (outcome) => settled.push(outcome?.kind ?? null),
        },
      ];
    };
    const { push, sent, repository } = setUp({ riders });
    await push('claim', null, blob('1'));
    expect(sent.map((swaps) => swaps.map((swap) => swap.ref))).toEqual([[ref('claim'), ref('output-1')]]);
    await push('refs/heads/main', null, blob('2'), 'swap.record');
    expect(sent).toHaveLength(2);
    expect(asked).toBe(1);
    repository.onPush = () => 'lost-request';
    await expect(push('other', null, blob('3'))).rejects.toThrow('the request was lost');
    await turns();
    expect(settled).toEqual(['won', null]);
  });

  it('tells how long live output has to wait: three of six pushes a minute at even distances, and two are left', async () => {
    const { push, publisher, clock } = setUp({ pushesPerMinute: 6 });
    const made = async (name: string, step: SwapStep): Promise<void> => {
      const waiting = push(name, null, blob(name), step);
      await turns();
      clock.advance(5_000);
      await waiting;
    };
    expect(publisher.spareWaitMs).toBe(0);
    await made('a', 'swap.output');
    expect(publisher.spareWaitMs).toBe(Math.ceil(61_000 / 3) - 5_000);
    await made('b', 'swap.claim');
    await made('c', 'swap.claim');
    await made('d', 'swap.claim');
    // Four of six are used up: until the first of them is a minute old there is none to spare.
    expect(publisher.waitMs).toBeLessThan(5_000);
    expect(publisher.spareWaitMs).toBeGreaterThan(35_000);
    clock.advance(publisher.spareWaitMs);
    expect(publisher.spareWaitMs).toBe(0);
    expect(setUp({ pushesPerMinute: 1 }).publisher.spareWaitMs).toBe(Number.POSITIVE_INFINITY);
    expect(setUp().publisher.spareWaitMs).toBe(0);
  });

  it('keeps to its budget, and merges what waits', async () => {
    const { push, clock, sent } = setUp({ pushesPerMinute: 2 });
    await push('a', null, blob('1'));
    clock.advance(10_000);
    await push('b', null, blob('2'));
    const waiting = Promise.all([push('c', null, blob('3')), push('d', null, blob('4'))]);
    await turns();
    expect(sent).toHaveLength(2);
    clock.advance(50_999);
    await turns();
    expect(sent).toHaveLength(2);
    clock.advance(1);
    await waiting;
    expect(sent).toHaveLength(3);
    expect(sent[2]).toHaveLength(2);
  });

  it('tells what is left of its budget, and what a push was about', async () => {
    expect(setUp().publisher.budget).toBeNull();
    const { push, clock, events, publisher } = setUp({ pushesPerMinute: 2 });
    expect(publisher.budget).toEqual({ perMinute: 2, left: 2, waitMs: 0 });
    await push('a', null, blob('12345'), 'swap.result');
    expect(publisher.budget).toMatchObject({ left: 1 });
    expect(events.named('push.completed')).toMatchObject([{ swaps: 1, object_bytes: 5 }]);
    expect(events.named('swap.settled')).toMatchObject([{ step: 'swap.result', outcome: 'won' }]);
    clock.advance(20_000);
    await push('b', null, null);
    expect(publisher.budget).toEqual({ perMinute: 2, left: 0, waitMs: 41_000 });
    clock.advance(41_000);
    expect(publisher.budget).toMatchObject({ left: 1 });
  });

  it('pauses the longer the more of its budget is used up, and never sends more than that within a minute', async () => {
    const { push, clock, publisher, sent } = setUp({ pushesPerMinute: 6 });
    const atMs: number[] = [];
    for (let number = 0; number < 40; number += 1) {
      const done = push(`t${number}`, null, blob(String(number)));
      await turns();
      for (let ms = 0; sent.length <= number && ms < 100; ms += 1) {
        clock.advance(publisher.waitMs);
        await turns();
      }
      await done;
      atMs.push(clock.monotonicMs());
    }
    const pauses = atMs.slice(1).map((ms, at) => ms - (atMs[at] ?? 0));
    expect(pauses[0]).toBeLessThan(1_000);
    for (const [at, ms] of atMs.entries()) {
      expect(atMs.slice(at).filter((later) => later - ms <= 60_000).length).toBeLessThanOrEqual(6);
    }
    // No minute of silence after a burst.
    expect(Math.max(...pauses.slice(20))).toBeLessThan(15_000);
    expect((atMs[39] ?? 0) - (atMs[0] ?? 0)).toBeLessThan(7.5 * 60_000);
  });

  it('lets small pushes wait for company while there are many, and only then', async () => {
    const { push, clock, sent } = setUp();
    for (let number = 0; number < 4; number += 1) await push(`t${number}`, null, blob('1'), 'swap.result');
    expect(sent).toHaveLength(4);
    const few = [push('a', null, blob('2'), 'swap.result')];
    await turns();
    few.push(push('b', null, blob('3'), 'swap.result'));
    await turns();
    expect(sent).toHaveLength(4);
    clock.advance(100);
    await Promise.all(few);
    expect(sent).toHaveLength(5);
    // Neither what is large already nor the branch, which goes alone.
    await Promise.all(Array.from({ length: 16 }, (_, at) => push(`m${at}`, null, blob('4'), 'swap.result')));
    expect(sent).toHaveLength(6);
    clock.advance(2_000);
    await push('c', null, blob('5'), 'swap.result');
    expect(sent).toHaveLength(7);
  });

  it('lets deletions wait a little for company, and goes at once when it comes', async () => {
    const { push, clock, sent } = setUp();
    const gone = blob('1');
    await push('a', null, gone);
    const alone = push('a', gone.oid, null, 'swap.delete');
    await turns();
    expect(sent).toHaveLength(1);
    const claim = push('b', null, blob('2'));
    await Promise.all([alone, claim]);
    expect(sent[1]?.map((swap) => swap.ref)).toEqual([ref('b'), ref('a')]);
    const left = push('b', blob('2').oid, null, 'swap.delete');
    await turns();
    expect(sent).toHaveLength(2);
    clock.advance(250);
    expect(await left).toEqual({ kind: 'won' });
  });
});

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
