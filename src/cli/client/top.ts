/** `dgrid top`: the grid on a terminal, live. */
import type { Command } from 'commander';
import { cancel } from '../../client/cancel.ts';
import type { GridClient } from '../../client/grid-client.ts';
import { GridSummaries } from '../../client/grid-summary.ts';
import { GridWatch } from '../../client/grid-watch.ts';
import type { Emit } from '../../observe/events.ts';
import type { TaskId } from '../../task/id.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { TopSession } from '../top/session.ts';
import { initialState } from '../top/state.ts';
import { TerminalScreen } from '../top/terminal.ts';
import { explain } from './cancel.ts';
import { lookInterval } from './look-interval.ts';
import { TopDetails } from './top-detail.ts';
import { retryText, withClient } from './with-client.ts';

const DEFAULT_INTERVAL_SECONDS = 2;

export function addTopCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'top',
    summary: 'watch the grid on a terminal',
    description:
      'Shows nodes, queue, running tasks and results, and keeps looking. Keys: arrows or j and k move, Enter shows a task\n' +
      'with the end of its output, / searches, s sorts, p pauses, c cancels the task under the mark after asking, Tab goes\n' +
      'to the results, ? lists all, q leaves. Durations are as seen from here; ≥ says that it was so before.',
    examples: ['dgrid top', 'dgrid top --repo https://git.example.com/team/tasks.git --interval 5'],
    settings: 'client',
  });
  command.option('--interval <seconds>', `time between two looks (default: ${DEFAULT_INTERVAL_SECONDS})`);
  command.action(async () => {
    const output = outputOf(command, cli);
    const intervalMs = lookInterval(command.opts()['interval'], DEFAULT_INTERVAL_SECONDS);
    if (output.json) throw new Failure('usage', 'top is for terminals, so not with --json: see "dgrid status --json"');
    const { stdin, stdout } = process;
    if (!stdin.isTTY || !stdout.isTTY || cli.env['TERM'] === 'dumb') {
      throw new Failure('usage', 'top needs a terminal for its keys and its picture: use "dgrid status --watch" here');
    }
    const stop = new AbortController();
    let tell: (problem: string) => void = (problem) => output.note(problem);
    const emit: Emit = (name, fields = {}) => {
      const text = retryText(name, fields);
      if (text !== null) tell(text);
    };
    const open = async (client: GridClient, settings: { maxTaskBytes: number; git: { repoUrl: string } }) => {
      const details = new TopDetails(client, settings.maxTaskBytes);
      const session = new TopSession({
        client,
        watch: new GridWatch(client, new GridSummaries(client, settings)),
        cancel: (id) => cancelOne(client, id),
        readDetail: (id) => details.read(id),
        state: initialState(settings.git.repoUrl),
        paint: (style, text) => output.style(style, text),
        intervalMs,
        stop,
      });
      const screen = new TerminalScreen({
        stdin,
        stdout,
        clock: cli.clock,
        onKey: (key) => session.press(key),
        onResize: () => session.redraw(),
      });
      const hangUp = (): void => cli.interruption.interrupt(EXIT.interrupted);
      process.on('SIGHUP', hangUp);
      screen.open();
      tell = (problem) => session.tell(problem);
      try {
        await session.run(screen);
      } catch (error) {
        if (!stop.signal.aborted) throw error;
      } finally {
        screen.close();
        process.off('SIGHUP', hangUp);
      }
    };
    const signal = AbortSignal.any([cli.interruption.signal(), stop.signal]);
    await withClient(command, cli, output, open, { emit, signal });
  });
}

async function cancelOne(client: GridClient, id: TaskId): Promise<string> {
  const outcome = (await cancel(client, [id])).get(id) ?? { kind: 'unknown' };
  if (outcome.kind === 'cancelled') return `${id} cancelled`;
  return outcome.kind === 'unknown' ? `there is no task ${id} any more` : `${id} ${explain(outcome)}`;
}
