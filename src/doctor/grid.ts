/** The grid as this worker would meet it: who else has its id, what the queue holds that cannot run, which versions there are. */

import { GridClient } from '../client/grid-client.ts';
import { GridSummaries, type GridSummary, type NodeSummary } from '../client/grid-summary.ts';
import { knownMachineId } from '../host/machine-id.ts';
import type { Namespace } from '../ledger/names.ts';
import type { Retry } from '../ledger/publisher.ts';
import { systemRandomHex } from '../runtime.ts';
import { type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

const SHOWN_PROBLEMS = 3;
/** A look that failed is told as it is. */
const once: Retry = (_operation, attempt) => attempt(1);

export interface GridFound {
  summary: GridSummary;
  /** Which machine speaks under this node's id; null: none. */
  ownMachine: string | null;
}

/** @throws GitError */
export async function readGrid(
  { settings, repository, clock, emit }: Pick<DoctorParts, 'settings' | 'repository' | 'clock' | 'emit'>,
  namespace: Namespace,
  signal: AbortSignal,
): Promise<GridFound> {
  const { git, maxTaskBytes, nodeId } = settings;
  const client = new GridClient({
    repository,
    namespace,
    branch: git.branch,
    user: { name: git.userName, email: git.userEmail },
    retry: once,
    clock,
    randomHex: systemRandomHex,
    emit,
    signal,
  });
  const view = await client.refresh({ nodes: 'all' });
  const own = view.nodes.get(nodeId)?.state;
  const ownMachine = own?.kind === 'state' && own.state.state === 'alive' ? own.state.machine : null;
  return { summary: await new GridSummaries(client, { maxTaskBytes }).of(view), ownMachine };
}

export async function checkGrid(parts: DoctorParts, namespace: Namespace, signal: AbortSignal): Promise<CheckResult[]> {
  const { settings, version } = parts;
  try {
    const { summary, ownMachine } = await readGrid(parts, namespace, signal);
    return [
      judgeOwnId(settings.nodeId, ownMachine, await knownMachineId(settings.stateDir)),
      judgeQueue(summary),
      judgeVersions(summary.nodes, version),
    ];
  } catch (error) {
    return [warning('queue', `the grid cannot be read: ${messageOf(error)}`, 'see "repository"')];
  }
}

/** Pure. @param held by which machine; @param own id of this machine, if it has one already */
export function judgeOwnId(nodeId: string, held: string | null, own: string | null): CheckResult {
  const check = 'own id';
  if (held === null) return ok(check, `nobody is on duty as ${nodeId}`);
  if (held === own) return ok(check, `${nodeId} is on duty, from this machine and state directory`);
  const finding = `${nodeId} is on duty from another machine or state directory`;
  return warning(
    check,
    finding,
    'set a NODE_ID of its own here, or stop the other worker; after a move wait for its NODE_TTL',
  );
}

/** Pure. */
export function judgeQueue({ queue, waiting, in_work, problems }: GridSummary): CheckResult {
  const check = 'queue';
  const finding = `${queue.pending} queued, ${waiting.length} wait for another try, ${in_work.length} in work`;
  const invalid = queue.invalid === 0 ? [] : [`${queue.invalid} are no valid tasks`];
  const bad = [...invalid, ...problems.slice(0, SHOWN_PROBLEMS).map(({ path, problem }) => `${path}: ${problem}`)];
  if (bad.length === 0) return ok(check, finding);
  const more = problems.length > SHOWN_PROBLEMS ? `; and ${problems.length - SHOWN_PROBLEMS} more` : '';
  return warning(check, `${finding}; ${bad.join('; ')}${more}`, 'see "dgrid status" for all of them');
}

/** Pure. */
export function judgeVersions(nodes: readonly NodeSummary[], own: string): CheckResult {
  const check = 'versions';
  const alive = nodes.filter(({ state }) => state === 'alive');
  const versions = new Map<string, string[]>();
  for (const { node_id: id, version } of alive) {
    const known = version ?? 'unknown';
    versions.set(known, [...(versions.get(known) ?? []), id]);
  }
  const sorted = [...versions].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  const shown = sorted.map(([version, ids]) => `${version} (${ids.length})`).join(', ');
  const finding = `this is ${own}; on duty, the oldest first: ${shown || 'nobody'}`;
  const majorOf = (version: string): string => version.split('.', 1)[0] ?? '';
  const strange = sorted.filter(([version]) => version !== 'unknown' && majorOf(version) !== majorOf(own));
  if (strange.length === 0) return ok(check, finding);
  const ids = strange
    .flatMap(([, those]) => those)
    .slice(0, SHOWN_PROBLEMS)
    .join(', ');
  return warning(check, finding, `bring all nodes to one major version: ${ids} have another one`);
}
