/**
 * The life of a task as data.
 *
 *     absent ──claim──▶ claimed ──finish──▶ finished ──(recorded on the branch)──▶ deleted
 *                         │  ▲ └─take-over / adoption (claimed again)
 *                   yield ▼  │ claim
 *                       waiting
 *     absent | claimed | waiting ──finish (cancelled, invalid)──▶ finished
 *
 * Every move is one compare-and-swap of one ref. `finished` never changes: it can only be deleted, and only once its
 * record stands on the branch.
 */
export const TASK_STATES = ['claimed', 'waiting', 'finished'] as const;
export type TaskStateName = (typeof TASK_STATES)[number];

/** From each state (or none), the states that one swap may lead to; `null` is the deletion of the ref. */
export const LEGAL_MOVES: Readonly<Record<TaskStateName | 'absent', readonly (TaskStateName | null)[]>> = {
  absent: ['claimed', 'finished'],
  claimed: ['claimed', 'waiting', 'finished', null],
  waiting: ['claimed', 'finished', null],
  finished: [null],
};

export function isLegalMove(from: TaskStateName | 'absent', to: TaskStateName | null): boolean {
  return LEGAL_MOVES[from].includes(to);
}

/** Why a task waits: `retry` after an exit code ≠ 0, `handed-back` by a worker that stops or could not start it. */
export const WAIT_REASONS = ['retry', 'handed-back'] as const;
export type WaitReason = (typeof WAIT_REASONS)[number];
