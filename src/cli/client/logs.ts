/** `dgrid logs`: what a task wrote. */
import type { Command } from 'commander';
import type { GridClient } from '../../client/grid-client.ts';
import { readOutput, readResults, type StreamOutput } from '../../client/results.ts';
import { standingOf, type TaskStanding } from '../../client/task-standing.ts';
import { waitForTasks } from '../../client/wait.ts';
import type { TaskId } from '../../task/id.ts';
import { Failure } from '../failure.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { refuseUnknown, taskIds, unknownTasks } from './task-ids.ts';
import { withClient } from './with-client.ts';

export function addLogsCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'logs <id>',
    summary: 'print what a task wrote',
    description:
      'Prints the output of a task that has its result, byte by byte: its standard output to standard output, its\n' +
      'standard error to standard error. Output is published together with the result, so there is none before; with\n' +
      '--follow the command waits until the task ends, and then prints everything. On a terminal control characters are\n' +
      'spelled out (^[ and so on), so that a task does nothing to it; through a pipe, as "| cat", every byte is as it was.',
    examples: ['dgrid logs build-42', 'dgrid logs build-42 --follow', 'dgrid logs build-42 2>/dev/null | tail'],
    settings: 'client',
  });
  command.option('-f, --follow', 'wait until the task ends');
  command.action(async (given: string) => {
    const output = outputOf(command, cli);
    const [id] = taskIds([given]) as [TaskId];
    await withClient(command, cli, output, async (client) => {
      const view = command.opts()['follow'] === true ? await ended(client, id) : await client.refresh();
      if (!view) return;
      refuseUnknown(client, view, [id]);
      const result = (await readResults(client, view, [id])).get(id);
      if (!result) throw new Failure('failed', notYet(id, standingOf(view, id)));
      if (!result.ok) throw new Failure('failed', `${id}: ${result.problem}`);
      const { stdout, stderr } = await readOutput(client, view, result.record);
      output.document({ task_id: id, stdout: documentOf(stdout), stderr: documentOf(stderr) });
      output.bytes(stdout.bytes);
      output.errorBytes(stderr.bytes);
      for (const [name, stream] of [['stdout', stdout] as const, ['stderr', stderr] as const]) {
        if (!stream.whole && !output.json) {
          output.note(`dgrid: of ${stream.totalBytes} bytes on ${name}, the beginning and the end were kept`);
        }
      }
    });
  });
}

async function ended(client: GridClient, id: TaskId) {
  const outcome = await waitForTasks(client, [id], { timeoutMs: null, unknownAfterLooks: 1, onLook: () => undefined });
  if (outcome.kind === 'unknown') throw unknownTasks(client, outcome.view, outcome.ids);
  return outcome.kind === 'done' ? outcome.view : null;
}

function notYet(id: TaskId, standing: TaskStanding): string {
  const place = standing.kind === 'claimed' ? `in work on ${standing.state.nodeId}` : 'not started yet';
  return `${id} is ${place}, and its output comes with its result: wait for it with --follow`;
}

function documentOf(stream: StreamOutput): Record<string, unknown> {
  return { text: stream.bytes.toString('utf8'), bytes: stream.totalBytes, whole: stream.whole };
}
