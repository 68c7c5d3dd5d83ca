/** `dgrid cancel`: takes tasks back. */
import type { Command } from 'commander';
import { type CancelOutcome, cancel } from '../../client/cancel.ts';
import { Failure } from '../failure.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { taskIds, unknownTasks } from './task-ids.ts';
import { withClient } from './with-client.ts';

export function addCancelCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'cancel <id...>',
    summary: 'cancel tasks',
    description:
      'Gives each of the tasks the result "cancelled". One that runs is stopped as soon as its worker looks at the\n' +
      'repository. Exits with 1 when a task has its result already, or there is none of that name; the others are\n' +
      'cancelled all the same.',
    examples: ['dgrid cancel build-42'],
    settings: 'client',
  });
  command.action(async (given: string[]) => {
    const output = outputOf(command, cli);
    const ids = taskIds(given);
    await withClient(command, cli, output, async (client) => {
      const outcomes = await cancel(client, ids);
      const view = client.reader.view;
      const problems: { name: string; message: string }[] = [];
      for (const [id, outcome] of outcomes) {
        if (outcome.kind === 'cancelled') output.line(`${id} cancelled`);
        else if (outcome.kind === 'unknown') problems.push(...unknownTasks(client, view, [id]).problems);
        else problems.push({ name: id, message: explain(outcome) });
      }
      output.document({
        tasks: [...outcomes].map(([id, { kind, ...facts }]) => ({ task_id: id, outcome: kind, ...facts })),
      });
      if (problems.length > 0) throw new Failure('failed', 'not all could be cancelled', { problems });
    });
  });
}

export function explain(outcome: Exclude<CancelOutcome, { kind: 'cancelled' | 'unknown' }>): string {
  switch (outcome.kind) {
    case 'already-finished':
      return `has its result already (${outcome.status}): "dgrid show" tells more`;
    case 'unreadable':
      return `is left alone: ${outcome.problem}`;
    case 'refused':
      return `the host refuses it: ${outcome.reason}`;
    case 'contended':
      return 'kept changing hands: try again';
  }
}
