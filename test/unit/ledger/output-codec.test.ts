import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type GitObject, makeBlob } from '../../../src/git/objects.ts';
import { outputRef, parseLedgerRef, taskOfOutputRef } from '../../../src/ledger/names.ts';
import {
  CHUNK_BYTES,
  chunkIdsOf,
  chunksOf,
  decodeOutputState,
  encodeOutputState,
  MAX_CHUNKS,
  type OutputState,
} from '../../../src/ledger/output-codec.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';

const ID = taskId('hello-1');
const STATE: OutputState = {
  state: 'open',
  taskId: ID,
  nodeId: nodeId('box-1'),
  incarnation: 'abc',
  epoch: 3,
  attempt: 2,
  nonce: 'n1',
};

const blobOf = (content: Uint8Array): GitObject => makeBlob(content, 'sha1');
const entriesOf = (bytes: Uint8Array) =>
  chunksOf('stdout', bytes, blobOf).map(({ name, blob }) => ({ mode: '100644', name, oid: blob.oid }));

describe('the state of an output', () => {
  it('is read as it was written', () => {
    for (const state of ['open', 'full'] as const) {
      expect(decodeOutputState(encodeOutputState({ ...STATE, state }), ID)).toEqual({
        kind: 'state',
        state: { ...STATE, state },
      });
    }
  });

  it.each([
    ['another task', encodeOutputState(STATE), taskId('other'), 'DGrid-Task is not legal'],
    ['another kind', encodeOutputState(STATE).replace('Kind: output', 'Kind: task'), ID, 'DGrid-Kind is not legal'],
    ['no epoch', encodeOutputState(STATE).replace('DGrid-Epoch: 3\n', ''), ID, 'DGrid-Epoch is missing'],
    ['nothing', '', ID, 'DGrid-Format is missing'],
  ])('is not believed with %s', (_what, text, id, problem) => {
    expect(decodeOutputState(text, id)).toEqual({ kind: 'unreadable', problem });
  });

  it('is told from one of a newer format', () => {
    const text = encodeOutputState(STATE).replace('Format: 1', 'Format: 2');
    expect(decodeOutputState(text, ID)).toEqual({ kind: 'newer-format', format: 2 });
  });
});

describe('the chunks of a stream', () => {
  it('are full but for the last, and change nowhere else when more comes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40_000 }), fc.integer({ min: 0, max: 20_000 }), (length, more) => {
        const all = Buffer.alloc(length + more, 'abcdefg\n');
        const before = chunksOf('stderr', all.subarray(0, length), blobOf);
        const after = chunksOf('stderr', all, blobOf);
        expect(Buffer.concat(after.map(({ blob }) => blob.content)).equals(all)).toBe(true);
        for (const { blob } of after.slice(0, -1)) expect(blob.content).toHaveLength(CHUNK_BYTES);
        const idsOf = (chunks: typeof after) => chunks.map(({ blob }) => blob.oid);
        const kept = Math.max(0, before.length - 1);
        expect(idsOf(after).slice(0, kept)).toEqual(idsOf(before).slice(0, kept));
      }),
      { numRuns: 50 },
    );
  });

  it('are read in their order, up to the first that is missing or no file, and never without end', () => {
    const entries = entriesOf(Buffer.alloc(5 * CHUNK_BYTES, 'x\ny'));
    const ids = entries.map(({ oid }) => oid);
    expect(chunkIdsOf('stdout', entries.toReversed())).toEqual(ids);
    expect(chunkIdsOf('stderr', entries)).toEqual([]);
    expect(chunkIdsOf('stdout', entries.toSpliced(2, 1))).toEqual(ids.slice(0, 2));
    const linked = entries.map((entry, at) => (at === 1 ? { ...entry, mode: '120000' } : entry));
    expect(chunkIdsOf('stdout', linked)).toEqual(ids.slice(0, 1));
    const [first] = ids;
    const endless = Array.from({ length: MAX_CHUNKS + 10 }, (_, at) => ({
      mode: '100644',
      name: `stdout.${String(at).padStart(4, '0')}`,
      oid: first as GitObject['oid'],
    }));
    expect(chunkIdsOf('stdout', endless)).toHaveLength(MAX_CHUNKS);
  });
});

describe('the ref of an output', () => {
  it('stands beside the namespace, where nobody takes it for a state', () => {
    for (const namespace of ['refs/dgrid', 'refs/heads/dgrid'] as const) {
      const ref = outputRef(namespace, ID);
      expect(ref.startsWith(`${namespace}/`)).toBe(false);
      expect(parseLedgerRef(namespace, ref)).toBe(null);
      expect(taskOfOutputRef(namespace, ref)).toBe(ID);
    }
    expect(taskOfOutputRef('refs/dgrid', 'refs/dgrid-output/No Id')).toBe(null);
    expect(taskOfOutputRef('refs/dgrid', 'refs/dgrid/tasks/hello-1')).toBe(null);
  });
});
