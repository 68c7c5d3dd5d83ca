/** Good documents for the mutator to begin with: tasks, states, a record. */
import type { Oid } from '../../src/git/oid.ts';
import { encodeNodeState, encodeTaskState } from '../../src/ledger/state-codec.ts';
import { nodeId, taskId } from '../../src/task/id.ts';

export function goodTasks(id: string): object[] {
  return [
    { task_id: id, script: 'exit 0' },
    { task_id: id, command: ['sh', '-c', 'exit 0'], retries: 0, requires: [], priority: 'low' },
    {
      task_id: id,
      script: 'exit 0',
      timeout_seconds: 60,
      image: 'busybox:stable',
      env: { GREETING: 'grüezi', OTHER: '' },
      cpus: 0.5,
      memory: '16m',
      priority: 'high',
      retries: 1,
      requires: [],
    },
  ];
}

/** A message of each kind of state. */
export function goodTaskMessages(id: string): string[] {
  const common = {
    taskId: taskId(id),
    nodeId: nodeId('gone'),
    incarnation: 'i1',
    epoch: 3,
    attempt: 2,
    failures: 1,
    takeovers: 0,
    specBlob: 'b'.repeat(40) as Oid,
    nonce: '0123456789abcdef',
  };
  return [
    encodeTaskState({ ...common, state: 'claimed' }),
    encodeTaskState({ ...common, state: 'waiting', waitReason: 'retry', delayMs: 1_000 }),
    encodeTaskState({ ...common, state: 'finished', status: 'failed', reason: 'exit-code' }),
  ];
}

export function goodNodeMessages(id: string): string[] {
  const common = {
    nodeId: nodeId(id),
    incarnation: 'i1',
    machine: 'm1',
    sequence: 7,
    intervalMs: 1_000,
    nonce: '00ff',
  };
  const info = { name: id, labels: ['x'], running: [{ task: 't' }], slots: 2, paused: [], version: '1' };
  return [
    encodeNodeState({ ...common, state: 'alive', ttlMs: 5_000, fencedBy: null, info }),
    encodeNodeState({ ...common, state: 'fenced', ttlMs: 5_000, fencedBy: nodeId('other'), info }),
  ];
}

/** @param stdout what it seems to have written */
export function goodRecord(id: string, stdout = 'hello\n'): Record<string, unknown> {
  const instant = '2030-01-02T03:04:05.006Z';
  return {
    schema_version: 1,
    task_id: id,
    node_id: 'a',
    attempt: 1,
    status: 'failed',
    reason: 'exit-code',
    message: 'it ended with exit code 1',
    exit_code: 1,
    stdout,
    stderr: 'oh\n',
    stdout_bytes: stdout.length,
    stderr_bytes: 3,
    stdout_truncated: false,
    stderr_truncated: false,
    timestamp: instant,
    claimed_at: instant,
    started_at: instant,
    finished_at: instant,
    timings_ms: { claim: 1, pull: 0, start: 2, run: 3, collect: 4 },
    usage: { cpu_seconds: 0.1, peak_memory_bytes: 1_000 },
    image: { name: 'busybox:stable', digest: null },
    task: { task_id: id, script: 'exit 1' },
    spec_blob: 'b'.repeat(40),
  };
}
