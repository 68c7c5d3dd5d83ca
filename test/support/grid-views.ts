/** Views of grids that nobody read anywhere: queues of any length, states, nodes that say what a test wants. */
import { type Oid, oid, refName } from '../../src/git/oid.ts';
import { FoundFiles, type QueueFile } from '../../src/ledger/found-files.ts';
import type { GridView } from '../../src/ledger/grid-view.ts';
import { QueueIndex } from '../../src/ledger/queue-index.ts';
import type { TaskBrief } from '../../src/ledger/spec-cache.ts';
import type { ClaimedState, Decoded, FinishedState, NodeState, TaskState } from '../../src/ledger/state-codec.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import type { Priority } from '../../src/task/task-schema.ts';

export const hex = (figure: number): Oid => oid(figure.toString(16).padStart(40, '0'));

export interface ViewParts {
  /** Ids of queued tasks. */
  queued?: readonly string[];
  recorded?: readonly string[];
  tasks?: Readonly<Record<string, Decoded<TaskState> | null>>;
  nodes?: Readonly<Record<string, Decoded<NodeState> | null>>;
  /** Part of the ids of nodes' states: another beat, another id. */
  beat?: number;
}

export function viewOf({ queued = [], recorded = [], tasks = {}, nodes = {}, beat = 0 }: ViewParts): GridView {
  const found = new FoundFiles();
  queued.forEach((id, index) => {
    const name = `${id}.json`;
    found.add(`tasks/queue/${name}`, { mode: '100644', name, oid: hex(index + 1) });
  });
  const queue = new QueueIndex({ found, records: [], alreadyRecorded: new Set(recorded.map(taskId)) });
  return {
    branch: refName('refs/heads/main'),
    tip: hex(999),
    tipTree: hex(998),
    queue,
    tasks: new Map(Object.entries(tasks).map(([id, state], at) => [taskId(id), { oid: hex(0x50_0000 + at), state }])),
    nodes: new Map(
      Object.entries(nodes).map(([id, state], at) => [nodeId(id), { oid: hex(0x60_0000 + at + 1_000 * beat), state }]),
    ),
    listedAtMs: 0,
    answeredAtMs: 0,
    fetched: false,
    illegalRefs: [],
    also: new Map(),
    elsewhere: false,
  };
}

const facts = (id: string, node: string) => ({
  taskId: taskId(id),
  nodeId: nodeId(node),
  incarnation: 'i1',
  epoch: 1,
  attempt: 1,
  failures: 0,
  takeovers: 0,
  specBlob: hex(7),
  nonce: 'n',
});

export function claimed(id: string, node = 'box'): Decoded<ClaimedState> {
  return { kind: 'state', state: { ...facts(id, node), state: 'claimed' }, writtenAtSeconds: 1_772_366_400 };
}

export function finished(id: string, status: 'success' | 'failed' = 'success'): Decoded<FinishedState> {
  const reason = status === 'success' ? null : 'exit-code';
  return { kind: 'state', state: { ...facts(id, 'box'), state: 'finished', status, reason }, writtenAtSeconds: 0 };
}

export function alive(node: string, info: Record<string, unknown> = {}, ttlMs = 60_000): Decoded<NodeState> {
  return {
    kind: 'state',
    writtenAtSeconds: 1_772_366_400,
    state: {
      state: 'alive',
      nodeId: nodeId(node),
      incarnation: 'i1',
      machine: 'm',
      sequence: 1,
      intervalMs: 10_000,
      ttlMs,
      nonce: 'n',
      fencedBy: null,
      info,
    },
  };
}

/** Of tasks whose ids begin with a priority; `bad` ones are no legal tasks. */
export function briefOf({ taskId: id }: Pick<QueueFile, 'taskId'>): TaskBrief {
  const [word] = id.split('-');
  if (word === 'bad') return { ok: false };
  const priority = (['critical', 'high', 'low'].includes(word ?? '') ? word : 'medium') as Priority;
  return { ok: true, priority, requires: [], memoryBytes: null, image: null };
}
