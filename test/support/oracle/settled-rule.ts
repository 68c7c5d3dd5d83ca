/** A grid that came to rest: everything that was queued has its record, and nothing is left in the refs. */
import { taskRef } from '../../../src/ledger/names.ts';
import type { Examination } from './check.ts';

export function checkSettled({ history, model, report }: Examination): void {
  for (const id of model.everQueued) {
    if (model.withdrawn.has(id) || model.records.has(id)) continue;
    report('settled', taskRef(history.namespace, id), 'the task was queued and has no record');
  }
  for (const [id, { state }] of model.tasks) {
    report('settled', taskRef(history.namespace, id), `the ref is left, ${state?.state ?? 'unreadable'}`);
  }
}
