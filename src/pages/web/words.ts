/** The words that stand in documents, with what they mean to people. */
import type { NodeRow, TaskRow } from '../model.ts';

export type RowState = TaskRow['state'];
export type NodeState = NodeRow['state'];

export const ROW_STATES: readonly RowState[] = ['running', 'waiting', 'queued', 'finished', 'recorded', 'unreadable'];
export const STATUSES = ['success', 'failed'] as const;
export const PRIORITIES = ['critical', 'high', 'medium', 'low'] as const;

/** What a mark looks like; the text beside it says the same, so that nothing hangs on colour. */
export type Tone = 'good' | 'bad' | 'warn' | 'busy' | 'calm';

export interface Word {
  text: string;
  tone: Tone;
  sign: string;
}

const ROW_WORDS: Readonly<Record<RowState, Word>> = {
  queued: { text: 'queued', tone: 'calm', sign: '○' },
  waiting: { text: 'waiting', tone: 'warn', sign: '◔' },
  running: { text: 'running', tone: 'busy', sign: '▶' },
  finished: { text: 'finished', tone: 'calm', sign: '●' },
  recorded: { text: 'recorded', tone: 'calm', sign: '●' },
  unreadable: { text: 'unreadable', tone: 'bad', sign: '?' },
};

const NODE_WORDS: Readonly<Record<NodeState, Word>> = {
  alive: { text: 'alive', tone: 'good', sign: '●' },
  stopped: { text: 'stopped', tone: 'calm', sign: '■' },
  fenced: { text: 'declared dead', tone: 'bad', sign: '✕' },
  silent: { text: 'silent', tone: 'warn', sign: '◌' },
  unreadable: { text: 'unreadable', tone: 'bad', sign: '?' },
};

/** A row in one word: how it ended, or where it stands. */
export function wordOf(row: Pick<TaskRow, 'state' | 'status'>): Word {
  if (row.status === 'success') return { text: 'success', tone: 'good', sign: '✓' };
  if (row.status === 'failed') return { text: 'failed', tone: 'bad', sign: '✕' };
  return ROW_WORDS[row.state] ?? { text: row.state, tone: 'calm', sign: '•' };
}

export function nodeWord(node: NodeRow): Word {
  if (node.state === 'alive' && node.paused.length > 0) return { text: 'alive, paused', tone: 'warn', sign: '‖' };
  return NODE_WORDS[node.state] ?? { text: node.state, tone: 'calm', sign: '•' };
}

const MEANINGS: ReadonlyMap<string, string> = new Map([
  ['exit-code', 'It ended with another exit code than 0, or its program could not be started.'],
  ['timeout', 'It was stopped: its time limit had passed.'],
  ['out-of-memory', 'A process of it was killed at the memory limit.'],
  ['cancelled', 'Somebody cancelled it, or took its file out of the queue.'],
  ['invalid-task', 'Its file is no task that can be run. Mend it and queue it under a new id.'],
  ['rejected', 'It asks for more than the operator of the node allows.'],
  ['image-unavailable', 'Its image could not be had from the registry.'],
  ['lost', 'It was given up: its nodes died with it, or its outcome was lost, too often.'],
  ['retry', 'It ended with an exit code other than 0 and will be tried again.'],
  ['handed-back', 'A worker that stopped, or could not start it, gave it back to the queue.'],
  ['draining', 'The worker is stopping.'],
  ['hours', 'It is outside of the hours in which the machine may work.'],
  ['engine', 'The container engine does not answer, or starts nothing.'],
  ['limits', 'The container engine cannot limit what tasks use.'],
  ['rate', 'The starts of this hour are used up.'],
  ['cpu', 'More of the processors is in use than the worker may add to.'],
  ['memory', 'More memory is in use than the worker may add to.'],
  ['disk', 'A disk that it needs is too full.'],
  ['load', 'The load of the machine is too high.'],
  ['cpu-pressure', 'Processes wait too long for a processor.'],
  ['memory-pressure', 'Processes wait too long for memory.'],
  ['io-pressure', 'Processes wait too long for a disk.'],
  ['state', 'The state directory cannot be written.'],
  ['signing', 'Signatures cannot be checked.'],
  ['registration', 'The node was declared dead and registers again.'],
]);

/** null: a word that this page does not know. */
export function meaningOf(reason: string | null): string | null {
  return reason === null ? null : (MEANINGS.get(reason) ?? null);
}

export const PHASE_NAMES: Readonly<Record<string, string>> = {
  claim: 'Claim',
  pull: 'Pull the image',
  start: 'Start the container',
  run: 'Run',
  collect: 'Collect the output',
};
