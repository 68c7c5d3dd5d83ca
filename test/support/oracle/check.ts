/**
 * The oracle: says what is wrong with a history. Rules, by the name that a violation carries:
 *
 * - `chain`: each ref moves from where it was.
 * - `state`: what a task's or node's ref holds can be read; its parent is the state before it.
 * - `move`: only moves that the lifecycle allows, with the counts that go with them.
 * - `delay`: a waiting task is not claimed before its delay is over.
 * - `won`, `lost`, `refused`: what a worker concluded of a swap is what happened.
 * - `one-result`: at most one finished state is accepted for a task, at most one record comes of it.
 * - `record-fixed`: a record never changes nor goes by a worker's hand.
 * - `queue-file`: a worker takes a task file out only together with its record, and only the version that was pinned.
 * - `record`: a record is the one of a finished state in the ref of a task that was queued.
 * - `branch`: a worker's commit stands on the tip, and changes nothing else.
 * - `deletion`: a task's ref goes only when the task has its record.
 * - `takeover`: a claim is taken, or settled by others, only when its owner could be taken for gone.
 * - `fencing`: a node is declared dead only after it was silent for its time-to-live.
 * - `node`: a node's own states follow each other as they should, and no incarnation comes back.
 * - `start`: a task is started at most once for each claim, and only on a claim that had won.
 * - `output`: live output is of a claim that stood, and never takes the place of a later claim's.
 * - `unique`: no state object is ever used twice.
 * - `settled`: nothing is left to do.
 */
import type { RefName } from '../../../src/git/oid.ts';
import { parseLedgerRef, taskOfOutputRef } from '../../../src/ledger/names.ts';
import { checkBranchChange, isWorkersCommit } from './branch-rules.ts';
import { type Figures, figuresOf } from './figures.ts';
import { GridModel } from './grid-model.ts';
import type { History } from './history.ts';
import { checkNodeChange } from './node-rules.ts';
import { ObjectReader, type OracleCommit } from './object-reader.ts';
import { checkOutputChange } from './output-rules.ts';
import { checkSettled } from './settled-rule.ts';
import { checkStarts } from './start-rules.ts';
import { checkSwaps } from './swap-rules.ts';
import { checkTaskChange } from './task-rules.ts';

export interface Violation {
  rule: string;
  ref: RefName | null;
  message: string;
}

export interface CheckOptions {
  /** Everything queued must be recorded, and nothing may be left. */
  settled?: boolean;
  /** How far the times of a history may be from each other, and how long a listing of the refs may take. */
  clockToleranceMs?: number;
  /** By which fraction a node's clock may run faster than real time. */
  clockDrift?: number;
  /** Everything else is a person's doing. */
  isWorkersCommit?: (commit: OracleCommit) => boolean;
  /** The host answered readings from copies that lag behind, so what was concluded from one may be wrong. */
  lateReadings?: boolean;
}

/** What the rules work with. */
export interface Examination {
  history: History;
  model: GridModel;
  reader: ObjectReader;
  toleranceMs: number;
  drift: number;
  isWorkersCommit: (commit: OracleCommit) => boolean;
  lateReadings: boolean;
  report: (rule: string, ref: RefName | null, message: string) => void;
}

export function checkHistory(history: History, options: CheckOptions = {}): Violation[] {
  return examineHistory(history, options).violations;
}

export function examineHistory(
  history: History,
  options: CheckOptions = {},
): { violations: Violation[]; figures: Figures } {
  const violations: Violation[] = [];
  const toleranceMs = options.clockToleranceMs ?? 0;
  const examination: Examination = {
    history,
    model: new GridModel(toleranceMs),
    reader: new ObjectReader(history),
    toleranceMs,
    drift: options.clockDrift ?? 0,
    isWorkersCommit: options.isWorkersCommit ?? isWorkersCommit,
    lateReadings: options.lateReadings ?? false,
    report: (rule, ref, message) => violations.push({ rule, ref, message }),
  };
  replay(examination);
  checkSwaps(examination);
  checkStarts(examination);
  if (options.settled) checkSettled(examination);
  return { violations, figures: figuresOf(examination) };
}

function replay({ history, model, report, ...rest }: Examination): void {
  const examination = { history, model, report, ...rest };
  const used = new Map<string, RefName>();
  /** Refs whose present state such a late copy has brought. */
  const echoing = new Set<RefName>();
  for (const change of history.changes) {
    const { ref, from, to } = change;
    const held = model.refs.get(ref) ?? null;
    if (held !== from) report('chain', ref, `moved from ${from} to ${to}, but held ${held}`);
    if (to === null) model.refs.delete(ref);
    else model.refs.set(ref, to);
    if (ref === history.branch) {
      checkBranchChange(examination, change);
      continue;
    }
    const outputOf = taskOfOutputRef(history.namespace, ref);
    if (outputOf !== null) checkOutputChange(examination, change, outputOf);
    const parsed = parseLedgerRef(history.namespace, ref);
    if (!parsed) continue;
    // Late copies of requests can bring the same states once more after the ref was deleted: first the one from nothing,
    // and on it those that followed. By then the task has its record, or a person has deleted the ref.
    const recorded = parsed.kind === 'task' && model.records.has(parsed.id);
    const echo = used.get(to ?? '') === ref && (from === null || recorded || echoing.has(ref));
    if (echo) echoing.add(ref);
    else echoing.delete(ref);
    if (to !== null && used.has(to) && !echo) report('unique', ref, `${to} was used before`);
    if (to !== null) used.set(to, ref);
    if (parsed.kind === 'task') checkTaskChange(examination, change, parsed.id);
    else checkNodeChange(examination, change, parsed.id);
  }
}
