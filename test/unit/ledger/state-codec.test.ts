import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { oid } from '../../../src/git/oid.ts';
import {
  decodeNodeState,
  decodeTaskState,
  encodeNodeState,
  encodeTaskState,
  type NodeState,
  type TaskState,
} from '../../../src/ledger/state-codec.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { WAIT_REASONS } from '../../../src/task/lifecycle.ts';
import { FAILURE_REASONS } from '../../../src/task/result.ts';

const id = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,62}$/);
const token = fc.stringMatching(/^[0-9a-f]{16,32}$/);
const count = fc.integer({ min: 0, max: 1e9 });
const common = fc.record({
  taskId: id.map(taskId),
  nodeId: id.map(nodeId),
  incarnation: token,
  epoch: count,
  attempt: count,
  failures: count,
  takeovers: count,
  specBlob: fc.stringMatching(/^[0-9a-f]{40}$/).map(oid),
  nonce: token,
});
const taskState: fc.Arbitrary<TaskState> = fc.oneof(
  common.map((facts) => ({ ...facts, state: 'claimed' as const })),
  fc
    .record({ facts: common, waitReason: fc.constantFrom(...WAIT_REASONS), delayMs: count })
    .map(({ facts, ...rest }) => ({ ...facts, ...rest, state: 'waiting' as const })),
  fc
    .record({
      facts: common,
      status: fc.constantFrom('success' as const, 'failed' as const),
      reason: fc.option(fc.constantFrom(...FAILURE_REASONS)),
    })
    .map(({ facts, ...rest }) => ({ ...facts, ...rest, state: 'finished' as const })),
);
const nodeState: fc.Arbitrary<NodeState> = fc.record({
  state: fc.constantFrom('alive' as const, 'stopped' as const, 'fenced' as const),
  nodeId: id.map(nodeId),
  incarnation: token,
  machine: token,
  sequence: count,
  intervalMs: count,
  ttlMs: count,
  nonce: token,
  fencedBy: fc.option(id.map(nodeId)),
  // What JSON keeps: no -0, no undefined.
  info: fc
    .dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean()))
    .map((info) => JSON.parse(JSON.stringify(info))),
});

describe('state codec', () => {
  it('reads every task state as it was written', () => {
    fc.assert(
      fc.property(taskState, (state) => {
        expect(decodeTaskState(encodeTaskState(state), state.taskId)).toEqual({ kind: 'state', state });
      }),
    );
  });

  it('reads every node state as it was written', () => {
    fc.assert(
      fc.property(nodeState, (state) => {
        expect(decodeNodeState(encodeNodeState(state), state.nodeId)).toEqual({ kind: 'state', state });
      }),
    );
  });

  it('never throws, whatever stands in the message', () => {
    fc.assert(
      fc.property(fc.string(), taskState, fc.nat(), (noise, state, at) => {
        const text = encodeTaskState(state);
        const cut = text.slice(0, at % text.length) + noise + text.slice(at % text.length);
        expect(['state', 'unreadable', 'newer-format']).toContain(decodeTaskState(cut, state.taskId).kind);
        expect(decodeTaskState(noise, state.taskId).kind).toBe('unreadable');
      }),
    );
  });

  const sample = (): string => encodeTaskState(fc.sample(taskState, { seed: 7, numRuns: 1 })[0] as TaskState);
  const sampleId = (): ReturnType<typeof taskId> =>
    (fc.sample(taskState, { seed: 7, numRuns: 1 })[0] as TaskState).taskId;

  it('leaves a newer format alone', () => {
    const text = sample().replace('DGrid-Format: 1', 'DGrid-Format: 2');
    expect(decodeTaskState(text, sampleId())).toEqual({ kind: 'newer-format', format: 2 });
  });

  it('does not believe a state that names another task than its ref', () => {
    const decoded = decodeTaskState(sample(), taskId('another'));
    expect(decoded).toEqual({ kind: 'unreadable', problem: 'DGrid-Task is not legal' });
  });

  it('refuses a trailer given twice and a message beyond the bound', () => {
    expect(decodeTaskState(`${sample()}DGrid-Epoch: 9\n`, sampleId()).kind).toBe('unreadable');
    expect(decodeTaskState(`${'x'.repeat(70_000)}${sample()}`, sampleId()).kind).toBe('unreadable');
  });
});
