/** One move of one node's ref. */
import type { NodeState } from '../../../src/ledger/state-codec.ts';
import type { NodeId } from '../../../src/task/id.ts';
import type { Examination } from './check.ts';
import type { StandingNode } from './grid-model.ts';
import type { RefChange } from './history.ts';

export function checkNodeChange(examination: Examination, change: RefChange, id: NodeId): void {
  const { model, reader, report } = examination;
  const { ref, to, timeMs } = change;
  const before = model.nodes.get(id) ?? null;
  if (to === null) {
    // By a person's hand: no worker deletes a node. Its claims count as orphans from now on.
    model.setNode(id, null, timeMs);
    return;
  }
  const read = reader.node(to, id);
  if (!read.state) report('state', ref, `${to} cannot be read: ${read.problem}`);
  else {
    if (read.parents.length > 0) report('state', ref, `${to} has a parent`);
    if (before?.state) checkFollows(examination, change, { ...before, state: before.state }, read.state);
    else if (before === null && read.state.state !== 'alive') report('node', ref, `${read.state.state} from nothing`);
    // A late copy of the request that had registered it, after a person deleted the ref.
    const echo = change.from === null && model.nodeStates.has(to);
    if (!echo) checkIncarnation(examination, change, read.state);
  }
  model.nodeStates.add(to);
  model.setNode(id, { oid: to, state: read.state, sinceMs: timeMs }, timeMs);
}

function checkFollows(
  { drift, model, report, toleranceMs }: Examination,
  { ref, timeMs }: RefChange,
  before: StandingNode & { state: NodeState },
  after: NodeState,
): void {
  const { state } = before;
  const same = state.incarnation === after.incarnation;
  switch (after.state) {
    case 'alive':
      if (state.state !== 'alive' && same) report('node', ref, `alive under the incarnation that was ${state.state}`);
      if (state.state === 'alive' && state.machine !== after.machine) {
        report('node', ref, `taken by the machine ${after.machine} from ${state.machine}, which was alive`);
      }
      if (same && after.sequence <= state.sequence) {
        report('node', ref, `heartbeat ${after.sequence} after heartbeat ${state.sequence}`);
      }
      return;
    case 'stopped':
      if (state.state !== 'alive' || !same) report('node', ref, `stopped after ${state.state}`);
      return;
    case 'fenced': {
      model.fencings += 1;
      if (state.state !== 'alive' || !same) {
        report('fencing', ref, `fenced from a state that is ${state.state}, or another incarnation`);
        return;
      }
      if (after.fencedBy === null) report('fencing', ref, 'fenced by nobody');
      const silentMs = timeMs - before.sinceMs;
      if (silentMs < state.ttlMs * (1 - drift) - toleranceMs) {
        report(
          'fencing',
          ref,
          `fenced by ${after.fencedBy} after ${silentMs} ms of a time-to-live of ${state.ttlMs} ms`,
        );
      }
    }
  }
}

/** Claims belong to incarnations: one that came back could deliver what was taken from it. */
function checkIncarnation(
  { model, report }: Examination,
  { ref }: RefChange,
  { incarnation, nodeId }: NodeState,
): void {
  const earlier = model.incarnations.get(nodeId) ?? [];
  if (earlier.at(-1) === incarnation) return;
  if (earlier.includes(incarnation)) report('node', ref, `the incarnation ${incarnation} came back`);
  model.incarnations.set(nodeId, [...earlier, incarnation]);
}
