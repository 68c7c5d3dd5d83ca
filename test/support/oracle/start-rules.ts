/** Starts of tasks, against the claims that stood. */
import { taskRef } from '../../../src/ledger/names.ts';
import type { Examination } from './check.ts';
import { claimKey } from './grid-model.ts';

export function checkStarts({ history, model, report, toleranceMs }: Examination): void {
  const seen = new Set<string>();
  for (const start of history.starts) {
    const ref = taskRef(history.namespace, start.taskId);
    const key = claimKey(start);
    const what = `started by ${start.node} (${start.incarnation}) at ${start.timeMs} under epoch ${start.epoch}`;
    // An epoch is one claim, whichever incarnation it has been handed down to.
    const epoch = `${start.taskId} ${start.epoch}`;
    if (seen.has(epoch)) report('start', ref, `${what}, a second time`);
    seen.add(epoch);
    const claims = model.claims.get(key) ?? [];
    const won = claims.filter(({ sinceMs }) => sinceMs <= start.timeMs + toleranceMs);
    const claim = won.at(-1);
    if (!claim) {
      report('start', ref, claims.length > 0 ? `${what}, before the claim had won` : `${what} without a claim`);
      continue;
    }
    if (claim.state.attempt !== start.attempt) {
      report('start', ref, `${what} as attempt ${start.attempt}, claimed as attempt ${claim.state.attempt}`);
    }
    if (claim.afterRecord) report('start', ref, `${what}, although the task had its record before it was claimed`);
  }
}
