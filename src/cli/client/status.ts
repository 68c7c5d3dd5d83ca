/** `dgrid status`: the queue, what is in work, the nodes. */
import type { Command } from 'commander';
import type { GridClient } from '../../client/grid-client.ts';
import { doneOf, GridSummaries, type GridSummary } from '../../client/grid-summary.ts';
import { GitError, RETRYABLE } from '../../git/errors.ts';
import { Sightings } from '../../ledger/sightings.ts';
import { Failure } from '../failure.ts';
import type { Output } from '../output.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { lookInterval } from './look-interval.ts';
import { statusLines } from './status-lines.ts';
import { withClient } from './with-client.ts';

const DEFAULT_INTERVAL_SECONDS = 2;

export function addStatusCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'status',
    summary: 'show the queue and the nodes',
    description:
      'Shows how many tasks wait, what is in work and where, the workers, and what needs a person. The last sign of life\n' +
      'of a node is given as its own clock said it, because clocks differ; with --watch it is what was seen from here,\n' +
      'and the rate at which tasks get done is measured. Stop watching with Ctrl-C.',
    examples: ['dgrid status', 'dgrid status --watch --interval 5', 'dgrid status --json'],
    settings: 'client',
  });
  command.option('-w, --watch', 'keep showing it: redrawn on a terminal, elsewhere printed when it changes');
  command.option('--interval <seconds>', `time between two looks of --watch (default: ${DEFAULT_INTERVAL_SECONDS})`);
  command.action(async () => {
    const output = outputOf(command, cli);
    const watch = command.opts()['watch'] === true;
    const intervalMs = lookInterval(command.opts()['interval'], DEFAULT_INTERVAL_SECONDS);
    if (watch && output.json) throw new Failure('usage', '--json answers with one document, so not with --watch');
    await withClient(command, cli, output, async (client, settings) => {
      const summaries = new GridSummaries(client, settings);
      if (watch) return keepWatching(client, summaries, output, { repository: settings.git.repoUrl, intervalMs });
      const summary = await summaries.of(await client.refresh({ nodes: 'all' }));
      output.document({ repository: settings.git.repoUrl, ...summary });
      for (const line of statusLines(output, settings.git.repoUrl, summary, null)) output.line(line);
    });
  });
}

/** Until the signal; the exit code is the interruption's. @throws GitError that time does not mend */
async function keepWatching(
  client: GridClient,
  summaries: GridSummaries,
  output: Output,
  { repository, intervalMs }: { repository: string; intervalMs: number },
): Promise<void> {
  const { clock, signal } = client;
  const sightings = new Sightings();
  let shown = '';
  while (!signal.aborted) {
    try {
      const view = await client.refresh({ nodes: 'all' });
      const summary = await summaries.of(view);
      const nowMs = clock.monotonicMs();
      const beats = [...view.nodes].map(([id, { oid }]) => [id, oid] as const);
      sightings.observe(beats, doneOf(summary), nowMs);
      const matter = whatMatters(summary);
      if (output.width !== null || matter !== shown) {
        output.picture(statusLines(output, repository, summary, { sightings, nowMs }));
      }
      shown = matter;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof GitError) || !RETRYABLE[error.kind]) throw error;
      output.note(`dgrid: ${error.message}; still trying`);
    }
    await clock.sleep(intervalMs, signal);
  }
}

/** Without what changes by itself as time passes. */
function whatMatters(summary: GridSummary): string {
  const nodes = summary.nodes.map(({ last_beat_by_its_clock: _beat, info: _info, ...rest }) => rest);
  return JSON.stringify({ ...summary, nodes });
}
