/** The git program: its version, what it needs for this kind of remote, and what is known to be wrong with it. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { GitSettings } from '../config/settings.ts';
import { GitCommand, isOnPath } from '../git/git-command.ts';
import type { RemoteAddress } from '../git/remote-address.ts';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

const CALL_MS = 10_000;
const HELPER_OF: Readonly<Partial<Record<RemoteAddress['transport'], (url: string) => string>>> = {
  http: (url) => (url.startsWith('https:') ? 'git-remote-https' : 'git-remote-http'),
};

export async function* checkGit(parts: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const { repository, settings, operatorEnv } = parts;
  let version: string;
  try {
    version = await repository.command.gitVersion();
    yield ok('git', `git ${version}`);
  } catch (error) {
    yield broken('git', error, 'install git 2.31 or newer and put it in PATH');
    return;
  }
  yield* judgeGitVersion(version, settings.git);
  const { address } = repository.command;
  if (address.transport === 'ssh' && !isOnPath('ssh', operatorEnv['PATH'] ?? '')) {
    yield broken('ssh', 'there is no ssh in PATH, and the repository is reached by it', 'install openssh-client');
  }
  const helper = HELPER_OF[address.transport]?.(address.url);
  if (helper !== undefined) yield await checkHelper(helper, parts, signal);
}

/** Some systems ship git and what it speaks HTTP with apart. */
async function checkHelper(helper: string, parts: DoctorParts, signal: AbortSignal): Promise<CheckResult> {
  const check = 'git over http';
  try {
    const git = new GitCommand(parts);
    const { stdout } = await git.run(['--exec-path'], { cwd: '/', deadlineMs: CALL_MS, signal });
    const path = join(stdout.toString('utf8').trim(), helper);
    const isThere = await stat(path).then(
      () => true,
      () => false,
    );
    if (isThere) return ok(check, `${helper} is there`);
    return broken(
      check,
      `git has no ${helper}`,
      'install the part of git that speaks http (often git itself, not git-minimal)',
    );
  } catch (error) {
    return warning(check, `git cannot be asked where its programs are: ${messageOf(error)}`, null);
  }
}

interface KnownTrouble {
  /** Per release line, the first version without it; a line that is not listed has it when it is older than the last. */
  mendedIn: readonly (readonly [number, number, number])[];
  concerns: (settings: Pick<GitSettings, 'credentialHelper'>) => boolean;
  finding: string;
}

const TROUBLES: readonly KnownTrouble[] = [
  {
    mendedIn: [
      [2, 40, 4],
      [2, 41, 3],
      [2, 42, 4],
      [2, 43, 6],
      [2, 44, 3],
      [2, 45, 3],
      [2, 46, 3],
      [2, 47, 2],
      [2, 48, 1],
    ],
    // Without a helper nothing is told of the addresses in question.
    concerns: ({ credentialHelper }) => credentialHelper !== null,
    finding: 'passes line ends in addresses on to credential helpers (CVE-2024-52006)',
  },
];

/** Distributions mend old versions without telling by the number, so none of this is more than a warning. Pure. */
export function* judgeGitVersion(
  version: string,
  settings: Pick<GitSettings, 'credentialHelper'>,
): Generator<CheckResult> {
  const [, major, minor, patch = '0'] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  if (major === undefined || minor === undefined) return;
  const own = [Number(major), Number(minor), Number(patch)] as const;
  for (const { mendedIn, concerns, finding } of TROUBLES) {
    if (!concerns(settings)) continue;
    const line = mendedIn.find(([a, b]) => a === own[0] && b === own[1]);
    const latest = mendedIn.at(-1) ?? own;
    const isMended = line ? own[2] >= line[2] : compare(own, latest) > 0;
    if (isMended) continue;
    const remedy = `install git ${latest.join('.')} or newer, unless your distribution says that it has mended ${version}`;
    yield warning('git version', `git ${version} ${finding}`, remedy);
  }
}

function compare(one: readonly number[], other: readonly number[]): number {
  for (const [index, number] of one.entries()) {
    const difference = number - (other[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
