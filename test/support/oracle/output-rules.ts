/** One move of one task's output ref. Anybody may delete it: nothing is lost with it. */
import type { TaskId } from '../../../src/task/id.ts';
import type { Examination } from './check.ts';
import type { RefChange } from './history.ts';

export function checkOutputChange({ model, reader, report }: Examination, change: RefChange, id: TaskId): void {
  const { from, ref, to } = change;
  if (to === null) return;
  const { parents, problem, state } = reader.output(to, id);
  if (state === null) {
    report('output', ref, `${to} cannot be read: ${problem}`);
    return;
  }
  if (parents.length > 0) report('output', ref, `${to} has a parent`);
  const stood = [...model.claims.values()].some((claims) =>
    claims.some((claim) => {
      const { epoch, nodeId, taskId } = claim.state;
      return taskId === id && epoch === state.epoch && nodeId === state.nodeId;
    }),
  );
  if (!stood) report('output', ref, `${to} is of epoch ${state.epoch} of ${state.nodeId}, which never had that claim`);
  const before = from === null ? null : reader.output(from, id).state;
  if (before !== null && before.epoch > state.epoch) {
    report('output', ref, `${to} of epoch ${state.epoch} took the place of one of epoch ${before.epoch}`);
  }
}
