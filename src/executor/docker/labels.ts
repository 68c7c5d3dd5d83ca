/**
 * The labels that make a container ours, and that let a restarted worker find out which run it was. Whoever can reach
 * the engine can set labels, so they are parsed strictly.
 */
import { isNodeId, isTaskId } from '../../task/id.ts';
import type { RunKey } from '../executor.ts';

export const LABEL = {
  grid: 'io.dgrid.grid',
  node: 'io.dgrid.node',
  incarnation: 'io.dgrid.incarnation',
  task: 'io.dgrid.task',
  epoch: 'io.dgrid.epoch',
  attempt: 'io.dgrid.attempt',
  /** `script` or `command`. */
  program: 'io.dgrid.program',
  /** Random per container: tells the bootstrap's own words from the task's. */
  nonce: 'io.dgrid.nonce',
} as const;

export interface RunLabels {
  gridId: string;
  key: RunKey;
  attempt: number;
  program: 'script' | 'command';
  nonce: string;
}

export function writeLabels(labels: RunLabels): Record<string, string> {
  return {
    [LABEL.grid]: labels.gridId,
    [LABEL.node]: labels.key.nodeId,
    [LABEL.incarnation]: labels.key.incarnation,
    [LABEL.task]: labels.key.taskId,
    [LABEL.epoch]: String(labels.key.epoch),
    [LABEL.attempt]: String(labels.attempt),
    [LABEL.program]: labels.program,
    [LABEL.nonce]: labels.nonce,
  };
}

/** @returns null when a label is missing or is not one that `writeLabels` could have written. */
export function readLabels(labels: Readonly<Record<string, string>>): RunLabels | null {
  const gridId = labels[LABEL.grid] ?? '';
  const nodeId = labels[LABEL.node] ?? '';
  const taskId = labels[LABEL.task] ?? '';
  const incarnation = labels[LABEL.incarnation] ?? '';
  const program = labels[LABEL.program];
  const nonce = labels[LABEL.nonce] ?? '';
  const epoch = naturalNumber(labels[LABEL.epoch]);
  const attempt = naturalNumber(labels[LABEL.attempt]);
  if (gridId === '' || !isNodeId(nodeId) || !isTaskId(taskId)) return null;
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(incarnation) || !/^[0-9a-f]{8,64}$/.test(nonce)) return null;
  if (epoch === null || attempt === null || (program !== 'script' && program !== 'command')) return null;
  return { gridId, key: { taskId, nodeId, incarnation, epoch }, attempt, program, nonce };
}

function naturalNumber(text: string | undefined): number | null {
  if (text === undefined || !/^(0|[1-9][0-9]{0,14})$/.test(text)) return null;
  return Number(text);
}
