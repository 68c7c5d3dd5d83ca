/** The book of claims on a repository in memory: what is kept, and until when, if things go wrong around it. */
import { describe, expect, it } from 'vitest';
import { ClaimBook, type HeldClaim } from '../../../src/ledger/claims.ts';
import { DeathWatch } from '../../../src/ledger/death-watch.ts';
import { GridReader } from '../../../src/ledger/grid-view.ts';
import { Membership } from '../../../src/ledger/membership.ts';
import { taskRef } from '../../../src/ledger/names.ts';
import type { OutboxEntry } from '../../../src/ledger/outbox.ts';
import { Publisher, type Retry } from '../../../src/ledger/publisher.ts';
import { selectCandidates } from '../../../src/ledger/selection.ts';
import { SpecCache } from '../../../src/ledger/spec-cache.ts';
import { StateWriter } from '../../../src/ledger/state-writer.ts';
import { isoTime, systemClock, systemRandomHex } from '../../../src/runtime.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import type { TaskResult } from '../../../src/task/result.ts';
import { unstartedResult } from '../../../src/task/unstarted.ts';
import { MemoryGrid } from '../../support/memory-grid.ts';
import { MemoryRepository } from '../../support/memory-repository.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const NODE = nodeId('a');
const TASK = taskId('t');
const REF = taskRef('refs/dgrid', TASK);
const once: Retry = (_operation, attempt) => attempt(1);

/** An outbox without a disk, whose writes and removals fail when told to. */
class TestOutbox {
  readonly entries = new Map<string, OutboxEntry>();
  addFails = false;
  removeFails = false;

  async add(entry: OutboxEntry): Promise<void> {
    if (this.addFails) throw new Error('ENOSPC');
    this.entries.set(entry.swap.to, entry);
  }

  async remove(entry: Pick<OutboxEntry, 'swap'>): Promise<void> {
    if (this.removeFails) throw new Error('EROFS');
    this.entries.delete(entry.swap.to);
  }

  async load(): Promise<OutboxEntry[]> {
    return [...this.entries.values()];
  }
}

async function setUp() {
  const grid = new MemoryGrid(await temporaryDirectory());
  await grid.queue({ [TASK]: { script: 'exit 0' } });
  const repository = new MemoryRepository(grid.remote);
  const events = recordEvents();
  const parts = { clock: systemClock, emit: events.emit };
  const reader = new GridReader({ repository, clock: systemClock, namespace: 'refs/dgrid', branch: null });
  const writer = new StateWriter({
    user: { name: 'w', email: 'worker+a@d-grid.local' },
    clock: systemClock,
    randomHex: systemRandomHex,
    format: () => 'sha1',
  });
  const publisher = new Publisher({
    ...parts,
    repository,
    retry: once,
    pushesPerMinute: 0,
    signal: new AbortController().signal,
    onSettled: ({ swap }, outcome) => {
      if (outcome.kind === 'won') reader.apply(swap);
    },
    onFailed: () => undefined,
  });
  const push = publisher.push.bind(publisher);
  const membership = new Membership({
    ...parts,
    nodeId: NODE,
    machine: 'machine-a',
    intervalMs: 1_000,
    ttlMs: 5_000,
    reader,
    writer,
    push,
    randomHex: systemRandomHex,
    info: () => ({}),
  });
  const outbox = new TestOutbox();
  const book = new ClaimBook({
    ...parts,
    nodeId: NODE,
    incarnation: () => membership.incarnation,
    reader,
    writer,
    outbox,
    push,
    onAccepted: () => undefined,
  });
  const specs = new SpecCache(repository, { maxTaskBytes: 10_000, maxTimeoutSeconds: 60 });
  const claim = async (): Promise<HeldClaim> => {
    const view = await reader.refresh();
    await specs.update(view.queue);
    const [won] = await book.claim([
      ...selectCandidates({
        view,
        briefOf: (file) => specs.brief(file),
        parsedOf: (file) => specs.get(file),
        isWanted: () => true,
        suits: null,
        isOrphan: () => false,
        delayIsOver: () => true,
        arrivalOf: () => 0,
        nodeId: NODE,
        nodeLabels: [],
        room: 1,
      }),
    ]);
    if (!won) throw new Error('the claim was not won');
    return won;
  };
  return { grid, repository, reader, writer, push, membership, outbox, book, claim, events };
}

function resultOf(claim: HeldClaim): TaskResult {
  return unstartedResult(
    { taskId: claim.taskId, nodeId: NODE, attempt: 1, task: claim.raw, specBlob: claim.state.specBlob },
    'rejected',
    'for a test',
    isoTime(0),
  );
}

describe('a result', () => {
  it('that no disk took keeps its container until a later push has settled it', async () => {
    const { book, claim, outbox, repository } = await setUp();
    const held = await claim();
    outbox.addFails = true;
    repository.onPush = () => 'lost-request';
    let released = 0;
    const release = async (): Promise<void> => void (released += 1);
    expect(await book.finish(held, resultOf(held), release)).toBe('unpublished');
    expect(released).toBe(0);
    repository.onPush = () => 'none';
    await book.publishOutbox();
    expect(released).toBe(1);
    expect(book.unpublishedCount).toBe(0);
  });

  it('whose entry cannot be removed is removed later, and not sent again', async () => {
    const { book, claim, outbox, repository } = await setUp();
    const held = await claim();
    outbox.removeFails = true;
    expect(await book.finish(held, resultOf(held), async () => undefined)).toBe('accepted');
    expect(outbox.entries.size).toBe(1);
    outbox.removeFails = false;
    const { pushes } = repository;
    await book.publishOutbox();
    expect(outbox.entries.size).toBe(0);
    expect(repository.pushes).toBe(pushes);
  });
});

describe('a stray claim', () => {
  it('that was held once is handed back with its attempt, because something may have been started under it', async () => {
    const { book, claim, grid, reader } = await setUp();
    const held = await claim();
    book.drop(held);
    expect(book.wasHeld(held.oid)).toBe(true);
    await book.releaseStray({ oid: held.oid, state: held.state });
    const view = await reader.refresh();
    expect(view.tasks.get(TASK)?.state).toMatchObject({ state: { state: 'waiting', attempt: 1 } });
    expect(grid.remote.refs.get(REF)).not.toBe(held.oid);
  });

  it('that never was in the book gets its attempt back', async () => {
    const { book, membership, push, reader, writer } = await setUp();
    const written = writer.task(
      {
        state: 'claimed',
        taskId: TASK,
        nodeId: NODE,
        incarnation: membership.incarnation,
        epoch: 1,
        attempt: 1,
        failures: 0,
        takeovers: 0,
        specBlob: (await reader.refresh()).queue.files.get(TASK)!.blob,
      },
      null,
    );
    const swap = { ref: REF, from: null, to: written.commit.oid };
    await push({ swap, objects: written.objects, step: 'swap.claim' });
    expect(book.wasHeld(written.commit.oid)).toBe(false);
    await book.releaseStray({ oid: written.commit.oid, state: written.state as HeldClaim['state'] });
    const view = await reader.refresh();
    expect(view.tasks.get(TASK)?.state).toMatchObject({ state: { state: 'waiting', attempt: 0 } });
  });
});

describe('an adoption', () => {
  it('that won without our knowing is not made once more', async () => {
    const { book, claim, repository } = await setUp();
    const held = await claim();
    book.drop(held);
    const { pushes } = repository;
    const again = await book.adopt(
      { oid: held.oid, state: held.state },
      {
        spec: held.spec,
        raw: held.raw,
        signature: null,
      },
    );
    expect(again).toMatchObject({ oid: held.oid, stage: 'verified' });
    expect(repository.pushes).toBe(pushes);
  });
});

describe('a node', () => {
  it('that was declared dead while it was joining does not come back under that incarnation', async () => {
    const { membership, reader, writer, push } = await setUp();
    await membership.register(await reader.refresh({ nodes: 'all' }));
    const before = membership.incarnation;
    let view = await reader.refresh({ nodes: 'all' });
    const known = view.nodes.get(NODE);
    if (known?.state?.kind !== 'state') throw new Error('not registered');
    membership.renewIfEnded(view);
    expect(membership.incarnation).toBe(before);
    const fenced = writer.node({ ...known.state.state, state: 'fenced', fencedBy: nodeId('b') });
    const swap = { ref: 'refs/dgrid/nodes/a' as typeof REF, from: known.oid, to: fenced.commit.oid };
    await push({ swap, objects: fenced.objects, step: 'swap.fence' });
    view = await reader.refresh({ nodes: 'all' });
    membership.renewIfEnded(view);
    expect(membership.incarnation).not.toBe(before);
    expect(await membership.register(view)).toBe(true);
  });

  it('that registers once more counts its heartbeats on', async () => {
    const { membership, reader } = await setUp();
    for (let round = 0; round < 2; round += 1) await membership.register(await reader.refresh({ nodes: 'all' }));
    const view = await reader.refresh({ nodes: 'all' });
    expect(view.nodes.get(NODE)?.state).toMatchObject({ state: { state: 'alive', sequence: 2 } });
  });

  it('is not declared dead by a watch that saw it only for a moment', async () => {
    const { membership, reader } = await setUp();
    await membership.register(await reader.refresh({ nodes: 'all' }));
    const view = await reader.refresh({ nodes: 'all' });
    const watch = new DeathWatch(1_000);
    watch.observe([[NODE, view.nodes.get(NODE)!.oid]], { listedAtMs: 0, answeredAtMs: 0 });
    await membership.fenceIfDead(view, watch, NODE);
    expect((await reader.refresh({ nodes: 'all' })).nodes.get(NODE)?.state).toMatchObject({
      state: { state: 'alive' },
    });
  });
});

describe('two claims of the same content, made at the same moment', () => {
  it('are two objects, so that only one of them wins', async () => {
    const { push, reader } = await setUp();
    const specBlob = (await reader.refresh()).queue.files.get(TASK)!.blob;
    const facts = { taskId: TASK, nodeId: NODE, incarnation: 'same', epoch: 1, attempt: 1, failures: 0, takeovers: 0 };
    // Two machines with one id, which also drew the same incarnation: nothing but the nonce tells their states apart.
    const claims = [0, 1].map(() =>
      new StateWriter({
        user: { name: 'w', email: 'worker+a@d-grid.local' },
        clock: { ...systemClock, wallMs: () => 0 },
        randomHex: systemRandomHex,
        format: () => 'sha1',
      }).task({ ...facts, state: 'claimed', specBlob }, null),
    );
    const outcomes = [];
    for (const { commit, objects } of claims) {
      outcomes.push(await push({ swap: { ref: REF, from: null, to: commit.oid }, objects, step: 'swap.claim' }));
    }
    expect(outcomes.map(({ kind }) => kind)).toEqual(['won', 'lost']);
  });
});
