/**
 * From the end of a git process to the kind of its failure. The texts are those of git 2.31 and later under `LC_ALL=C`,
 * of curl and of OpenSSH, each provoked once and kept in the test's table.
 */
import type { GitErrorKind } from './errors.ts';

/** Why we ended the process ourselves; null when it ended by itself. */
export type Ending = 'deadline' | 'aborted' | 'too-large' | null;

export interface CommandEnd {
  /** As Node reports it: negative when the process could not be started, null when a signal ended it. */
  exitCode: number | null;
  stderr: string;
  ending: Ending;
  /** How long the host asked us to wait. */
  retryAfterMs?: number | null;
}

interface Rule {
  kind: GitErrorKind;
  pattern: RegExp;
}

/** Said by this machine about its own disk. Above the rest, because what follows such a line is only its echo. */
const LOCAL_IO_RULES: readonly Rule[] = [
  {
    kind: 'local-io',
    pattern:
      /No space left on device|Read-only file system|Disk quota exceeded|Input\/output error|Too many open files|Cannot allocate memory|Out of memory|File too large|(?:unable to|cannot|could not|failed to) (?:create|open|write|mkdir|unlink|append|read)[^\n]*: (?:Permission denied|Not a directory)|insufficient permission for adding an object/i,
  },
];

/** Said by the remote, in lines that Git marks with `remote:`. */
const REMOTE_RULES: readonly Rule[] = [
  { kind: 'throttled', pattern: /rate limit|too many requests|abuse detection|try again later/i },
  {
    kind: 'corrupt-remote',
    pattern:
      /possible repository corruption|unable to read [0-9a-f]{40}|bad (?:commit |tree |blob )?object|\) is corrupt|object file .* is empty|missing (?:blob|tree|commit)|reference broken|unable to parse|Could not read [0-9a-f]{40}/i,
  },
  { kind: 'auth', pattern: /permission (?:to .* )?denied|access denied|not allowed to push code|invalid credentials/i },
  { kind: 'refused', pattern: /hook declined|protected branch|quota exceeded|read[- ]only|archived/i },
];

/** Order matters: Git follows a precise line with general ones such as "the remote end hung up". */
const RULES: readonly Rule[] = [
  { kind: 'throttled', pattern: /returned error: 429|HTTP 429|rate limit|too many requests/i },
  {
    kind: 'auth',
    pattern:
      /Authentication failed|could not read (?:Username|Password)|returned error: 40[137]|HTTP 40[137]|Permission denied \([a-z, -]+\)|Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|detected dubious ownership|SSL certificate problem|server certificate verification failed|Too many authentication failures|no matching host key|Load key .*(?:invalid format|bad permissions)|UNPROTECTED PRIVATE KEY FILE|access denied/i,
  },
  {
    kind: 'not-found',
    pattern:
      /repository '[^\n]*' not found|returned error: 404|HTTP 404|does not appear to be a git repository|Repository not found|repository does not exist|no such repository/i,
  },
  {
    kind: 'corrupt-remote',
    pattern:
      /in \.\/packed-refs|not our ref|unadvertised object|bad object refs\/|possible repository corruption|broken remote ref/i,
  },
  {
    kind: 'refused',
    pattern:
      /hook declined|deny updating a hidden ref|protected branch|shallow update not allowed|funny refname|invalid refspec|not allowed to push|does not support (?:deleting refs|shallow|--atomic)|transport '[^\n]*' not allowed|service not enabled|denying (?:ref deletion|non-fast-forward)|Server does not (?:support|allow)/i,
  },
  {
    kind: 'corrupt-local',
    pattern:
      /not a git repository|bad config|bad (?:commit |tree |blob )?object [0-9a-f]{40}|did not send all necessary objects|mmap failed|unable to read tree|\(stored in [^\n]*\) is corrupt|object file [^\n]* is empty|does not match index|index file [^\n]* is too small|non-monotonic index|reference broken|ignoring (?:broken|dangling) ref|unable to resolve reference|bad shallow line|unexpected line in [^\n]*packed-refs|unterminated line in [^\n]*packed-refs|Could not read [0-9a-f]{40}|Failed to traverse parents|unable to (?:unpack|parse|read) [0-9a-f]{40}|missing (?:blob|tree|commit) object|revision walk setup failed|\.lock': File exists|some local refs could not be updated|cannot lock ref|unable to update local ref|unknown repository extension|Expected git repo version|object directory [^\n]* does not exist|invalid gitfile format|hash mismatch|unable to find [0-9a-f]{40}|garbage at end of loose object/i,
  },
  {
    kind: 'network',
    pattern:
      /Could not resolve|Couldn't connect|Failed to connect|unable to connect|Connection (?:refused|reset|timed out|closed)|timed out|returned error: 5\d\d|HTTP 5\d\d|returned error: 408|HTTP 408|Empty reply from server|RPC failed|transfer closed|Operation too slow|hung up unexpectedly|early EOF|unexpected disconnect|expected flush|expected 'acknowledgments'|Network is unreachable|No route to host|Broken pipe|SSL_ERROR|TLS|gnutls|Recv failure|Send failure|bad pack header|index-pack failed|protocol error|bad line length|invalid index-pack output|unpack-objects failed|pack is corrupted|inflate: data stream error|pack signature mismatch|connect to host|Name or service not known|Temporary failure|invalid server response|HTTP\/2 stream/i,
  },
];

/** The kind of a command that failed. Pure. */
export function classify(end: CommandEnd): GitErrorKind {
  if (end.ending === 'deadline') return 'deadline';
  if (end.ending === 'aborted') return 'aborted';
  if (end.ending === 'too-large') return 'unknown';
  if (isMissingGit(end)) return 'no-git';
  // Some hosts say it with a 403 or a 503.
  if (typeof end.retryAfterMs === 'number') return 'throttled';
  const { local, remote } = splitLines(end.stderr);
  return firstMatch(LOCAL_IO_RULES, local) ?? firstMatch(REMOTE_RULES, remote) ?? firstMatch(RULES, local) ?? 'unknown';
}

/**
 * Whether a text that came along with a success tells of damage in the local clone: `git cat-file` reports an unreadable
 * object as missing, and its reason only here.
 */
export function tellsOfDamage(stderr: string): boolean {
  return firstMatch(RULES, splitLines(stderr).local) === 'corrupt-local' || /^error: /m.test(stderr);
}

function isMissingGit(end: CommandEnd): boolean {
  if (end.exitCode === 127) return /failed to execute|not found|No such file/i.test(end.stderr);
  return (end.exitCode ?? 0) < 0 && /ENOENT|EACCES/.test(end.stderr);
}

/** The remote's words apart from our own git's, so that "No space left" is put down to the right machine. */
function splitLines(stderr: string): { local: string; remote: string } {
  const lines = stderr.split(/[\n\r]+/);
  return {
    local: lines.filter((line) => !line.startsWith('remote: ')).join('\n'),
    remote: lines.filter((line) => line.startsWith('remote: ')).join('\n'),
  };
}

function firstMatch(rules: readonly Rule[], text: string): GitErrorKind | null {
  return rules.find((rule) => rule.pattern.test(text))?.kind ?? null;
}
