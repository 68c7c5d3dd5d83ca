/** The oracle's word on real workers around a real repository. */
import { refName } from '../../../src/git/oid.ts';
import { type CheckOptions, examineHistory, type Violation } from './check.ts';
import type { Figures } from './figures.ts';
import type { ServerHistory } from './server-history.ts';
import type { WorkerHistory } from './worker-history.ts';

/** One machine, one clock: what is left is how coarse the server's times are, and how long it takes to list the refs. */
const CLOCK_TOLERANCE_MS = 100;

/** To be asked when nobody pushes any more. */
export async function judge(
  server: ServerHistory,
  workers: WorkerHistory,
  options: CheckOptions = {},
): Promise<{ violations: Violation[]; figures: Figures }> {
  const { tries, starts } = workers;
  const history = {
    ...(await server.read()),
    branch: refName('refs/heads/main'),
    namespace: 'refs/dgrid' as const,
    tries,
    starts,
  };
  return examineHistory(history, { clockToleranceMs: CLOCK_TOLERANCE_MS, ...options });
}
