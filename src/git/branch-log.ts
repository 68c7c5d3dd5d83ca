/**
 * The messages of a branch's newest commits, without anything that the commits hold. A clone here has one commit of a branch
 * and no past, and must not get one: so the past is fetched into a repository of its own, which is removed at once.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GitCommand } from './git-command.ts';
import type { CommandEnvironment, ConfigEntry } from './git-environment.ts';
import type { ObjectFormat, RefName } from './oid.ts';

const REMOTE = 'grid';
const MAX_LOG_BYTES = 16 * 1024 * 1024;

export interface BranchLogParts {
  command: GitCommand;
  /** How the remote is reached. */
  access: CommandEnvironment;
  url: string;
  format: ObjectFormat;
  deadlineMs: number;
  signal: AbortSignal | undefined;
}

/**
 * The newest first, at most `depth`. Only for a remote that leaves objects out when it is asked to: any other would send all
 * that the commits hold.
 * @throws GitError; the file system's error when there is no temporary place
 */
export async function readBranchLog(ref: RefName, depth: number, parts: BranchLogParts): Promise<string[]> {
  const { access, command, deadlineMs, format, signal, url } = parts;
  const path = await mkdtemp(join(tmpdir(), 'dgrid-log-'));
  const git = async (args: readonly string[]): Promise<Buffer> => {
    // Only of a remote that it knows by name does git believe that objects may be missing.
    const config: ConfigEntry[] = [
      ...access.config,
      [`remote.${REMOTE}.url`, url],
      [`remote.${REMOTE}.promisor`, 'true'],
    ];
    const environment = { ...access, config, variables: { ...access.variables, GIT_DIR: path } };
    const limits = { deadlineMs, signal, maxOutputBytes: MAX_LOG_BYTES };
    return (await command.run(args, { cwd: '/', environment, ...limits })).stdout;
  };
  try {
    await git(['init', '--bare', '--quiet', '--template=', `--object-format=${format}`]);
    const how = [
      '--quiet',
      '--no-tags',
      '--no-write-fetch-head',
      '--no-auto-gc',
      '--filter=tree:0',
      `--depth=${depth}`,
    ];
    await git(['fetch', ...how, '--', REMOTE, `+${ref}:refs/heads/log`]);
    const log = await git(['log', '-z', '--format=%B', `--max-count=${depth}`, 'refs/heads/log']);
    return log
      .toString('utf8')
      .split('\0')
      .filter((message) => message !== '');
  } finally {
    await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }
}
