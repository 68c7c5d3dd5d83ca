/** The state of the grid for people. */
import {
  byPriority,
  type GridSummary,
  type InWork,
  type NodeSummary,
  type Refusal,
} from '../../client/grid-summary.ts';
import type { Sightings } from '../../ledger/sightings.ts';
import { printable } from '../display-width.ts';
import { counted, duration } from '../figures.ts';
import type { Output, Style } from '../output.ts';
import type { Cell } from '../table.ts';

const MAX_SHOWN_TASKS = 20;
const MAX_SHOWN_PROBLEMS = 20;
const MAX_SHOWN_REFUSALS = 20;
const SHOWN_COMMIT_DIGITS = 10;

/** What only a client knows that keeps watching. */
export interface Watched {
  sightings: Sightings;
  nowMs: number;
}

const NODE_STYLES: Readonly<Record<NodeSummary['state'], Style>> = {
  alive: 'green',
  stopped: 'dim',
  fenced: 'red',
  unreadable: 'yellow',
};

export function statusLines(
  output: Output,
  repository: string,
  summary: GridSummary,
  watched: Watched | null,
): string[] {
  return [
    ...factLines(output, repository, summary, watched),
    ...taskLines(output, summary),
    ...nodeLines(output, summary.nodes, watched),
    ...refusalLines(output, summary.nodes),
    ...problemLines(output, summary),
  ];
}

function factLines(output: Output, repository: string, summary: GridSummary, watched: Watched | null): string[] {
  const { branch, commit, queue, recorded } = summary;
  const at = commit === null ? 'no commit yet' : `at ${commit.slice(0, SHOWN_COMMIT_DIGITS)}`;
  const priorities = byPriority(summary)
    .filter(([, count]) => count > 0)
    .map(([priority, count]) => `${count} ${priority}`);
  const invalid = queue.invalid > 0 ? [output.style('red', counted(queue.invalid, 'no task', 'no tasks'))] : [];
  const kinds = [...priorities, ...invalid];
  const rate = watched?.sightings.donePerMinute() ?? null;
  const facts: [string, string][] = [
    ['repository', `${printable(repository)}, branch ${branch}, ${at}`],
    ['queued', kinds.length > 0 ? `${queue.pending} (${kinds.join(', ')})` : String(queue.pending)],
    ['in work', String(summary.in_work.length)],
    ['waiting', String(summary.waiting.length)],
    ['recorded', `${recorded.completed} completed, ${recorded.failed} failed`],
  ];
  if (summary.finished_unrecorded.length > 0) {
    facts.push(['unrecorded', `${summary.finished_unrecorded.length} finished, not on the branch yet`]);
  }
  if (rate !== null) facts.push(['rate', `${rate.toFixed(1)} tasks a minute, as seen from here`]);
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${output.style('bold', name.padEnd(width))}  ${value}`);
}

function taskLines(output: Output, summary: GridSummary): string[] {
  const rows: Cell[][] = [
    ...summary.in_work.map((task) => [task.task_id, 'in work', task.node_id, String(task.attempt), remarkOf(task)]),
    ...summary.waiting.map((task) => [
      task.task_id,
      'waiting',
      '',
      String(task.attempt),
      task.reason === 'retry' ? `to be tried again, ${duration(task.delay_seconds * 1000)} apart` : 'handed back',
    ]),
    ...summary.finished_unrecorded.map((task) => [
      task.task_id,
      'finished',
      task.node_id,
      '',
      task.reason ?? task.status,
    ]),
  ];
  if (rows.length === 0) return [];
  const columns = [
    { title: 'TASK', shrinks: true },
    { title: 'STATE' },
    { title: 'NODE', shrinks: true },
    { title: 'TRY', align: 'right' as const },
    { title: 'REMARK', shrinks: true },
  ];
  const more = rows.length > MAX_SHOWN_TASKS ? [`… and ${rows.length - MAX_SHOWN_TASKS} more`] : [];
  return ['', ...output.tableLines(columns, rows.slice(0, MAX_SHOWN_TASKS)), ...more];
}

function remarkOf(task: InWork): string {
  const gone = task.owner_gone ? ['its node is gone'] : [];
  const withdrawn = task.withdrawn ? ['its file was removed from the queue'] : [];
  return [...gone, ...withdrawn].join(', ');
}

function nodeLines(output: Output, nodes: readonly NodeSummary[], watched: Watched | null): string[] {
  if (nodes.length === 0) return ['', 'No worker has ever registered here: start one with "dgrid-worker start".'];
  const columns = [
    { title: 'NODE', shrinks: true },
    { title: 'STATE' },
    { title: 'VERSION', shrinks: true },
    { title: 'LABELS', shrinks: true },
    { title: 'RUNS', align: 'right' as const },
    { title: 'PAUSED BY', shrinks: true },
    { title: 'SIGN OF LIFE', shrinks: true },
  ];
  const rows = nodes.map((node): Cell[] => [
    node.node_id,
    { text: node.state, paint: (text) => output.style(NODE_STYLES[node.state], text) },
    node.version ?? '',
    node.labels.join(','),
    node.state === 'alive' ? `${node.running.length}/${node.slots ?? '?'}` : '',
    node.state === 'alive' ? node.paused.map(({ reason }) => reason).join(',') : '',
    signOfLife(node, watched),
  ]);
  return ['', ...output.tableLines(columns, rows)];
}

/** With figures, as of each node's last sign of life. */
function refusalLines(output: Output, nodes: readonly NodeSummary[]): string[] {
  const lines = nodes
    .filter(({ state }) => state === 'alive')
    .flatMap(({ node_id: node, paused, refuses }) => [
      ...paused.map((why) => lineOf(output, node, 'paused by', why)),
      ...refuses.map((why) => lineOf(output, node, 'leaves alone, for', why)),
    ]);
  if (lines.length === 0) return [];
  const more = lines.length - MAX_SHOWN_REFUSALS;
  return ['', ...lines.slice(0, MAX_SHOWN_REFUSALS), ...(more > 0 ? [`… and ${more} more`] : [])];
}

function lineOf(output: Output, node: string, what: string, { reason, text }: Refusal): string {
  return `${printable(node)} ${what} ${output.style('yellow', printable(reason))}: ${printable(text)}`;
}

function signOfLife(node: NodeSummary, watched: Watched | null): string {
  if (node.state === 'fenced') return `declared dead by ${node.fenced_by ?? 'another node'}`;
  const beat = watched && node.state === 'alive' ? watched.sightings.beatOf(node.node_id, watched.nowMs) : null;
  if (beat?.seen) return `seen ${duration(beat.agoMs)} ago`;
  if (beat)
    return `none for ${duration(beat.agoMs)} of watching, is due every ${node.heartbeat_interval_seconds ?? '?'} s`;
  return node.last_beat_by_its_clock === null
    ? ''
    : `${node.last_beat_by_its_clock.replace('.000Z', 'Z')} by its clock`;
}

function problemLines(output: Output, { problems }: GridSummary): string[] {
  if (problems.length === 0) return [];
  const shown = problems.slice(0, MAX_SHOWN_PROBLEMS);
  const more = problems.length - shown.length;
  return [
    '',
    output.style('bold', 'To be mended by a person:'),
    ...shown.map(({ path, problem }) => `  ${output.style('yellow', printable(path))}: ${printable(problem)}`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
  ];
}
