/** `dgrid-worker engine-filter`: a socket in front of the engine's, for a worker that is to have no more than it needs. */
import type { Command } from 'commander';
import { knownSecrets } from '../../config/secrets.ts';
import { createEmit, openLog } from '../../observe/logger.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import { type Cli, defineCommand, filterSettings } from '../program.ts';

export function addEngineFilterCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'engine-filter',
    summary: 'let a worker have of the engine what it needs',
    description:
      'Listens on a socket and passes on to the engine the calls that a worker makes, with containers as these settings\n' +
      'allow them, and nothing else. Run it as a user who may use the engine, and the worker as one who may not, with\n' +
      'DOCKER_HOST=unix:// and this socket. Both need the same settings for the repository, the node and its containers.',
    examples: ['dgrid-worker engine-filter --listen /run/dgrid-engine/engine.sock --group dgrid'],
    settings: 'worker',
  });
  command
    .requiredOption('--listen <path>', 'the socket to listen on; its directory has to be there')
    .option('--group <group>', 'name or number of the group that may use it (default: the group of this process)')
    .option('--engine <address>', 'the engine, in the place of DOCKER_HOST, which may be meant for the worker');
  command.action(async () => {
    const { listen, group, engine } = command.opts<{ listen: string; group?: string; engine?: string }>();
    if (!listen.startsWith('/')) throw new Failure('usage', `--listen ${listen}: give the whole path of the socket`);
    const settings = filterSettings(command, cli, engine ?? null);
    const stopRequested = new AbortController();
    const onSignal = (): void => stopRequested.abort();
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    const log = await openLog(settings, {
      clock: cli.clock,
      secrets: knownSecrets(
        {
          git: { token: null, tokenFile: null },
          webhookSecret: null,
          webhookSecretFile: null,
          httpToken: null,
          httpTokenFile: null,
        },
        cli.env,
      ),
      console: {
        fd: command.opts()['json'] === true ? 2 : 1,
        isTerminal: cli.stdout.isTTY === true,
        colour: cli.env['NO_COLOR'] === undefined,
      },
      fields: { node: settings.nodeId },
    });
    const emit = createEmit(log.logger);
    // Loaded when it is used: a worker does not carry it.
    const { startEngineFilter } = await import('../../executor/docker/filter/engine-filter.ts');
    try {
      const parts = { settings, listen, group: group ?? null, clock: cli.clock, emit };
      const filter = await startEngineFilter(parts).catch((error: unknown) => {
        throw new Failure('configuration', error instanceof Error ? error.message : String(error), { cause: error });
      });
      await untilAborted(stopRequested.signal);
      emit('filter.stopping');
      await filter.close();
      cli.setExitCode(EXIT.done);
    } finally {
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
      await log.close();
    }
  });
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}
