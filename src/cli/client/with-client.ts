/** A client for the time of one command. */
import { join } from 'node:path';
import type { Command } from 'commander';
import type { GridClient } from '../../client/grid-client.ts';
import { keepKnownIds } from '../../client/known-ids.ts';
import { type OpenedClient, openClient } from '../../client/open-client.ts';
import type { ClientSettings } from '../../config/settings.ts';
import { GitError } from '../../git/errors.ts';
import type { Emit } from '../../observe/events.ts';
import { systemRandomFraction, systemRandomHex } from '../../runtime.ts';
import { Failure } from '../failure.ts';
import { gitFailure } from '../git-failure.ts';
import type { Output } from '../output.ts';
import { type Cli, clientSettings } from '../program.ts';

const UNIQUE_BYTES = 6;

/**
 * Opens a client by the command's settings, and gives its clone back whatever happens.
 * @param own where remarks go, for a command that has the terminal to itself; and what ends its calls in the place of the
 *   interruption.
 */
export async function withClient<T>(
  command: Command,
  cli: Cli,
  output: Output,
  action: (client: GridClient, settings: ClientSettings) => Promise<T>,
  own: { emit?: Emit; signal?: AbortSignal } = {},
): Promise<T> {
  const settings = clientSettings(command, cli);
  let opened: OpenedClient | null = null;
  try {
    opened = await openClient({
      settings,
      cacheHome: cacheHome(cli),
      clock: cli.clock,
      random: systemRandomFraction,
      randomHex: systemRandomHex,
      emit: own.emit ?? tellRetries(output),
      operatorEnv: cli.env,
      signal: own.signal ?? cli.interruption.signal(),
    });
    return await action(opened.client, settings);
  } catch (error) {
    if (error instanceof GitError && error.kind === 'corrupt-local' && opened) {
      const emptied = await opened.client.repository.rebuild(error.message).then(
        () => true,
        () => false,
      );
      const remedy = emptied ? 'the cache was emptied: run the command again' : 'remove the cache directory of dgrid';
      throw new Failure('failed', `${error.message}\n${remedy}`, { cause: error.cause });
    }
    throw gitFailure(error) ?? error;
  } finally {
    const home = cacheHome(cli);
    if (opened && home !== null) {
      const { queuedSince, reader } = opened.client;
      const seen = { view: reader.view, queuedSince };
      await keepKnownIds(home, settings.git.repoUrl, seen, systemRandomHex(UNIQUE_BYTES));
    }
    await opened?.close();
  }
}

/** Where the XDG convention puts caches; null for a user without a home. */
export function cacheHome({ env, machine }: Pick<Cli, 'env' | 'machine'>): string | null {
  const given = env['XDG_CACHE_HOME'];
  // Anything but an absolute path has to be ignored by that convention.
  if (given?.startsWith('/')) return given;
  return machine.homeDir === null ? null : join(machine.homeDir, '.cache');
}

/** Of all that the parts tell on the way, a person at a terminal needs to know why nothing seems to happen. */
export function tellRetries(output: Output): Emit {
  return (name, fields = {}) => {
    const text = retryText(name, fields);
    if (text !== null) output.note(text);
  };
}

/** null for what nobody at a terminal needs to know. */
export function retryText(...[name, fields = {}]: Parameters<Emit>): string | null {
  if (name !== 'git.retry') return null;
  const { operation, kind, delay_ms: delayMs, err } = fields;
  const why = err instanceof Error ? err.message : String(kind);
  return `git ${String(operation)}: ${why}; trying again in ${Math.round(Number(delayMs) / 100) / 10} s`;
}
