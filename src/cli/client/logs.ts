/** `dgrid logs`: what a task wrote. */
import type { Command } from 'commander';
import type { GridClient } from '../../client/grid-client.ts';
import { readOutput, readResults, type StreamOutput } from '../../ledger/results.ts';
import { standingOf, type TaskStanding } from '../../ledger/task-standing.ts';
import type { TaskId } from '../../task/id.ts';
import { Failure } from '../failure.ts';
import type { Output } from '../output.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { followTask, type ShownStream } from './follow-task.ts';
import { refuseUnknown, taskIds } from './task-ids.ts';
import { withClient } from './with-client.ts';

const MIN_INTERVAL_SECONDS = 0.1;
const MAX_INTERVAL_SECONDS = 3_600;

export function addLogsCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'logs <id>',
    summary: 'print what a task wrote',
    description:
      'Prints the output of a task that has its result, byte by byte: its standard output to standard output, its\n' +
      'standard error to standard error. With --follow it prints what the task writes while it runs, where its file or its\n' +
      'node asks for that (docs/follow.md), waits until it ends, prints the rest, and exits with 3 when the task failed.\n' +
      'On a terminal control characters are spelled out (^[ and so on), so that a task does nothing to it; through a pipe,\n' +
      'as "| cat", every byte is as it was.',
    examples: [
      'dgrid logs build-42',
      'dgrid logs build-42 --follow',
      'dgrid logs build-42 --follow --stream stderr --interval 5',
      'dgrid logs build-42 2>/dev/null | tail',
    ],
    settings: 'client',
  });
  command
    .option('-f, --follow', 'print what the task writes while it runs, until it ends')
    .option('--stream <name>', 'stdout, stderr or both; default both')
    .option(
      '--interval <seconds>',
      'with --follow, time between two looks; without it 1, and up to 3 while nothing comes',
    );
  command.action(async (given: string) => {
    const output = outputOf(command, cli);
    const [id] = taskIds([given]) as [TaskId];
    const flags: Flags = command.opts();
    const shown = streamOf(flags);
    const intervalMs = intervalOf(flags);
    await withClient(command, cli, output, async (client) => {
      const kept = flags.follow
        ? await followTask(client, cli, output, id, { stream: shown, intervalMs, unknownAfterLooks: 1 })
        : await print(client, output, id, shown);
      if (!kept) return;
      output.document({ task_id: id, ...documentsOf(kept, shown) });
      for (const [name, stream] of Object.entries(kept)) {
        if (!stream.whole && !output.json && (shown === 'both' || shown === name)) {
          output.note(`dgrid: of ${stream.totalBytes} bytes on ${name}, the beginning and the end were kept`);
        }
      }
    });
  });
}

interface Flags {
  follow?: true;
  stream?: string;
  interval?: string;
}

type Kept = Record<'stdout' | 'stderr', StreamOutput>;

/** @throws Failure when there is no result */
async function print(client: GridClient, output: Output, id: TaskId, shown: ShownStream): Promise<Kept> {
  const view = await client.refresh();
  refuseUnknown(client, view, [id]);
  const result = (await readResults(client, view, [id])).get(id);
  if (!result) throw new Failure('failed', notYet(id, standingOf(view, id)));
  if (!result.ok) throw new Failure('failed', `${id}: ${result.problem}`);
  const kept = await readOutput(client, view, result.record);
  if (shown !== 'stderr') output.bytes(kept.stdout.bytes);
  if (shown !== 'stdout') output.errorBytes(kept.stderr.bytes);
  return kept;
}

/** @throws Failure (usage) */
function streamOf({ stream = 'both' }: Flags): ShownStream {
  if (stream === 'stdout' || stream === 'stderr' || stream === 'both') return stream;
  throw new Failure('usage', `--stream must be stdout, stderr or both, not ${JSON.stringify(stream)}`);
}

/** @throws Failure (usage) */
function intervalOf({ follow, interval }: Flags): number | null {
  if (interval === undefined) return null;
  if (!follow) throw new Failure('usage', '--interval says how often to look for more: it needs --follow');
  const seconds = /^\d+(?:\.\d+)?$/.test(interval) ? Number(interval) : Number.NaN;
  if (!(seconds >= MIN_INTERVAL_SECONDS && seconds <= MAX_INTERVAL_SECONDS)) {
    throw new Failure(
      'usage',
      `--interval must be a number of seconds from ${MIN_INTERVAL_SECONDS} to ${MAX_INTERVAL_SECONDS}`,
    );
  }
  return seconds * 1000;
}

function documentsOf(kept: Kept, shown: ShownStream): Record<string, unknown> {
  return {
    ...(shown === 'stderr' ? {} : { stdout: documentOf(kept.stdout) }),
    ...(shown === 'stdout' ? {} : { stderr: documentOf(kept.stderr) }),
  };
}

function notYet(id: TaskId, standing: TaskStanding): string {
  const place = standing.kind === 'claimed' ? `in work on ${standing.state.nodeId}` : 'not started yet';
  return `${id} is ${place}, and its output comes with its result: wait for it with --follow`;
}

function documentOf(stream: StreamOutput): Record<string, unknown> {
  return { text: stream.bytes.toString('utf8'), bytes: stream.totalBytes, whole: stream.whole };
}
