/** `dgrid show`: all that is known of one task. */
import type { Command } from 'commander';
import type { GridClient } from '../../client/grid-client.ts';
import { type ResultVerdict, verifyResult } from '../../client/verify-result.ts';
import type { ClientSettings } from '../../config/settings.ts';
import type { Oid } from '../../git/oid.ts';
import type { GridView } from '../../ledger/grid-view.ts';
import { type FoundResult, readResults } from '../../ledger/results.ts';
import { standingOf, type TaskStanding } from '../../ledger/task-standing.ts';
import { SigningError } from '../../signing/ssh-keygen.ts';
import type { TaskId } from '../../task/id.ts';
import type { ResultRecord } from '../../task/result.ts';
import { type ParsedTask, parseTaskFile } from '../../task/spec.ts';
import { LONGEST_TIMEOUT_SECONDS } from '../../task/task-schema.ts';
import { printable } from '../display-width.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import { duration } from '../figures.ts';
import type { Output } from '../output.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { statusCell } from './result-table.ts';
import { refuseUnknown, taskIds } from './task-ids.ts';
import { withClient } from './with-client.ts';

const MAX_SHOWN_LINES = 20;

export function addShowCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'show <id>',
    summary: 'show one task',
    description:
      'Shows where a task stands, its result with all timings when it has one, and the beginning of its output.\n' +
      '"dgrid logs" prints the whole output.',
    examples: ['dgrid show build-42', 'dgrid show build-42 --json', 'dgrid show build-42 --verify'],
    settings: 'client',
  });
  command.option('--verify', 'check the signature of its result by TRUSTED_KEYS_FILE; exit with 1 when it is not good');
  command.action(async (given: string) => {
    const output = outputOf(command, cli);
    const [id] = taskIds([given]) as [TaskId];
    await withClient(command, cli, output, async (client, settings) => {
      const { maxTaskBytes } = settings;
      const view = await client.refresh();
      refuseUnknown(client, view, [id]);
      const standing = standingOf(view, id);
      const result = (await readResults(client, view, [id])).get(id) ?? null;
      const task = result ? null : await readTask(client, view, id, standing, maxTaskBytes);
      const verdict = command.opts()['verify'] === true ? await verify(client, view, result, settings) : null;
      if (verdict?.ok === false) cli.setExitCode(EXIT.failed);
      const signature =
        verdict && (verdict.ok ? { good: true, signer: verdict.signer } : { good: false, problem: verdict.problem });
      output.document({ ...documentOf(id, view, standing, result, task), ...(signature ? { signature } : {}) });
      printTask(output, id, view, standing, result, task);
      if (!verdict) return;
      const said = verdict.ok ? `signature good, by ${verdict.signer}` : `signature NOT good: ${verdict.problem}`;
      output.line();
      output.line(printable(said));
    });
  });
}

/** @throws Failure when there is nothing to verify, or nothing to verify it by. */
async function verify(
  client: GridClient,
  view: GridView,
  result: FoundResult | null,
  { trustedKeysFile, revokedKeysFile }: ClientSettings,
): Promise<ResultVerdict> {
  if (trustedKeysFile === null) {
    throw new Failure(
      'usage',
      '--verify needs the keys of the nodes: name their file as TRUSTED_KEYS_FILE ("dgrid keys trust" makes one)',
    );
  }
  if (result === null) throw new Failure('failed', 'the task has no result yet: there is nothing to verify');
  if (!result.ok) return { ok: false, problem: result.problem };
  try {
    return await verifyResult(client, view, result, { trustedKeysFile, revokedKeysFile });
  } catch (error) {
    if (error instanceof SigningError) throw new Failure('failed', error.message, { cause: error.cause });
    throw error;
  }
}

/** The task file of a task without a result; null when it is not there or not readable. */
export async function readTask(
  client: GridClient,
  view: GridView,
  id: TaskId,
  standing: TaskStanding,
  maxTaskBytes: number,
): Promise<ParsedTask | null> {
  const blob: Oid | undefined =
    view.queue.files.get(id)?.blob ?? ('state' in standing ? standing.state.specBlob : undefined);
  if (!blob) return null;
  const found = (await client.repository.readBlobs([blob], maxTaskBytes, client.signal)).get(blob);
  if (!found) return null;
  if (found.kind === 'too-large') {
    const problem = `the file has ${found.bytes} bytes; at most ${maxTaskBytes} are allowed (MAX_TASK_BYTES)`;
    return { ok: false, problems: [problem], raw: null };
  }
  return parseTaskFile(found.content, id, { maxTaskBytes, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS });
}

export function documentOf(
  id: TaskId,
  view: GridView,
  standing: TaskStanding,
  result: FoundResult | null,
  task: ParsedTask | null,
): Record<string, unknown> {
  const state = 'state' in standing ? standing.state : null;
  return {
    task_id: id,
    state: standing.kind,
    path: standing.kind === 'recorded' ? standing.path : (view.queue.files.get(id)?.path ?? null),
    node_id: state?.nodeId ?? (result?.ok ? result.record.node_id : null),
    attempt: state?.attempt ?? (result?.ok ? result.record.attempt : null),
    epoch: state?.epoch ?? null,
    owner_gone: standing.kind === 'claimed' ? standing.ownerGone : null,
    wait:
      standing.kind === 'waiting'
        ? { reason: standing.state.waitReason, delay_seconds: standing.state.delayMs / 1000 }
        : null,
    task: task?.raw ?? (result?.ok ? result.record.task : null),
    problems: [
      ...(task && !task.ok ? task.problems : []),
      ...(standing.kind === 'unreadable' ? [standing.problem] : []),
      ...(result && !result.ok ? [result.problem] : []),
    ],
    result: result?.ok ? result.record : null,
  };
}

export function printTask(
  output: Output,
  id: TaskId,
  view: GridView,
  standing: TaskStanding,
  result: FoundResult | null,
  task: ParsedTask | null,
): void {
  const facts = taskFacts(id, view, standing, result, task);
  const width = Math.max(...facts.map(([name]) => name.length));
  for (const [name, value] of facts) {
    if (value !== null) output.line(`${output.style('bold', name.padEnd(width))}  ${colour(output, name, value)}`);
  }
  if (result?.ok) {
    printStream(output, 'stdout', result.record.stdout, result.record.stdout_bytes);
    printStream(output, 'stderr', result.record.stderr, result.record.stderr_bytes);
  }
}

/** What is known of a task, in the order of its life; null for what is not. */
export function taskFacts(
  id: TaskId,
  view: GridView,
  standing: TaskStanding,
  result: FoundResult | null,
  task: ParsedTask | null,
): [string, string | null][] {
  const facts: [string, string | null][] = [['task', id], ...standingFacts(standing)];
  const file = view.queue.files.get(id);
  if (file) facts.push(['file', file.path]);
  if (task?.ok) {
    facts.push(['priority', task.spec.priority], ['time limit', duration(task.spec.timeoutMs)]);
    if (task.spec.requires.length > 0) facts.push(['requires', task.spec.requires.join(', ')]);
  } else if (task) facts.push(['problems', task.problems.join('; ')]);
  if (result && !result.ok) facts.push(['problem', result.problem]);
  if (result?.ok) facts.push(...recordFacts(result.record));
  return facts;
}

function colour(output: Output, name: string, value: string): string {
  const text = printable(value);
  if (name !== 'status') return text;
  const cell = statusCell(output, text);
  return typeof cell === 'string' ? cell : cell.paint(cell.text);
}

function standingFacts(standing: TaskStanding): [string, string | null][] {
  switch (standing.kind) {
    case 'recorded':
      return [
        ['state', 'finished'],
        ['record', standing.path],
      ];
    case 'finished':
      return [['state', 'finished, not on the branch yet']];
    case 'claimed':
      return [
        ['state', standing.ownerGone ? 'its node is gone, another one will take it over' : 'in work'],
        ['node', standing.state.nodeId],
        ['attempt', String(standing.state.attempt)],
      ];
    case 'waiting': {
      const { waitReason, delayMs, attempt } = standing.state;
      const why = waitReason === 'retry' ? 'waits to be tried again' : 'handed back, waits for a node';
      return [
        ['state', why],
        ['delay', delayMs > 0 ? duration(delayMs) : null],
        ['attempts', String(attempt)],
      ];
    }
    case 'queued':
      return [['state', 'queued']];
    case 'unreadable':
      return [
        ['state', 'unreadable'],
        ['problem', standing.problem],
      ];
    case 'unknown':
      return [];
  }
}

function recordFacts(record: ResultRecord): [string, string | null][] {
  const { timings_ms: timings, usage } = record;
  const phases = (['claim', 'pull', 'start', 'run', 'collect'] as const).flatMap((phase) => {
    const ms = timings[phase];
    return ms === null ? [] : [`${phase} ${duration(ms)}`];
  });
  const memory =
    usage.peak_memory_bytes === null ? [] : [`${(usage.peak_memory_bytes / 1024 ** 2).toFixed(1)} MiB at most`];
  const cpu = usage.cpu_seconds === null ? [] : [`${usage.cpu_seconds.toFixed(2)} s of CPU`];
  return [
    ['status', record.status],
    ['reason', record.reason],
    ['message', record.message || null],
    ['exit code', record.exit_code === null ? null : String(record.exit_code)],
    ['node', record.node_id],
    ['attempt', String(record.attempt)],
    ['claimed', record.claimed_at],
    ['started', record.started_at],
    ['finished', record.finished_at],
    ['timings', phases.join(', ') || null],
    ['usage', [...cpu, ...memory].join(', ') || null],
    ['image', record.image === null ? null : [record.image.name, record.image.digest].filter(Boolean).join(' ')],
    ['task file', record.spec_blob],
    ['signed by', record.signer ?? null],
  ];
}

function printStream(output: Output, name: string, text: string, bytes: number): void {
  if (bytes === 0) return;
  const lines = text.replace(/\n$/, '').split('\n');
  output.line();
  output.line(output.style('bold', `${name} (${bytes} bytes)`));
  for (const line of lines.slice(0, MAX_SHOWN_LINES)) output.line(`  ${printable(line)}`);
  if (lines.length > MAX_SHOWN_LINES) output.line(`  … "dgrid logs" prints it all`);
}
