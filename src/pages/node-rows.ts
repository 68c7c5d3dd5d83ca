/** Nodes as rows: from their refs, what they said last, and what was seen of them from here. Pure. */
import type { GridView } from '../ledger/grid-view.ts';
import type { Decoded, NodeState } from '../ledger/state-codec.ts';
import type { NodeId } from '../task/id.ts';
import type { GridHistory } from './grid-history.ts';
import type { NodeRow } from './model.ts';
import { lastBeatOf, readNodeInfo } from './node-facts.ts';

export interface NodeRowParts {
  view: GridView;
  history: Pick<GridHistory, 'beatOf' | 'nodeState' | 'silentMs'>;
  /** What this worker says of itself now, which its last sign of life may not say yet; null: no worker looks. */
  own: { nodeId: NodeId; info: Readonly<Record<string, unknown>> } | null;
}

/** Those that may work first. */
export function nodeRows(parts: NodeRowParts): NodeRow[] {
  const rows = [...parts.view.nodes.keys()].map((id) => nodeRow(id, parts));
  const rank = ({ state }: NodeRow): number => (state === 'alive' || state === 'silent' ? 0 : 1);
  return rows.sort((a, b) => rank(a) - rank(b) || (a.node_id < b.node_id ? -1 : 1));
}

function nodeRow(id: NodeId, { view, history, own }: NodeRowParts): NodeRow {
  const decoded = view.nodes.get(id)?.state ?? history.nodeState(id);
  const state = decoded?.kind === 'state' ? decoded.state : null;
  const isOwn = own?.nodeId === id;
  const told = readNodeInfo(state?.info ?? {});
  const info = isOwn ? readNodeInfo(own.info) : told;
  const beat = history.beatOf(id);
  const isSilent = !isOwn && state !== null && (history.silentMs(id) ?? 0) > state.ttlMs;
  return {
    node_id: id,
    state: standing(decoded, isSilent),
    name: info.name,
    version: info.version,
    labels: info.labels,
    slots: info.slots,
    running: info.running,
    paused: info.paused,
    refuses: info.refuses,
    seen_ms_ago: beat?.seen ? Math.round(beat.agoMs) : null,
    last_beat: lastBeatOf(decoded),
    heartbeat_ms: state?.intervalMs ?? null,
    ttl_ms: state?.ttlMs ?? null,
    // As of the last sign of life, of this worker too: each reading would be a change otherwise.
    cpu_percent: told.cpuPercent,
    memory_percent: told.memoryPercent,
    disk_percent: told.diskPercent,
    quota_left: info.quotaLeft,
  };
}

function standing(decoded: Decoded<NodeState> | null, isSilent: boolean): NodeRow['state'] {
  // It beats, and holds nothing that would have made anybody here read more of it.
  if (decoded === null) return 'alive';
  if (decoded.kind !== 'state') return 'unreadable';
  return decoded.state.state === 'alive' && isSilent ? 'silent' : decoded.state.state;
}
