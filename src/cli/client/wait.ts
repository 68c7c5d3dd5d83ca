/** `dgrid wait`: until tasks have their results. */
import type { Command } from 'commander';
import { Failure } from '../failure.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { taskIds } from './task-ids.ts';
import { waitFor } from './wait-for.ts';
import { withClient } from './with-client.ts';

/** No timer holds more milliseconds. */
const MAX_WAIT_SECONDS = 2_000_000;

export function addWaitCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'wait <id...>',
    summary: 'wait until tasks have their results',
    description:
      'Waits until each of the tasks has a result, and shows the results. Exits with 0 when all succeeded, with 3 when\n' +
      'one failed, with 1 when there is no such task or the time was up.',
    examples: ['dgrid wait build-42', 'dgrid wait build-42 build-43 --timeout 600'],
    settings: 'client',
  });
  command.option('--timeout <seconds>', 'give up after so many seconds');
  command.action(async (given: string[]) => {
    const output = outputOf(command, cli);
    const ids = taskIds(given);
    const timeoutMs = waitTimeoutMs(command.opts()['timeout']);
    await withClient(command, cli, output, async (client) => {
      const results = await waitFor(client, cli, output, ids, { timeoutMs, unknownAfterLooks: 1 });
      if (results) output.document({ tasks: results });
    });
  });
}

/** @throws Failure (usage) */
export function waitTimeoutMs(given: unknown): number | null {
  if (typeof given !== 'string') return null;
  const seconds = /^\d+(?:\.\d+)?$/.test(given) ? Number(given) : Number.NaN;
  if (seconds >= 0 && seconds <= MAX_WAIT_SECONDS) return seconds * 1000;
  const message = `must be a number of seconds from 0 to ${MAX_WAIT_SECONDS}`;
  throw new Failure('usage', 'this is no time', { problems: [{ name: '--timeout', message }] });
}
