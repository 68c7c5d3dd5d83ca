/** Live output by whole workers on a repository in memory: what is published, when it goes, and what it never holds up. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseCommit, parseTree } from '../../../src/git/objects.ts';
import { outputRef } from '../../../src/ledger/names.ts';
import { decodeOutputState, type OutputState } from '../../../src/ledger/output-codec.ts';
import { taskId } from '../../../src/task/id.ts';
import { MemoryGrid, type TestWorker } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const LOUD = taskId('loud');
const REF = outputRef('refs/dgrid', LOUD);
const WAIT_MS = 8_000;

async function grid(): Promise<MemoryGrid> {
  return new MemoryGrid(await temporaryDirectory());
}

function ending(worker: TestWorker): TestWorker {
  onTestFinished(async () => {
    worker.agent.requestStop();
    await worker.done;
  });
  return worker;
}

function outputRefs(g: MemoryGrid): string[] {
  return [...g.remote.refs.keys()].filter((ref) => ref.startsWith('refs/dgrid-output/'));
}

/** Every batch that the ref has held. */
function batches(g: MemoryGrid): { state: OutputState; stdout: string; files: number }[] {
  return g.remote.history.flatMap(({ ref, to }) => {
    if (ref !== REF || to === null) return [];
    const commit = parseCommit(g.remote.objects.get(to)?.content ?? Buffer.alloc(0));
    expect(commit.parents).toEqual([]);
    const decoded = decodeOutputState(commit.message, LOUD);
    if (decoded.kind !== 'state') throw new Error('an output that cannot be read');
    const entries = parseTree(g.remote.objects.get(commit.tree)?.content ?? Buffer.alloc(0), 'sha1');
    const stdout = entries.map(({ oid }) => g.remote.objects.get(oid)?.content.toString()).join('');
    return [{ state: decoded.state, stdout, files: entries.length }];
  });
}

/** What stands for the container of the one task, whose output the test writes. */
async function containerOf(worker: TestWorker) {
  await until('the task to run', () => worker.engine.containers.size > 0, WAIT_MS);
  const [container] = worker.engine.containers;
  if (!container) throw new Error('no container');
  return container;
}

async function heartbeats(worker: TestWorker, count: number): Promise<void> {
  const seen = (): number => worker.events.named('node.heartbeat').length;
  const before = seen();
  await until('heartbeats', () => seen() >= before + count, WAIT_MS);
}

const HANG = { script: 'hang', timeout_seconds: 60 };

describe('live output', () => {
  it('is published while a task runs that asks for it, and goes with its result', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const worker = await g.startWorker('a', { untilIdle: true });
    const container = await containerOf(worker);
    for (const line of ['one\n', 'two\n', 'three\n']) {
      container.stdout.text += line;
      await until(`${line} to be published`, () => batches(g).at(-1)?.stdout.endsWith(line) === true, WAIT_MS);
    }
    container.stdout.text += 'the rest\n';
    container.finish();
    await worker.done;
    expect(await g.record('loud')).toMatchObject({ stdout: 'one\ntwo\nthree\nthe rest\n' });
    for (const { state, stdout } of batches(g)) {
      expect(state).toMatchObject({ state: 'open', nodeId: 'a', epoch: 1, attempt: 1 });
      expect('one\ntwo\nthree\nthe rest\n'.startsWith(stdout)).toBe(true);
    }
    expect(outputRefs(g)).toEqual([]);
  });

  it.each([
    ['never', true, false],
    ['asked', true, true],
    ['asked', false, false],
    ['always', false, true],
  ] as const)('is a matter of the operator (%s) and of the task (%s)', async (followOutput, follow, isPublished) => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow } });
    const worker = await g.startWorker('a', { untilIdle: true, settings: { followOutput } });
    const container = await containerOf(worker);
    container.stdout.text = 'hello\n';
    if (isPublished) await until('a batch', () => batches(g).length > 0, WAIT_MS);
    // Several times the pause between two batches.
    else await heartbeats(worker, 5);
    container.finish();
    await worker.done;
    expect(batches(g).length > 0).toBe(isPublished);
    expect(outputRefs(g)).toEqual([]);
  });

  it('costs no push while nothing new is written', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const worker = await g.startWorker('a', { untilIdle: true });
    const container = await containerOf(worker);
    container.stdout.text = 'hello\n';
    await until('a batch', () => batches(g).length > 0, WAIT_MS);
    await heartbeats(worker, 5);
    container.finish();
    await worker.done;
    expect(batches(g)).toHaveLength(1);
  });

  it('ends at its bound with a mark, and the result has all', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const worker = await g.startWorker('a', { untilIdle: true, settings: { maxFollowBytes: 20_000 } });
    const container = await containerOf(worker);
    container.stdout.text = 'x'.repeat(60_000);
    await until('a batch', () => batches(g).length > 0, WAIT_MS);
    container.stdout.text += 'x'.repeat(40_000);
    await heartbeats(worker, 3);
    container.finish();
    await worker.done;
    expect(batches(g).map(({ state, stdout, files }) => [state.state, stdout.length, files])).toEqual([
      ['full', 20_000, 3],
    ]);
    expect(await g.record('loud')).toMatchObject({ status: 'success', stdout_bytes: 100_000 });
  });

  it('makes a lost batch good with the next', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    let lost = 0;
    const worker = await g.startWorker('a', {
      untilIdle: true,
      prepare: (repository) => {
        repository.onPush = (swaps) => {
          if (lost > 6 || !swaps.some(({ ref, to }) => ref === REF && to !== null)) return 'none';
          lost += 1;
          return lost % 2 === 0 ? 'lost-reply' : 'lost-request';
        };
      },
    });
    const container = await containerOf(worker);
    await until('pushes to be lost', () => {
      container.stdout.text += 'more\n';
      return lost > 6;
    });
    const all = container.stdout.text;
    await until('a batch with all of it', () => batches(g).at(-1)?.stdout === all);
    container.finish();
    await worker.done;
    expect(await g.record('loud')).toMatchObject({ status: 'success', attempt: 1 });
    expect(outputRefs(g)).toEqual([]);
  });

  it('holds up nothing when the host refuses such refs', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const worker = await g.startWorker('b', {
      untilIdle: true,
      prepare: (repository) => {
        repository.onPush = (swaps) => (swaps.some(({ ref }) => ref === REF) ? 'refused' : 'none');
      },
    });
    const container = await containerOf(worker);
    container.stdout.text = 'hello\n';
    await until('it to be told', () => worker.events.named('output.refused').length > 0, WAIT_MS);
    container.stdout.text += 'and more\n';
    await heartbeats(worker, 3);
    container.finish();
    await worker.done;
    expect(worker.events.named('output.refused')).toHaveLength(1);
    expect(await g.record('loud')).toMatchObject({ status: 'success', attempt: 1 });
  });

  it('is taken over with its task', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const first = ending(await g.startWorker('a'));
    (await containerOf(first)).stdout.text = 'of the first\n';
    await until('a first batch', () => batches(g).length > 0, WAIT_MS);
    // It is cut off, and another takes its task over.
    first.repository.onPush = () => 'lost-request';
    const second = ending(await g.startWorker('b'));
    const container = await containerOf(second);
    container.stdout.text = 'of the second\n';
    await until('the batch of another', () => batches(g).at(-1)?.state.nodeId === 'b', WAIT_MS);
    expect(batches(g).at(-1)).toMatchObject({ state: { epoch: 2, attempt: 2 }, stdout: 'of the second\n' });
    first.repository.onPush = () => 'none';
    container.finish();
    await until('the result', async () => (await g.record('loud')) !== null, WAIT_MS);
    await until('the output to be gone', () => outputRefs(g).length === 0, WAIT_MS);
  });

  it('that a dead node has left is deleted by whoever declares it dead, or leaves last', async () => {
    const g = await grid();
    await g.queue({ loud: { ...HANG, follow: true } });
    const first = await g.startWorker('a');
    (await containerOf(first)).stdout.text = 'hello\n';
    await until('a first batch', () => batches(g).length > 0, WAIT_MS);
    first.repository.onPush = () => 'lost-request';
    const second = ending(await g.startWorker('b', { settings: { followOutput: 'never', maxTakeovers: 0 } }));
    await until('the task to be given up', async () => (await g.record('loud'))?.reason === 'lost', WAIT_MS);
    await until('the output to be gone', () => outputRefs(g).length === 0, WAIT_MS);
    first.repository.onPush = () => 'none';
    first.agent.requestStop();
    await first.done;
    expect(second.events.named('output.deleted')).toEqual([{ refs: 1 }]);
    // Of a task that nobody knows any more, and one whose name is none.
    const oid = g.remote.history.find(({ ref }) => ref === REF)?.to;
    if (!oid) throw new Error('no batch');
    g.remote.refs.set(outputRef('refs/dgrid', taskId('stranger')), oid);
    g.remote.refs.set('refs/dgrid-output/No-Id' as typeof REF, oid);
    const third = await g.startWorker('c', { untilIdle: true });
    await third.done;
    expect(outputRefs(g)).toEqual(['refs/dgrid-output/No-Id']);
  });
});
