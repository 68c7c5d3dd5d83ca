/** Chooses how a remote is spoken with: by ourselves over smart HTTP, or by the git command. */
import type { GitSettings } from '../config/settings.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock, RandomFraction } from '../runtime.ts';
import { CliRepository } from './cli-repository.ts';
import { GitCommand } from './git-command.ts';
import { HttpCredentials } from './http/http-credentials.ts';
import { SmartRemote } from './http/smart-remote.ts';
import { HttpRepository } from './http-repository.ts';
import type { Repository } from './repository.ts';

/** The repository, and the git command on the same clone. */
export type OpenedRepository = Repository & {
  readonly command: CliRepository;
  /** What requests of our own cannot do for the time being; left out where none are made. */
  readonly doneByCommand?: readonly string[];
};

export interface OpenRepositoryParts {
  clock: Clock;
  emit: Emit;
  random: RandomFraction;
  /** The program's own environment. */
  operatorEnv: NodeJS.ProcessEnv;
}

/** @param path of the local clone. @throws RangeError when the address of the remote is none. */
export function openRepository(settings: GitSettings, path: string, parts: OpenRepositoryParts): OpenedRepository {
  const { clock, emit, random, operatorEnv } = parts;
  const repository = new CliRepository({ settings, path, clock, emit, random, operatorEnv });
  const { address } = repository;
  if (address.transport !== 'http' || settings.transport === 'command') return repository;
  const command = new GitCommand({ clock, emit, operatorEnv });
  const remote = new SmartRemote({
    address,
    credentials: new HttpCredentials({ address, settings, command }),
    clock,
    env: operatorEnv,
    deadlineMs: settings.commandTimeoutMs,
    emit,
  });
  return new HttpRepository({ command: repository, remote, clock, emit });
}
