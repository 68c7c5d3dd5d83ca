/** What a running task has written so far, from memory and from its ref, against a repository in memory. */
import { describe, expect, it } from 'vitest';
import { makeBlob } from '../../../src/git/objects.ts';
import type { GridView } from '../../../src/ledger/grid-view.ts';
import { outputRef } from '../../../src/ledger/names.ts';
import { CHUNK_BYTES, chunksOf, type OutputStateName } from '../../../src/ledger/output-codec.ts';
import type { ClaimedState } from '../../../src/ledger/state-codec.ts';
import { StateWriter } from '../../../src/ledger/state-writer.ts';
import { MAX_OUTPUT_TEXT_BYTES } from '../../../src/pages/limits.ts';
import { type LiveOutput, LiveOutputs, type LiveParts } from '../../../src/pages/live-outputs.ts';
import { systemRandomHex } from '../../../src/runtime.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryRemote, MemoryRepository } from '../../support/memory-repository.ts';

const ID = taskId('loud');
const SHARED_MS = 1_001;

function setUp(mode: string | null = 'always') {
  const remote = new MemoryRemote();
  const repository = new MemoryRepository(remote);
  const clock = new ManualClock();
  const writer = new StateWriter({
    user: { name: 'worker', email: 'worker@example.org' },
    clock,
    randomHex: systemRandomHex,
    format: () => 'sha1',
  });
  const put = (texts: { stdout?: string; stderr?: string }, epoch = 3, state: OutputStateName = 'open'): void => {
    const files = (['stdout', 'stderr'] as const).flatMap((stream) =>
      chunksOf(stream, Buffer.from(texts[stream] ?? ''), (bytes) => makeBlob(bytes, 'sha1')),
    );
    const facts = { state, taskId: ID, nodeId: nodeId('a'), incarnation: 'x', epoch, attempt: 1 } as const;
    const { commit, tree } = writer.output(facts, files);
    for (const object of [...files.map(({ blob }) => blob), tree, commit]) remote.objects.set(object.oid, object);
    remote.refs.set(outputRef('refs/dgrid', ID), commit.oid);
  };
  const file = makeBlob(Buffer.from(JSON.stringify({ task_id: ID, follow: true })), 'sha1');
  repository.local.set(file.oid, file);
  const state = mode === null ? null : { kind: 'state', state: { info: { follow_output: mode } } };
  const view = { nodes: new Map([[nodeId('a'), { state }]]) } as unknown as GridView;
  let written: ReturnType<LiveParts['writtenOf']> = null;
  const own = (stdout: string | Buffer, isWhole = true): void => {
    written = {
      stdout: { bytes: Buffer.from(stdout), isWhole },
      stderr: { bytes: Buffer.alloc(0), isWhole: true },
    };
  };
  const claim = { taskId: ID, nodeId: nodeId('a'), epoch: 3, specBlob: file.oid } as ClaimedState;
  const signal = new AbortController().signal;
  const reader = { repository, format: 'sha1', signal, namespace: 'refs/dgrid' } as const;
  const lives = new LiveOutputs(clock);
  const read = async (): Promise<LiveOutput | undefined> => {
    const found = await lives.read([{ taskId: ID, claim }], { reader, view, writtenOf: () => written });
    return found.get(ID);
  };
  return { clock, file, own, put, read, remote, repository };
}

describe('the output of a task that runs here', () => {
  it('comes from memory, and asks nobody', async () => {
    const { own, read, repository } = setUp('never');
    own('hello\n');
    expect(await read()).toEqual({
      liveness: 'live',
      stdout: { text: 'hello\n', total_bytes: 6, whole: true },
      stderr: { text: '', total_bytes: 0, whole: true },
    });
    // The last character is not all there yet.
    own(Buffer.concat([Buffer.from('hello\nw'), Buffer.from('ö').subarray(0, 1)]));
    expect((await read())?.stdout).toEqual({ text: 'hello\nw', total_bytes: 8, whole: true });
    own('hello\nworld\n', false);
    expect((await read())?.stdout).toEqual({ text: 'hello\nworld\n', total_bytes: 12, whole: false });
    expect([repository.lists, repository.fetches]).toEqual([0, 0]);
  });
});

describe('the output of a task that runs elsewhere', () => {
  it('is what was published', async () => {
    const { clock, put, read, repository } = setUp();
    expect(await read()).toEqual({ liveness: 'live', stdout: null, stderr: null });
    put({ stdout: 'one\n' });
    // A moment ago there was none: who asks so soon shares that answer.
    expect((await read())?.stdout).toBe(null);
    clock.advance(SHARED_MS);
    expect(await read()).toEqual({
      liveness: 'live',
      stdout: { text: 'one\n', total_bytes: 4, whole: true },
      stderr: { text: '', total_bytes: 0, whole: true },
    });
    expect([repository.lists, repository.fetches]).toEqual([2, 1]);
    // Nothing new: only the listing.
    clock.advance(SHARED_MS);
    expect((await read())?.stdout?.text).toBe('one\n');
    expect([repository.lists, repository.fetches]).toEqual([3, 1]);
  });

  it('is its end where it is long', async () => {
    const { put, read } = setUp();
    const long = 'x'.repeat(2 * MAX_OUTPUT_TEXT_BYTES + CHUNK_BYTES / 2);
    put({ stdout: `${long}the end`, stderr: 'short' }, 3, 'full');
    const found = await read();
    expect(found?.stdout).toMatchObject({ total_bytes: long.length + 7, whole: false });
    expect(found?.stdout?.text).toHaveLength(MAX_OUTPUT_TEXT_BYTES);
    expect(found?.stdout?.text.endsWith('xthe end')).toBe(true);
    // More of it may have been written than anybody is told before the result.
    expect(found?.stderr).toEqual({ text: 'short', total_bytes: 5, whole: false });
  });

  it('stays as it was where a look brings nothing', async () => {
    const { clock, put, read, remote, repository } = setUp();
    put({ stdout: 'one\n' });
    await read();
    clock.advance(SHARED_MS);
    repository.onList = () => {
      throw new Error('the host is away');
    };
    expect((await read())?.stdout?.text).toBe('one\n');
    repository.onList = () => undefined;
    clock.advance(SHARED_MS);
    // It ends, and the ref goes before the view knows of it.
    remote.refs.clear();
    expect((await read())?.stdout?.text).toBe('one\n');
  });

  it('is not waited for when the host is slow', async () => {
    const { clock, put, read, repository } = setUp();
    put({ stdout: 'one\n' });
    await read();
    clock.advance(SHARED_MS);
    repository.listRefs = (_prefixes, signal?: AbortSignal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('given up')), { once: true });
      });
    const reading = read();
    let isOver = false;
    void reading.then(() => (isOver = true));
    // Whatever it does without the host.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    clock.advance(2_999);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    expect(isOver).toBe(false);
    clock.advance(1);
    expect((await reading)?.stdout?.text).toBe('one\n');
  });

  it('is not that of another claim', async () => {
    const { clock, put, read } = setUp();
    put({ stdout: 'of the one before' }, 2);
    expect(await read()).toEqual({ liveness: 'live', stdout: null, stderr: null });
    put({ stdout: 'mine' });
    clock.advance(SHARED_MS);
    expect((await read())?.stdout?.text).toBe('mine');
  });

  it('comes with the result where its node does not publish it, which is told', async () => {
    const never = setUp('never');
    expect(await never.read()).toEqual({ liveness: 'never', stdout: null, stderr: null });
    expect(never.repository.lists).toBe(0);
    expect((await setUp('asked').read())?.liveness).toBe('live');
    const unasked = setUp('asked');
    unasked.repository.local.set(unasked.file.oid, { ...unasked.file, content: Buffer.from('{}') });
    expect((await unasked.read())?.liveness).toBe('not-asked');
    // What its node says was not read yet.
    expect((await setUp(null).read())?.liveness).toBe('live');
  });
});
