/** What the kept samples of formats say. Never changed: the samples would say something else. */
import type { RunLabels, WarmLabels } from '../../src/executor/docker/labels.ts';
import type { Oid } from '../../src/git/oid.ts';
import type { SignedStart } from '../../src/host/nonce-memory.ts';
import type { NodeState, TaskState } from '../../src/ledger/state-codec.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import type { ResultRecord } from '../../src/task/result.ts';

export const TASK = taskId('nightly-7');
const NODE = nodeId('box-1');
const SPEC = '5ce2c6a266ae10ae96139056533d7c911afd8182' as Oid;

const common = {
  taskId: TASK,
  nodeId: NODE,
  incarnation: 'a1b2c3d4e5f60718',
  epoch: 3,
  attempt: 2,
  failures: 1,
  takeovers: 1,
  specBlob: SPEC,
  nonce: '00112233445566778899aabbccddeeff',
};

export const TASK_STATES: readonly TaskState[] = [
  { ...common, state: 'claimed' },
  { ...common, state: 'waiting', waitReason: 'retry', delayMs: 4_000 },
  { ...common, state: 'finished', status: 'failed', reason: 'exit-code' },
];

const node = {
  nodeId: NODE,
  incarnation: common.incarnation,
  machine: '0f1e2d3c4b5a69788796a5b4c3d2e1f0',
  sequence: 17,
  intervalMs: 60_000,
  ttlMs: 300_000,
  nonce: common.nonce,
  info: { name: 'worker-box-1', labels: ['gpu'], version: '0.1.0', slots: 2 },
};

export const LIVING_NODE: NodeState = { ...node, state: 'alive', fencedBy: null };
export const FENCED_NODE: NodeState = { ...node, state: 'fenced', fencedBy: nodeId('box-2') };

export const RECORD: ResultRecord = {
  schema_version: 1,
  task_id: TASK,
  node_id: NODE,
  attempt: 2,
  status: 'failed',
  reason: 'exit-code',
  message: 'ended with exit code 3',
  exit_code: 3,
  stdout: 'out\n',
  stderr: 'err\n',
  stdout_bytes: 4,
  stderr_bytes: 4,
  stdout_truncated: false,
  stderr_truncated: false,
  timestamp: '2026-03-01T12:00:02.000Z',
  claimed_at: '2026-03-01T12:00:00.000Z',
  started_at: '2026-03-01T12:00:01.000Z',
  finished_at: '2026-03-01T12:00:02.000Z',
  timings_ms: { claim: 90, pull: 0, start: 200, run: 1_000, collect: 5 },
  usage: { cpu_seconds: 0.5, peak_memory_bytes: 1_048_576 },
  image: { name: 'busybox:stable', digest: `sha256:${'cd'.repeat(32)}` },
  task: { task_id: TASK, script: 'exit 3', retries: 1 },
  spec_blob: SPEC,
  signer: 'robot@example.com',
  log_sha256: { stdout: null, stderr: null },
};

export const RUN_LABELS: RunLabels = {
  gridId: '0123456789abcdef',
  key: { taskId: TASK, nodeId: NODE, incarnation: common.incarnation, epoch: 3 },
  attempt: 2,
  program: 'script',
  nonce: '00ff00ff00ff00ff',
  image: { name: 'busybox:stable', digest: `sha256:${'cd'.repeat(32)}` },
};

export const WARM_LABELS: WarmLabels = { gridId: '0123456789abcdef', nodeId: NODE, nonce: RUN_LABELS.nonce };

export const SIGNED_START: SignedStart = {
  nonce: 'q3VzZWQtb25jZS1vbmx5',
  taskId: TASK,
  epoch: 3,
  expiresAtMs: Date.parse('2026-03-01T13:00:00.000Z'),
};
