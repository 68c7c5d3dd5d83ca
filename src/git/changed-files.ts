/**
 * Which files of a checkout differ from a commit: those of later commits, of the index, of the work tree, and new ones that
 * are in neither. For people and for pull requests; a worker has no checkout.
 */
import { join } from 'node:path';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { GitError } from './errors.ts';
import { GitCommand } from './git-command.ts';
import type { CommandEnvironment } from './git-environment.ts';

const DEADLINE_MS = 60_000;

export interface ChangedFilesOptions {
  /** A directory of the checkout. */
  cwd: string;
  /** Anything that names a commit. What it has that this branch has not counts for nothing. */
  since: string;
  /** Only what is below this path of `cwd`. */
  below: string;
  clock: Clock;
  emit: Emit;
  operatorEnv: NodeJS.ProcessEnv;
  signal: AbortSignal;
}

/** Paths from `cwd`; removed files are not among them. @throws GitError; RangeError where `since` names no commit here */
export async function changedFiles(options: ChangedFilesOptions): Promise<Set<string>> {
  const { cwd, since, below, signal, operatorEnv } = options;
  const command = new GitCommand(options);
  await command.checkVersion(DEADLINE_MS);
  const environment = await trusted(command, cwd, operatorEnv);
  const run = { cwd, environment, deadlineMs: DEADLINE_MS, signal };
  const found = await command.run(['rev-parse', '--verify', '--quiet', '--end-of-options', `${since}^{commit}`], {
    ...run,
    anyExit: true,
  });
  if (found.exitCode !== 0 && found.stderr !== '') {
    throw new GitError('local-io', 'rev-parse', `git cannot read the checkout at ${cwd}: ${found.stderr.trim()}`);
  }
  const commit = found.stdout.toString('utf8').trim();
  if (commit === '') throw new RangeError(`${since} names no commit of this checkout: fetch it first`);
  const merged = await command.run(['merge-base', commit, 'HEAD'], { ...run, anyExit: true });
  const base = merged.stdout.toString('utf8').trim();
  if (base === '') {
    throw new RangeError(`${since} and this branch have no commit in common here: fetch more of the history`);
  }
  const within = ['--', below];
  const diff = ['diff', '--name-only', '--relative', '-z', '--no-renames', '--no-ext-diff', '--diff-filter=d', base];
  const outputs = [
    await command.run([...diff, ...within], run),
    await command.run(['ls-files', '--others', '--exclude-standard', '-z', ...within], run),
  ];
  return new Set(outputs.flatMap(({ stdout }) => stdout.toString('utf8').split('\0').filter(Boolean)));
}

/**
 * Git refuses a checkout that belongs to another user, as in the containers of build systems, unless its configuration
 * names the directory. That configuration is not read here, so what it trusts is handed on.
 */
async function trusted(command: GitCommand, cwd: string, env: NodeJS.ProcessEnv): Promise<CommandEnvironment> {
  const home = env['HOME'];
  const files = [
    '/etc/gitconfig',
    ...(home ? [join(env['XDG_CONFIG_HOME'] ?? join(home, '.config'), 'git/config'), join(home, '.gitconfig')] : []),
  ];
  const config: (readonly [string, string])[] = [];
  for (const file of files) {
    const args = ['config', '--file', file, '--null', '--get-all', 'safe.directory'];
    const { stdout } = await command.run(args, { cwd: '/', deadlineMs: DEADLINE_MS, anyExit: true });
    for (const value of stdout.toString('utf8').split('\0').filter(Boolean)) config.push(['safe.directory', value]);
  }
  return { variables: { PWD: cwd }, config, secrets: [] };
}
