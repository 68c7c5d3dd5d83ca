/** One run's way into its output ref, step by step, against a ref that others have moved. */
import { describe, expect, it } from 'vitest';
import { OutputTap, type TapOutcome } from '../../../src/agent/output-tap.ts';
import { makeBlob } from '../../../src/git/objects.ts';
import type { Oid } from '../../../src/git/oid.ts';
import type { HeldClaim } from '../../../src/ledger/claims.ts';
import { outputRef } from '../../../src/ledger/names.ts';
import { CHUNK_BYTES, chunksOf } from '../../../src/ledger/output-codec.ts';
import { Publisher } from '../../../src/ledger/publisher.ts';
import { StateWriter } from '../../../src/ledger/state-writer.ts';
import { systemRandomHex } from '../../../src/runtime.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryRemote, MemoryRepository } from '../../support/memory-repository.ts';
import { recordEvents } from '../../support/recorded-events.ts';

const ID = taskId('loud');
const REF = outputRef('refs/dgrid', ID);

function setUp() {
  const remote = new MemoryRemote();
  const repository = new MemoryRepository(remote);
  const clock = new ManualClock();
  const { emit } = recordEvents();
  const writer = new StateWriter({
    user: { name: 'worker', email: 'worker@example.org' },
    clock,
    randomHex: systemRandomHex,
    format: () => 'sha1',
  });
  const publisher = new Publisher({
    repository,
    clock,
    retry: (_operation, attempt) => attempt(1),
    emit,
    pushesPerMinute: 0,
    signal: new AbortController().signal,
    onSettled: () => undefined,
    onFailed: () => undefined,
  });
  let stdout = '';
  const outcomes: TapOutcome[] = [];
  const claim = {
    taskId: ID,
    state: { taskId: ID, nodeId: nodeId('a'), incarnation: 'a1', epoch: 3, attempt: 2 },
  } as HeldClaim;
  const written = (maxBytes: number) => {
    const bytes = Buffer.from(stdout).subarray(0, maxBytes);
    const none = { bytes: new Uint8Array(0), isWhole: true };
    return { stdout: { bytes, isWhole: bytes.length === stdout.length }, stderr: none };
  };
  const push = publisher.push.bind(publisher);
  const parts = { namespace: () => 'refs/dgrid' as const, repository, writer, push, maxBytes: 100_000, clock, emit };
  const tap = new OutputTap(claim, { written }, { ...parts, onOutcome: (outcome) => outcomes.push(outcome) });
  /** Sends what there is. @returns how many objects went along; null: nothing was to be sent. */
  const send = async (text: string): Promise<number | null> => {
    stdout += text;
    const rider = tap.next();
    if (!rider) return null;
    rider.settled(await push(rider.request).catch(() => null));
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    return rider.request.objects.length;
  };
  const put = (node: string, epoch: number): Oid => {
    const files = chunksOf('stdout', Buffer.from(`by ${node}`), (bytes) => makeBlob(bytes, 'sha1'));
    const facts = { state: 'open', taskId: ID, nodeId: nodeId(node), incarnation: 'x', epoch, attempt: 1 } as const;
    const { commit, tree } = writer.output(facts, files);
    for (const object of [...files.map(({ blob }) => blob), tree, commit]) remote.objects.set(object.oid, object);
    remote.refs.set(REF, commit.oid);
    return commit.oid;
  };
  return { remote, repository, clock, tap, send, put, outcomes };
}

/** Its deletion waits a moment for company. */
async function timed({ clock, tap }: ReturnType<typeof setUp>): Promise<boolean> {
  const state = { over: false };
  const ending = tap.end().finally(() => {
    state.over = true;
  });
  while (!state.over) {
    clock.advance(1_000);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  return ending;
}

describe('a tap', () => {
  it('sends only what is new, and nothing when nothing is', async () => {
    const { send, outcomes } = setUp();
    expect(await send('')).toBe(null);
    // Three chunks, a tree, a commit.
    expect(await send('x'.repeat(2 * CHUNK_BYTES + 10))).toBe(5);
    expect(await send('')).toBe(null);
    expect(await send('more')).toBe(3);
    expect(outcomes).toEqual(['published', 'published']);
  });

  it('sends everything again after a batch of which nothing is known', async () => {
    const { send, repository, remote, outcomes } = setUp();
    await send('x'.repeat(2 * CHUNK_BYTES + 10));
    repository.onPush = () => 'lost-reply';
    expect(await send('more')).toBe(3);
    repository.onPush = () => 'none';
    // Whatever came of it, this one tells where the ref is, and the next one gets through.
    expect(await send('and more')).toBe(5);
    expect(await send('and the last')).toBe(5);
    expect(outcomes).toEqual(['published', 'delayed', 'delayed', 'published']);
    expect(remote.refs.has(REF)).toBe(true);
  });

  it.each([
    ['of an earlier claim', 'b', 2, true],
    ['of an earlier life of this node under the same claim', 'a', 3, true],
    ['of a later claim', 'b', 4, false],
    ['of somebody else under a claim of this number', 'b', 3, false],
  ])('finds the ref with an output %s', async (_what, node, epoch, takes) => {
    const { send, put, outcomes, remote } = setUp();
    const before = put(node, epoch);
    await send('one');
    await send('two');
    expect(outcomes).toEqual(takes ? ['delayed', 'published'] : ['overtaken']);
    expect(remote.refs.get(REF) === before).toBe(!takes);
    // Silent from then on.
    expect((await send('three')) === null).toBe(!takes);
  });

  it('leaves alone what cannot be read', async () => {
    const { send, outcomes, remote, repository } = setUp();
    const strange = makeBlob('strange', 'sha1');
    remote.objects.set(strange.oid, strange);
    remote.refs.set(REF, strange.oid);
    await send('one');
    expect(outcomes).toEqual(['overtaken']);
    expect(remote.refs.get(REF)).toBe(strange.oid);
    expect(repository.pushes).toBe(1);
  });

  it('writes the ref anew when somebody deleted it, with all that it needs', async () => {
    const { send, outcomes, remote } = setUp();
    await send('x'.repeat(CHUNK_BYTES + 1));
    remote.refs.delete(REF);
    await send('more');
    expect(await send('and more')).toBe(4);
    expect(outcomes).toEqual(['published', 'delayed', 'published']);
  });

  it('believes a refusal when all was sent along', async () => {
    const { send, outcomes, repository } = setUp();
    repository.onPush = () => 'refused';
    await send('one');
    await send('two');
    expect(outcomes).toEqual(['delayed', 'refused']);
  });
});

describe('the end of a tap', () => {
  it('takes the ref away, also after a batch whose answer got lost', async () => {
    const setup = setUp();
    await setup.send('one');
    setup.repository.onPush = () => 'lost-reply';
    await setup.send('two');
    setup.repository.onPush = () => 'none';
    expect(await timed(setup)).toBe(true);
    expect(setup.remote.refs.has(REF)).toBe(false);
    expect(setup.tap.next()).toBe(null);
  });

  it('leaves a later claim’s alone, and says when something may be left', async () => {
    const overtaken = setUp();
    await overtaken.send('one');
    const later = overtaken.put('b', 4);
    expect(await timed(overtaken)).toBe(true);
    expect(overtaken.remote.refs.get(REF)).toBe(later);

    const cut = setUp();
    await cut.send('one');
    cut.repository.onPush = () => 'lost-request';
    expect(await timed(cut)).toBe(false);

    // Nothing is there to be deleted; but a copy of the batch may still be under way.
    const late = setUp();
    late.repository.onPush = () => 'lost-request';
    await late.send('one');
    late.repository.onPush = () => 'none';
    expect(await timed(late)).toBe(false);
    expect(late.remote.refs.has(REF)).toBe(false);
  });
});
