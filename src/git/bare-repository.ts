/** Making a bare repository on this machine, to be shared by many who push. */
import { mkdir, readdir } from 'node:fs/promises';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { GitError } from './errors.ts';
import { GitCommand } from './git-command.ts';

const INIT_DEADLINE_MS = 30_000;

/** The same as scripts/tune-git-server.sh sets, see docs/git-server.md. A git that does not know one of them ignores it. */
const SHARED_CONFIG: readonly (readonly [string, string])[] = [
  // What was confirmed to a client must survive a power failure: refs and loose objects too, which is not Git's default
  // for the latter. After a crash a ref file without content would make every later push fail.
  ['core.fsync', 'committed'],
  // Every heartbeat leaves an object behind that nothing refers to. Kept for the usual two weeks they would be many
  // enough to start a clean-up at every push, which then removes nothing. Nobody asks for an old one.
  ['gc.pruneExpire', '1.hour.ago'],
  ['gc.cruftPacks', 'true'],
  // A push that finds a lock waits for a disk that is slow.
  ['core.filesRefLockTimeout', '2000'],
  ['core.packedRefsTimeout', '10000'],
  ['receive.fsckObjects', 'true'],
  ['uploadpack.allowFilter', 'true'],
];

/** What a path on this machine is to somebody who wants a repository there. */
export type RepositoryPlace = 'free' | 'repository' | 'occupied';

/** @throws GitError (`local-io`) */
export async function placeAt(path: string): Promise<RepositoryPlace> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'free';
    if (code === 'ENOTDIR') return 'occupied';
    throw new GitError('local-io', 'init', `${path} cannot be read: ${message}`, { cause });
  }
  if (names.length === 0) return 'free';
  const isBare = ['HEAD', 'objects', 'refs'].every((name) => names.includes(name));
  return isBare || names.includes('.git') ? 'repository' : 'occupied';
}

/** An empty bare repository whose HEAD names the branch. Doing it again does no harm. @throws GitError */
export async function makeBareRepository(
  path: string,
  branch: string,
  parts: { clock: Clock; emit: Emit; operatorEnv: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<void> {
  const { signal } = parts;
  const command = new GitCommand(parts);
  await command.checkVersion(INIT_DEADLINE_MS);
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new GitError('local-io', 'init', `${path} cannot be made: ${(cause as Error).message}`, { cause });
  }
  const options = { cwd: path, deadlineMs: INIT_DEADLINE_MS, signal };
  await command.run(['init', '--bare', '--quiet', `--initial-branch=${branch}`, '.'], options);
  for (const [key, value] of SHARED_CONFIG) {
    await command.run(['config', '--file', 'config', key, value], options);
  }
}
