/** A follower on a repository in memory, beside whole workers, and against what others may write. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { type FollowEvent, Follower } from '../../../src/client/follow.ts';
import type { GridClient } from '../../../src/client/grid-client.ts';
import { waitForTasks } from '../../../src/client/wait.ts';
import type { Settings } from '../../../src/config/settings.ts';
import { type GitObject, makeBlob, makeCommit, makeTree } from '../../../src/git/objects.ts';
import { outputRef } from '../../../src/ledger/names.ts';
import { CHUNK_BYTES, encodeOutputState, type OutputState, type Stream } from '../../../src/ledger/output-codec.ts';
import { readOutput, readResults } from '../../../src/ledger/results.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import type { ResultRecord } from '../../../src/task/result.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MemoryGrid, type TestWorker } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const LOUD = taskId('loud');
const REF = outputRef('refs/dgrid', LOUD);
const WAIT_MS = 8_000;
const NOBODY = { name: 'nobody', email: 'nobody@example.org', seconds: 0 };

async function grid(): Promise<MemoryGrid> {
  return new MemoryGrid(await temporaryDirectory());
}

function collector() {
  const shown: Record<Stream, string> = { stdout: '', stderr: '' };
  const told: FollowEvent[] = [];
  const pieces: string[] = [];
  const sink = {
    bytes: (stream: Stream, bytes: Uint8Array) => {
      shown[stream] += Buffer.from(bytes).toString('latin1');
      pieces.push(stream);
    },
    tell: (event: FollowEvent) => void told.push(event),
  };
  return { shown, told, pieces, sink };
}

async function follow(client: GridClient, sink: ReturnType<typeof collector>['sink']): Promise<ResultRecord> {
  const follower = new Follower(client, LOUD, sink);
  const outcome = await waitForTasks(client, [LOUD], {
    timeoutMs: null,
    unknownAfterLooks: 1,
    also: [outputRef(client.reader.namespace, LOUD)],
    pace: { minMs: 5, maxMs: 10 },
    onLook: (_done, view) => follower.look(view),
  });
  if (outcome.kind !== 'done') throw new Error(outcome.kind);
  const result = (await readResults(client, outcome.view, [LOUD])).get(LOUD);
  if (!result?.ok) throw new Error('no result');
  follower.finish(result.record, await readOutput(client, outcome.view, result.record));
  return result.record;
}

function ending(worker: TestWorker): TestWorker {
  onTestFinished(async () => {
    worker.agent.requestStop();
    await worker.done;
  });
  return worker;
}

const kindsOf = (told: readonly FollowEvent[]): string[] => told.map(({ kind }) => kind);

/** What stands for the container of the one task, whose output the test writes. */
async function containerOf(worker: TestWorker) {
  await until('the task to run', () => worker.engine.containers.size > 0, WAIT_MS);
  const [container] = worker.engine.containers;
  if (!container) throw new Error('no container');
  return container;
}

const HANG = { script: 'hang', timeout_seconds: 60 };

describe('following a task', () => {
  it('hands on each byte once, in pieces while it runs', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const { client } = memoryClient(g.remote);
    const { pieces, shown, sink, told } = collector();
    const following = follow(client, sink);
    await until('the task to be seen in the queue', () => told.length > 0, WAIT_MS);
    const worker = await g.startWorker('a', { untilIdle: true });
    const container = await containerOf(worker);
    let written = '';
    for (const text of ['one\n', 'tw', 'o\nthree', '\n']) {
      written += text;
      container.stdout.text = written;
      await until(`${text} to be seen`, () => shown.stdout === written, WAIT_MS);
    }
    container.stdout.text += 'the rest';
    container.finish();
    const record = await following;
    await worker.done;
    expect(record.stdout).toBe('one\ntwo\nthree\nthe rest');
    expect(shown).toEqual({ stdout: record.stdout, stderr: '' });
    expect(pieces.length).toBeGreaterThanOrEqual(4);
    expect(told).toEqual([
      { kind: 'queued' },
      { kind: 'running', nodeId: 'a', attempt: 1, liveness: 'live', isNext: false },
    ]);
  });

  it.each([
    ['asked', 'not-asked'],
    ['never', 'never'],
  ] as const)('says why nothing comes before the result: %s', async (followOutput, liveness) => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, ...(followOutput === 'never' ? { follow: true } : {}) } });
    const { client } = memoryClient(g.remote);
    const { pieces, shown, sink, told } = collector();
    const following = follow(client, sink);
    const worker = await g.startWorker('a', { untilIdle: true, settings: { followOutput } });
    const container = await containerOf(worker);
    container.stdout.text = 'hello\n';
    await until('it to be told', () => told.at(-1)?.kind === 'running', WAIT_MS);
    container.finish();
    await following;
    await worker.done;
    expect(told.at(-1)).toMatchObject({ kind: 'running', liveness });
    expect(pieces).toEqual(['stdout']);
    expect(shown.stdout).toBe('hello\n');
  });

  it('goes on with the result where the bound is reached', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const { client } = memoryClient(g.remote);
    const { shown, sink, told } = collector();
    const following = follow(client, sink);
    const worker = await g.startWorker('a', { untilIdle: true, settings: { maxFollowBytes: 20_000 } });
    const container = await containerOf(worker);
    container.stdout.text = '0123456789'.repeat(10_000);
    await until('it to be told', () => told.some(({ kind }) => kind === 'full'), WAIT_MS);
    expect(shown.stdout).toBe('0123456789'.repeat(2_000));
    container.finish();
    await following;
    await worker.done;
    expect(shown.stdout).toBe('0123456789'.repeat(10_000));
  });

  it('begins anew with another claim, and says so', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const { client } = memoryClient(g.remote);
    const { shown, sink, told } = collector();
    const following = follow(client, sink);
    const first = ending(await g.startWorker('a'));
    (await containerOf(first)).stdout.text = 'of the first\n';
    await until('some output', () => shown.stdout === 'of the first\n', WAIT_MS);
    first.repository.onPush = () => 'lost-request';
    const second = ending(await g.startWorker('b'));
    const container = await containerOf(second);
    container.stdout.text = 'of the second\n';
    await until('more output', () => shown.stdout === 'of the first\nof the second\n', WAIT_MS);
    first.repository.onPush = () => 'none';
    container.stdout.text += 'to its end\n';
    container.finish();
    expect(await following).toMatchObject({ node_id: 'b', attempt: 2 });
    expect(told.filter(({ kind }) => kind === 'running')).toMatchObject([
      { nodeId: 'a', attempt: 1, isNext: false },
      { nodeId: 'b', attempt: 2, isNext: true },
    ]);
    expect(shown.stdout).toBe('of the first\nof the second\nto its end\n');
  });
});

/** A claimed task whose worker publishes nothing, so that the test can. */
async function claimed(
  settings: Partial<Settings> = { followOutput: 'never' },
): Promise<{ g: MemoryGrid; client: GridClient; worker: TestWorker }> {
  const g = await grid();
  await g.queue({ loud: { ...HANG, follow: true } });
  const worker = ending(await g.startWorker('a', { settings }));
  await containerOf(worker);
  return { g, worker, client: memoryClient(g.remote).client };
}

const STATE: OutputState = {
  state: 'open',
  taskId: LOUD,
  nodeId: nodeId('a'),
  incarnation: 'x',
  epoch: 1,
  attempt: 1,
  nonce: 'n',
};

function publish(g: MemoryGrid, files: Record<string, string | Buffer>, facts: Partial<OutputState> = {}): GitObject {
  const blobs = Object.entries(files).map(([name, text]) => ({ name, blob: makeBlob(text, 'sha1') }));
  const tree = makeTree(
    blobs.map(({ name, blob }) => ({ mode: '100644', name, oid: blob.oid })),
    'sha1',
  );
  const message = encodeOutputState({ ...STATE, nonce: `n${g.remote.objects.size}`, ...facts });
  const commit = makeCommit({ tree: tree.oid, parents: [], author: NOBODY, committer: NOBODY, message }, 'sha1');
  for (const object of [...blobs.map(({ blob }) => blob), tree, commit]) g.remote.objects.set(object.oid, object);
  g.remote.refs.set(REF, commit.oid);
  return commit;
}

it('waits with what it says until the owner of the claim could be read', async () => {
  const { client, g, worker } = await claimed({ followOutput: 'asked' });
  const { sink, told } = collector();
  const follower = new Follower(client, LOUD, sink);
  const view = await client.refresh({ also: [REF] });
  const known = view.nodes.get(nodeId('a'));
  if (!known) throw new Error('no such node');
  const nodes = new Map(view.nodes).set(nodeId('a'), { ...known, state: null });
  await follower.look({ ...view, nodes, also: new Map() });
  expect(told).toEqual([]);
  await follower.look(view);
  expect(told).toEqual([{ kind: 'running', nodeId: 'a', attempt: 1, liveness: 'live', isNext: false }]);
  expect(g.taskRefs()).toHaveLength(1);
  (await containerOf(worker)).finish();
});

describe('what others may have written there', () => {
  it('counts only under the claim that stands', async () => {
    const { client, g } = await claimed();
    const { shown, sink } = collector();
    const follower = new Follower(client, LOUD, sink);
    const look = async () => follower.look(await client.refresh({ also: [REF] }));
    for (const facts of [{ epoch: 0 }, { epoch: 2 }, { nodeId: nodeId('b') }]) {
      publish(g, { 'stdout.0000': 'of somebody else' }, facts);
      await look();
      expect(shown.stdout).toBe('');
    }
    publish(g, { 'stdout.0000': 'right', 'stderr.0000': 'too' });
    expect(await look()).toBe(true);
    expect(shown).toEqual({ stdout: 'right', stderr: 'too' });
    // Shorter, as an old listing may show it, and the same once more.
    publish(g, { 'stdout.0000': 'ri', 'stderr.0000': 'too' });
    expect(await look()).toBe(false);
    publish(g, { 'stdout.0000': 'right on' });
    await look();
    expect(shown).toEqual({ stdout: 'right on', stderr: 'too' });
  });

  it.each([
    ['a blob', (g: MemoryGrid) => void g.remote.refs.set(REF, storeBlob(g, 'x').oid)],
    ['no trailers', (g: MemoryGrid) => publishText(g, 'hello\n')],
    ['a newer format', (g: MemoryGrid) => publishText(g, encodeOutputState(STATE).replace('Format: 1', 'Format: 9'))],
    ['a chunk that is too large', (g: MemoryGrid) => void publish(g, { 'stdout.0000': Buffer.alloc(CHUNK_BYTES + 1) })],
    ['a chunk that is not full', (g: MemoryGrid) => void publish(g, { 'stdout.0000': 'short', 'stdout.0001': 'x' })],
  ])('is told once where it is %s, and waited past', async (_what, spoil) => {
    const { client, g } = await claimed();
    const { shown, sink, told } = collector();
    const follower = new Follower(client, LOUD, sink);
    for (let looks = 0; looks < 3; looks += 1) {
      spoil(g);
      await follower.look(await client.refresh({ also: [REF] }));
    }
    expect(shown.stdout).toBe('');
    expect(kindsOf(told)).toEqual(['running', 'unreadable']);
  });

  it('is not taken for the result', async () => {
    const { client, g, worker } = await claimed();
    const { shown, sink, told } = collector();
    publish(g, { 'stdout.0000': 'a forgery\n' });
    const following = follow(client, sink);
    await until('the forgery to be shown', () => shown.stdout !== '');
    (await containerOf(worker)).finish();
    const record = await following;
    expect(kindsOf(told)).toContain('differs');
    expect(shown.stdout).toBe(`a forgery\n${record.stdout}`);
  });
});

function storeBlob(g: MemoryGrid, text: string): GitObject {
  const blob = makeBlob(text, 'sha1');
  g.remote.objects.set(blob.oid, blob);
  return blob;
}

function publishText(g: MemoryGrid, message: string): void {
  const tree = makeTree([], 'sha1');
  const commit = makeCommit({ tree: tree.oid, parents: [], author: NOBODY, committer: NOBODY, message }, 'sha1');
  for (const object of [tree, commit]) g.remote.objects.set(object.oid, object);
  g.remote.refs.set(REF, commit.oid);
}
