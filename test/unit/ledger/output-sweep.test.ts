import { describe, expect, it, vi } from 'vitest';
import { type Oid, oid, type RefName } from '../../../src/git/oid.ts';
import type { RefListing } from '../../../src/git/repository.ts';
import type { GridReader, GridView } from '../../../src/ledger/grid-view.ts';
import { outputRef } from '../../../src/ledger/names.ts';
import { OutputSweep } from '../../../src/ledger/output-sweep.ts';
import type { PushRequest } from '../../../src/ledger/publisher.ts';
import type { SwapOutcome } from '../../../src/ledger/settle.ts';
import { taskId } from '../../../src/task/id.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { recordEvents } from '../../support/recorded-events.ts';

const LEFT = outputRef('refs/dgrid', taskId('left'));
const BUSY = outputRef('refs/dgrid', taskId('busy'));
const OID = oid('a'.repeat(40));

function setUp() {
  const clock = new ManualClock();
  const recorded = recordEvents();
  const listings: { signal: AbortSignal | undefined; answer: PromiseWithResolvers<RefListing> }[] = [];
  const pushed: PushRequest[] = [];
  const sweep = new OutputSweep({
    repository: {
      listRefs: async (_prefixes, signal) => {
        const answer = Promise.withResolvers<RefListing>();
        signal?.addEventListener('abort', () => answer.reject(new Error('aborted')), { once: true });
        listings.push({ signal, answer });
        return await answer.promise;
      },
    },
    reader: { namespace: 'refs/dgrid' } as GridReader,
    push: async (request): Promise<SwapOutcome> => {
      pushed.push(request);
      return { kind: 'won' };
    },
    clock,
    emit: recorded.emit,
  });
  const answer = (which: number, ...refs: RefName[]): void => {
    const found = new Map<RefName, Oid>(refs.map((ref) => [ref, OID]));
    listings[which]?.answer.resolve({ refs: found, headBranch: null });
  };
  const view = (): GridView =>
    ({
      listedAtMs: clock.monotonicMs(),
      tasks: new Map([[taskId('busy'), { oid: OID, state: { kind: 'state', state: { state: 'claimed' } } }]]),
    }) as unknown as GridView;
  return { answer, clock, listings, pushed, recorded, sweep, view };
}

describe('a sweep of live output', () => {
  it('deletes what a later view shows to be nobody’s', async () => {
    const { answer, clock, pushed, recorded, sweep, view } = setUp();
    const before = view();
    clock.advance(10);
    const look = sweep.look();
    answer(0, LEFT, BUSY);
    await look;
    await sweep.clear(before);
    expect(pushed).toEqual([]);
    clock.advance(10);
    await sweep.clear(view());
    expect(pushed.map(({ swap }) => swap)).toEqual([{ ref: LEFT, from: OID, to: null }]);
    expect(recorded.named('output.deleted')).toEqual([{ refs: 1 }]);
    // Once is enough.
    await sweep.clear(view());
    expect(pushed).toHaveLength(1);
  });

  it('looks once at the start, then once an hour, and when something may be left', async () => {
    const { answer, clock, listings, sweep } = setUp();
    const look = async (): Promise<void> => {
      const looking = sweep.look();
      answer(listings.length - 1);
      await looking;
    };
    await look();
    await look();
    expect(listings).toHaveLength(1);
    sweep.mayBeLeft();
    await look();
    await look();
    expect(listings).toHaveLength(2);
    clock.advance(3_600_000);
    await look();
    expect(listings).toHaveLength(3);
  });

  it('has one look at a time, and the last one after that', async () => {
    const { answer, listings, sweep, pushed, clock, view } = setUp();
    const first = sweep.look();
    sweep.mayBeLeft();
    await sweep.look();
    const last = sweep.look({ now: true });
    expect(listings).toHaveLength(1);
    answer(0);
    await first;
    await vi.waitUntil(() => listings.length === 2);
    answer(1, LEFT);
    await last;
    clock.advance(1);
    await sweep.clear(view());
    expect(pushed).toHaveLength(1);
  });

  it('looks again where it got no answer, and waits no longer than it is told to', async () => {
    const { answer, listings, sweep } = setUp();
    const stop = new AbortController();
    const look = sweep.look({ signal: stop.signal });
    stop.abort();
    await look;
    const again = sweep.look();
    expect(listings).toHaveLength(2);
    answer(1);
    await again;
    await sweep.look();
    expect(listings).toHaveLength(2);
  });
});
