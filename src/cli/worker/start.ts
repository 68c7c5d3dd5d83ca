/** `dgrid-worker start`: the long-running worker. */
import type { Command } from 'commander';
import { FatalError } from '../../agent/startup.ts';
import { knownSecrets } from '../../config/secrets.ts';
import { InstanceLockError } from '../../host/instance-lock.ts';
import { createEmit, openLog } from '../../observe/logger.ts';
import { startWorker } from '../../worker.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import { gitFailure } from '../git-failure.ts';
import { type Cli, defineCommand, workerSettings } from '../program.ts';
import { packageVersion } from '../version.ts';

export function addStartCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'start',
    summary: 'run the worker',
    description:
      'Claims tasks from the repository, runs them in containers and pushes the results back, until it is stopped.\n' +
      'The first SIGTERM or SIGINT lets running tasks finish within SHUTDOWN_GRACE_SECONDS and hands back the rest; a\n' +
      'second one stops the containers at once. Both ways nothing is lost. SIGUSR2 makes it look for tasks at once.',
    examples: [
      'dgrid-worker start --profile edge',
      'DGRID_REPO_URL=https://git.example.org/team/tasks.git dgrid-worker start --until-idle',
    ],
    settings: 'worker',
    settingsInHelp: true,
  });
  command.option('--until-idle', 'exit with 0 once nothing is queued, claimed or unrecorded');
  command.action(async () => {
    const settings = workerSettings(command, cli);
    const json = command.opts()['json'] === true;
    const stopRequested = new AbortController();
    let requestStop = (): void => stopRequested.abort();
    const onSignal = (): void => requestStop();
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    // Taken from the beginning, since it would end the process otherwise. A worker that starts looks anyway.
    let lookNow = (): void => undefined;
    const onLookSignal = (): void => lookNow();
    process.on('SIGUSR2', onLookSignal);
    const version = packageVersion();
    const log = await openLog(settings, {
      clock: cli.clock,
      secrets: knownSecrets(settings, cli.env),
      console: {
        // With --json the document has standard output for itself.
        fd: json ? 2 : 1,
        isTerminal: (json ? cli.stderr : cli.stdout).isTTY === true,
        colour: cli.env['NO_COLOR'] === undefined,
      },
      fields: { node: settings.nodeId },
    });
    const emit = createEmit(log.logger);
    try {
      emit('worker.started', { version, repository: settings.git.repoUrl, state_dir: settings.stateDir });
      const { worker, done } = await startWorker({
        settings,
        untilIdle: command.opts()['untilIdle'] === true,
        version,
        clock: cli.clock,
        emit,
        learnSecret: (secret) => log.addSecret(secret),
        operatorEnv: cli.env,
        signal: stopRequested.signal,
      });
      requestStop = () => worker.agent.requestStop();
      lookNow = () => worker.agent.lookNow('signal');
      if (stopRequested.signal.aborted) requestStop();
      await done;
      cli.output(json).document({
        node: settings.nodeId,
        tasks_finished: worker.runner.tasksFinished,
        results_unpublished: worker.book.unpublishedCount,
      });
    } catch (error) {
      if (stopRequested.signal.aborted) {
        cli.setExitCode(EXIT.done);
        return;
      }
      emit('worker.failed', { err: error });
      throw failureOf(error);
    } finally {
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
      process.off('SIGUSR2', onLookSignal);
      await log.close();
    }
  });
}

function failureOf(error: unknown): unknown {
  if (error instanceof FatalError || (error instanceof InstanceLockError && error.kind === 'held')) {
    return new Failure('configuration', error.message, { cause: error.cause });
  }
  return gitFailure(error) ?? error;
}
