/** The oracle's word, as an assertion: everything that ever happened to a grid was right, and everything is done. */
import { expectNoViolations } from './broken-rule.ts';
import { judge } from './oracle/judge.ts';
import type { ServerHistory } from './oracle/server-history.ts';
import { WorkerHistory } from './oracle/worker-history.ts';
import type { WorkerProcess } from './worker-process.ts';

/**
 * To be asked when nobody pushes any more. The workers log at the level `debug`; those that were killed count too.
 * @throws BrokenRuleError that names what is wrong
 */
export async function mustBeRight(history: ServerHistory, workers: readonly WorkerProcess[]): Promise<void> {
  const said = new WorkerHistory();
  for (const worker of workers) said.take(worker.name, worker.log);
  const { violations } = await judge(history, said, { settled: true });
  expectNoViolations(violations);
}
