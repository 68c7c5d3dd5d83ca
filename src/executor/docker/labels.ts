/**
 * The labels that make a container ours, and that let a restarted worker find out which run it was. Whoever can reach
 * the engine can set labels, so they are parsed strictly.
 */
import { isNodeId, isTaskId, type NodeId } from '../../task/id.ts';
import type { RunEnd, RunKey } from '../executor.ts';
import { parseImageName } from './image-name.ts';

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
  /** What the record is to say of the image: its name by then, and its digest. */
  image: 'io.dgrid.image',
  digest: 'io.dgrid.digest',
  /** `yes` in the place of all that names a run: made before there was a task for it. Labels can't be changed later. */
  warm: 'io.dgrid.warm',
} as const;

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const NONCE = /^[0-9a-f]{8,64}$/;
const INCARNATION = /^[A-Za-z0-9_-]{1,128}$/;

export interface RunLabels {
  gridId: string;
  key: RunKey;
  attempt: number;
  program: 'script' | 'command';
  nonce: string;
  /** Left out by versions that did not write it down. */
  image?: RunEnd['image'];
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
    ...(labels.image ? { [LABEL.image]: labels.image.name } : {}),
    ...(labels.image?.digest ? { [LABEL.digest]: labels.image.digest } : {}),
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
  if (!INCARNATION.test(incarnation) || !NONCE.test(nonce)) return null;
  if (labels[LABEL.warm] !== undefined) return null;
  if (epoch === null || attempt === null || (program !== 'script' && program !== 'command')) return null;
  const image = readImage(labels[LABEL.image], labels[LABEL.digest]);
  return { gridId, key: { taskId, nodeId, incarnation, epoch }, attempt, program, nonce, ...(image ? { image } : {}) };
}

function readImage(name: string | undefined, digest: string | undefined): RunEnd['image'] | null {
  if (name === undefined || parseImageName(name) === null) return null;
  return { name, digest: digest !== undefined && DIGEST.test(digest) ? digest : null };
}

export interface WarmLabels {
  gridId: string;
  nodeId: NodeId;
  nonce: string;
}

export function writeWarmLabels(labels: WarmLabels): Record<string, string> {
  return {
    [LABEL.grid]: labels.gridId,
    [LABEL.node]: labels.nodeId,
    [LABEL.warm]: 'yes',
    [LABEL.nonce]: labels.nonce,
  };
}

/** @returns null unless the labels are ones that `writeWarmLabels` could have written. */
export function readWarmLabels(labels: Readonly<Record<string, string>>): WarmLabels | null {
  const gridId = labels[LABEL.grid] ?? '';
  const nodeId = labels[LABEL.node] ?? '';
  const nonce = labels[LABEL.nonce] ?? '';
  if (labels[LABEL.warm] !== 'yes' || gridId === '' || !isNodeId(nodeId) || !NONCE.test(nonce)) return null;
  // Nothing that could be taken for a run.
  if (labels[LABEL.task] !== undefined || labels[LABEL.epoch] !== undefined) return null;
  return { gridId, nodeId, nonce };
}

function naturalNumber(text: string | undefined): number | null {
  if (text === undefined || !/^(0|[1-9][0-9]{0,14})$/.test(text)) return null;
  return Number(text);
}
