/** Waiting for tasks on the command line: progress, results, exit code. */
import type { GridClient } from '../../client/grid-client.ts';
import { waitForTasks } from '../../client/wait.ts';
import { readResults } from '../../ledger/results.ts';
import type { TaskId } from '../../task/id.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import { counted } from '../figures.ts';
import type { Output } from '../output.ts';
import type { Cli } from '../program.ts';
import { printResults, type ResultRow, resultRow } from './result-table.ts';
import { unknownTasks } from './task-ids.ts';
import { WaitProgress } from './wait-progress.ts';

const SHOWN_OPEN = 5;

/**
 * Resolves with the results once all have one, after printing them; null when it was interrupted. Sets exit code 3 when
 * one of them failed. @throws Failure
 */
export async function waitFor(
  client: GridClient,
  cli: Cli,
  output: Output,
  ids: readonly TaskId[],
  options: { timeoutMs: number | null; unknownAfterLooks: number },
): Promise<ResultRow[] | null> {
  const bar = output.progress(ids.length);
  const progress = new WaitProgress(ids);
  const outcome = await waitForTasks(client, ids, {
    ...options,
    onLook: (done, view) => bar.update(done, progress.label(view, cli.clock.monotonicMs())),
  }).finally(() => bar.finish());
  switch (outcome.kind) {
    case 'aborted':
      return null;
    case 'unknown':
      throw unknownTasks(client, outcome.view, outcome.ids);
    case 'timeout': {
      const names = outcome.open.slice(0, SHOWN_OPEN).join(', ');
      const more = outcome.open.length > SHOWN_OPEN ? ` and ${outcome.open.length - SHOWN_OPEN} more` : '';
      throw new Failure(
        'failed',
        `${counted(outcome.open.length, 'task has', 'tasks have')} no result yet: ${names}${more}`,
      );
    }
    case 'done': {
      const results = await readResults(client, outcome.view, ids);
      const rows = ids.flatMap((id) => {
        const result = results.get(id);
        return result ? [resultRow(id, result)] : [];
      });
      printResults(output, rows);
      if (rows.some(({ status }) => status !== 'success')) cli.setExitCode(EXIT.taskFailed);
      return rows;
    }
  }
}
