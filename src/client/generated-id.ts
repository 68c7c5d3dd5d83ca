/** Ids for tasks that were given none. */
import type { Clock, RandomHex } from '../runtime.ts';
import { type TaskId, taskId } from '../task/id.ts';

const TIME_DIGITS = 9;
const RANDOM_BYTES = 4;

/**
 * Sorts by the time of its making, because among tasks of one priority the order of their ids decides who goes first.
 * Nine digits of base 36 hold the milliseconds until the year 5188.
 */
export function generateTaskId(clock: Clock, randomHex: RandomHex): TaskId {
  return taskId(`t${clock.wallMs().toString(36).padStart(TIME_DIGITS, '0')}-${randomHex(RANDOM_BYTES)}`);
}
