/** Builds a client from its settings: the clone in the cache, the namespace that the grid uses. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientSettings } from '../config/settings.ts';
import { CliRepository } from '../git/cli-repository.ts';
import { GitError, RETRYABLE } from '../git/errors.ts';
import { findNamespace, namespaceOf } from '../ledger/names.ts';
import type { Emit } from '../observe/events.ts';
import { withRetry } from '../retry.ts';
import type { Clock, RandomFraction, RandomHex } from '../runtime.ts';
import { takeCacheSlot } from './cache-slot.ts';
import { GridClient } from './grid-client.ts';

/** Fetches leave packs behind; above this many the clone is put in order. */
const MAX_PACK_FILES = 60;
/** Loose objects with one first byte, of 256: as git itself estimates their number. */
const MAX_LOOSE_OF_ONE = 16;

export interface OpenClientOptions {
  settings: ClientSettings;
  /** null when there is none. */
  cacheHome: string | null;
  clock: Clock;
  random: RandomFraction;
  randomHex: RandomHex;
  emit: Emit;
  operatorEnv: NodeJS.ProcessEnv;
  /** Aborts whatever is under way. */
  signal: AbortSignal;
}

export interface OpenedClient {
  client: GridClient;
  /** Gives the clone back. Never throws. */
  close(): Promise<void>;
}

/** @throws GitError; the file system's error when there is no room for a clone. */
export async function openClient(options: OpenClientOptions): Promise<OpenedClient> {
  const { settings, clock, emit, random, randomHex, signal, operatorEnv } = options;
  const { git } = settings;
  const slot = await takeCacheSlot(options.cacheHome, git.repoUrl);
  try {
    const repository = new CliRepository({ settings: git, path: slot.path, clock, emit, random, operatorEnv });
    const namespace = namespaceOf(settings.refNamespace) ?? (await findNamespace(repository, signal));
    const client = new GridClient({
      repository,
      namespace,
      branch: git.branch,
      user: { name: git.userName, email: git.userEmail },
      retry: (operation, attempt, retrySignal) =>
        withRetry(
          attempt,
          { attempts: git.retryAttempts, baseMs: git.retryBaseMs, retryable: RETRYABLE },
          {
            clock,
            emit,
            random,
            operation,
            signal: retrySignal,
            aborted: (cause) => new GitError('aborted', operation, `${operation} was aborted`, { cause }),
          },
        ),
      clock,
      randomHex,
      emit,
      signal,
      recentMessages: (ref, depth) => repository.recentMessages(ref, depth, signal),
    });
    return {
      client,
      async close() {
        // In the time of whoever is waiting for the prompt, but rarely: a clone that only grows is worse.
        if (slot.lasting && !signal.aborted && (await isUntidy(slot.path))) {
          await repository.upkeep().catch(() => undefined);
        }
        await slot.release();
      },
    };
  } catch (error) {
    await slot.release();
    throw error;
  }
}

async function isUntidy(clone: string): Promise<boolean> {
  const count = (dir: string): Promise<number> =>
    readdir(join(clone, 'objects', dir)).then(
      (names) => names.length,
      () => 0,
    );
  return (await count('pack')) > MAX_PACK_FILES || (await count('17')) > MAX_LOOSE_OF_ONE;
}
