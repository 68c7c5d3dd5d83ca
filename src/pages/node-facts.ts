/**
 * What a node tells of itself, read from its last sign of life. Others wrote it: each field has one type and a bound, and
 * whatever is different counts as not told. Pure.
 */
import type { Decoded, NodeState } from '../ledger/state-codec.ts';
import { isTaskId, type TaskId } from '../task/id.ts';
import { calendarTime, fieldOf, listOf, numberOf, textOf } from './foreign.ts';
import { MAX_MESSAGE_LENGTH, MAX_NAME_LENGTH, MAX_NODE_LABELS, MAX_NODE_REASONS, MAX_NODE_TASKS } from './limits.ts';

const MAX_SLOTS = 1_000_000;
const MAX_QUOTA = 1_000_000_000;

/** A stable word, and figures for people. */
export interface Refusal {
  reason: string;
  text: string;
}

/** What the info of a node says. */
export interface NodeInfo {
  name: string | null;
  version: string | null;
  labels: string[];
  slots: number | null;
  running: TaskId[];
  /** Why it claims nothing. */
  paused: Refusal[];
  /** What it leaves alone while it claims other tasks. */
  refuses: Refusal[];
  cpuPercent: number | null;
  memoryPercent: number | null;
  diskPercent: number | null;
  quotaLeft: number | null;
}

export function readNodeInfo(info: Readonly<Record<string, unknown>>): NodeInfo {
  const name = (value: unknown): string | null => textOf(value, MAX_NAME_LENGTH);
  return {
    name: name(fieldOf(info, 'name')),
    version: name(fieldOf(info, 'version')),
    labels: listOf(fieldOf(info, 'labels'), MAX_NODE_LABELS, name),
    slots: numberOf(fieldOf(info, 'slots'), MAX_SLOTS),
    running: listOf(fieldOf(info, 'running'), MAX_NODE_TASKS, (entry) => {
      const task = fieldOf(entry, 'task');
      return typeof task === 'string' && isTaskId(task) ? task : null;
    }),
    paused: listOf(fieldOf(info, 'paused'), MAX_NODE_REASONS, refusalIn),
    refuses: listOf(fieldOf(info, 'refuses'), MAX_NODE_REASONS, refusalIn),
    cpuPercent: numberOf(fieldOf(info, 'cpu_percent'), 100),
    memoryPercent: numberOf(fieldOf(info, 'memory_percent'), 100),
    diskPercent: numberOf(fieldOf(info, 'disk_percent'), 100),
    quotaLeft: numberOf(fieldOf(info, 'quota_left'), MAX_QUOTA),
  };
}

function refusalIn(entry: unknown): Refusal {
  return {
    reason: textOf(fieldOf(entry, 'reason'), MAX_NAME_LENGTH) ?? 'unknown',
    text: textOf(fieldOf(entry, 'text'), MAX_MESSAGE_LENGTH) ?? '',
  };
}

/** When the node gave its last sign of life, by its own clock; null where that is not known, or no time. */
export function lastBeatOf(decoded: Decoded<NodeState> | null): string | null {
  return decoded?.kind === 'state' ? calendarTime(decoded.writtenAtSeconds) : null;
}
