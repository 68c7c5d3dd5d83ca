/** `dgrid demo`: a whole grid on one machine, for a look at what happens to tasks of every kind. */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { duration } from '../figures.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { printResults } from './result-table.ts';

export function addDemoCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'demo',
    summary: 'see it work on this machine',
    description:
      'Makes a task repository in a temporary directory, starts a worker on it, queues a task of every kind (good,\n' +
      'failing, too slow, too big, not allowed, not even a task), shows what becomes of them, and cleans up. It needs a\n' +
      'container engine, found as every Docker client finds it.',
    examples: ['dgrid demo'],
    settings: null,
  });
  command.action(async () => {
    const output = outputOf(command, cli);
    const startedMs = cli.clock.monotonicMs();
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'dgrid-demo-')));
    try {
      // Loaded here: no other command of this program needs a container engine's client.
      const { runDemo } = await import('./demo-run.ts');
      const rows = await runDemo(cli, output, dir);
      if (!rows) return;
      printResults(output, rows);
      output.line();
      output.line(`Done in ${duration(cli.clock.monotonicMs() - startedMs)}; everything was removed again.`);
      output.document({ tasks: rows });
    } finally {
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    }
  });
}
