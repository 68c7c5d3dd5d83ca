/** What a failure of Git means for the person at the terminal, and what to do about it. */
import { GitError, type GitErrorKind } from '../git/errors.ts';
import { Failure } from './failure.ts';

const REMEDIES: Readonly<Record<GitErrorKind, string>> = {
  network: 'check the address (DGRID_REPO_URL) and the way to it: name resolution, proxy, firewall',
  throttled: 'the host asks to slow down: try again later, or raise PULL_INTERVAL and set GIT_PUSHES_PER_MINUTE',
  deadline: 'the host did not answer in time: try again, or raise GIT_COMMAND_TIMEOUT',
  auth: 'check GIT_TOKEN, GIT_TOKEN_FILE, GIT_SSH_KEY_FILE or GIT_CREDENTIAL_HELPER, and that the account may write',
  'not-found': 'check DGRID_REPO_URL; hosts also say this when the account may not see the repository',
  refused: 'the host does not allow this: look at its hooks, protected branches and hidden refs',
  locked: 'if no git runs in the repository on the host, remove the lock file (the name of the ref with .lock)',
  'corrupt-local': 'remove the local clone (DGRID_REPO_PATH); it is made anew',
  'corrupt-remote': 'the repository on the host is damaged: run "git fsck" there',
  'local-io': 'check free space, permissions and mount options on this machine',
  occupied: 'set DGRID_REPO_PATH to another directory, or empty it',
  'no-git': 'install git 2.31 or newer',
  aborted: 'it was interrupted; try again',
  unknown: 'look at the cause; LOG_LEVEL=debug shows each git command',
};

/** null when the error is not Git's. */
export function gitFailure(error: unknown): Failure | null {
  if (!(error instanceof GitError)) return null;
  return new Failure('failed', `${error.message}\n${REMEDIES[error.kind]}`, { cause: error.cause });
}
