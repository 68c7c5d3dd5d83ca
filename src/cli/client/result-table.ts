/** Results of several tasks as a table, or as a document. */
import type { FoundResult } from '../../ledger/results.ts';
import type { TaskId } from '../../task/id.ts';
import { duration } from '../figures.ts';
import type { Output, Style } from '../output.ts';
import type { Cell } from '../table.ts';

export interface ResultRow {
  task_id: TaskId;
  /** `unreadable`: there is a result, which this version cannot read. */
  status: 'success' | 'failed' | 'unreadable';
  reason: string | null;
  message: string;
  exit_code: number | null;
  attempt: number | null;
  node_id: string | null;
  run_ms: number | null;
  /** False while the result is not on the branch yet. */
  recorded: boolean;
  /** For people: the first line that the task wrote, or the message. */
  first_line: string;
}

export function resultRow(id: TaskId, result: FoundResult): ResultRow {
  const { recorded } = result;
  if (!result.ok) {
    const facts = { reason: null, exit_code: null, attempt: null, node_id: null, run_ms: null };
    const { problem } = result;
    return { task_id: id, status: 'unreadable', ...facts, message: problem, recorded, first_line: problem };
  }
  const { record } = result;
  return {
    task_id: id,
    status: record.status,
    reason: record.reason,
    message: record.message,
    exit_code: record.exit_code,
    attempt: record.attempt,
    node_id: record.node_id,
    run_ms: record.timings_ms.run,
    recorded,
    first_line: firstLine(record.stdout) ?? firstLine(record.stderr) ?? record.message,
  };
}

export function printResults(output: Output, rows: readonly ResultRow[]): void {
  output.table(
    [
      { title: 'TASK', shrinks: true },
      { title: 'STATUS' },
      { title: 'REASON' },
      { title: 'EXIT', align: 'right' },
      { title: 'TRY', align: 'right' },
      { title: 'RUN', align: 'right' },
      { title: 'OUTPUT', shrinks: true },
    ],
    rows.map((row) => [
      row.task_id,
      statusCell(output, row.status),
      row.reason ?? '',
      row.exit_code === null ? '–' : String(row.exit_code),
      row.attempt === null ? '–' : String(row.attempt),
      row.run_ms === null ? '–' : duration(row.run_ms),
      row.first_line,
    ]),
  );
}

export function statusCell(output: Output, status: string): Cell {
  const styles: Readonly<Record<string, Style>> = { success: 'green', failed: 'red', unreadable: 'red' };
  const style = styles[status] ?? 'yellow';
  return { text: status, paint: (text) => output.style(style, text) };
}

function firstLine(text: string): string | null {
  return text.split('\n').find((line) => line.trim() !== '') ?? null;
}
