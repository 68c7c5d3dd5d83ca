/** Clients of the grid in memory. */
import { GridClient, type GridClientParts } from '../../src/client/grid-client.ts';
import { GitError, RETRYABLE } from '../../src/git/errors.ts';
import type { Retry } from '../../src/ledger/publisher.ts';
import { type Clock, systemClock, systemRandomHex } from '../../src/runtime.ts';
import { type MemoryRemote, MemoryRepository } from './memory-repository.ts';
import { recordEvents } from './recorded-events.ts';

const TRIES = 3;

const quickRetry: Retry = async (_operation, attempt) => {
  for (let tryNumber = 1; ; tryNumber += 1) {
    try {
      return await attempt(tryNumber);
    } catch (error) {
      if (!(error instanceof GitError) || !RETRYABLE[error.kind] || tryNumber === TRIES) throw error;
    }
  }
};

export function memoryClient(
  remote: MemoryRemote,
  options: { clock?: Clock; signal?: AbortSignal; recentMessages?: GridClientParts['recentMessages'] } = {},
): { client: GridClient; repository: MemoryRepository } {
  const repository = new MemoryRepository(remote);
  const client = new GridClient({
    repository,
    namespace: 'refs/dgrid',
    branch: null,
    user: { name: 'Somebody', email: 'somebody@example.org' },
    retry: quickRetry,
    clock: options.clock ?? systemClock,
    randomHex: systemRandomHex,
    emit: recordEvents().emit,
    signal: options.signal ?? new AbortController().signal,
    ...(options.recentMessages ? { recentMessages: options.recentMessages } : {}),
  });
  return { client, repository };
}
