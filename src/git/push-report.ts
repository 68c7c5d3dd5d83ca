/** What `git push --porcelain` prints for each ref, and what that means for a swap. */
import { type RefName, refName } from './oid.ts';
import type { SwapVerdict } from './repository.ts';

/**
 * The ref was not where we said. On the server's side this is a lost race for the lock as well; a lock that a crashed
 * server left looks the same, and shows by never going away.
 */
const MOVED =
  /stale info|fetch first|needs force|already exists|cannot lock ref|unable to lock|failed to (?:lock|update ref)|incorrect old value|but expected|non-matching old/i;

/** The other side's words for a ref that somebody holds the lock of. */
const LOCKED = /cannot lock ref|unable to lock|failed to (?:lock|update ref)/i;

/** Whether the reason of a rejection is a lock, and not that the ref has moved. */
export function tellsOfLock(reason: string): boolean {
  return LOCKED.test(reason);
}

const MAX_REASON_CHARACTERS = 500;

/** The host will not, however often it is asked. */
const FORBIDDEN =
  /hook declined|hidden ref|protected|funny refname|\bden(?:y|ied|ying)\b|prohibited|not (?:permitted|allowed)|permission|forbidden|policy|quota|read[- ]only|archived|does not support|non-fast-forward|currently checked out|refusing|\bGH\d{3}\b/i;

/** Refs that git said nothing about are absent. */
export function parsePushReport(output: string): Map<RefName, SwapVerdict> {
  const verdicts = new Map<RefName, SwapVerdict>();
  for (const line of output.split('\n')) {
    const [flag, names, summary] = line.split('\t');
    if (flag === undefined || flag.length !== 1 || names === undefined || summary === undefined) continue;
    const target = names.slice(names.indexOf(':') + 1);
    if (target.startsWith('refs/')) verdicts.set(refName(target), verdictFor(flag, summary));
  }
  return verdicts;
}

function verdictFor(flag: string, summary: string): SwapVerdict {
  switch (flag) {
    case ' ':
    case '+':
    case '-':
    case '*':
      return { kind: 'applied' };
    case '=':
      // Said without a look at the lease: the ref holds our object already, whoever put it there.
      return { kind: 'unclear', reason: 'the ref holds this object already' };
    case '!':
      return rejection(summary);
    default:
      return { kind: 'unclear', reason: summary };
  }
}

function rejection(summary: string): SwapVerdict {
  const [, where = '', reason = summary] = /^\[([^\]]*)\](?: \((.*)\))?/.exec(summary) ?? [];
  // Our own git compares with what the remote advertised a moment ago: not as good as the remote's word, but never wrong
  // in saying that the ref was elsewhere.
  if (where === 'rejected') return { kind: 'rejected', reason };
  if (where !== 'remote rejected') return { kind: 'unclear', reason: summary };
  return verdictOfRemote(reason);
}

/** What the reason means with which the remote itself would not move a ref. */
export function verdictOfRemote(words: string): SwapVerdict {
  const reason = words.slice(0, MAX_REASON_CHARACTERS);
  if (MOVED.test(reason)) return { kind: 'rejected', reason };
  if (FORBIDDEN.test(reason)) return { kind: 'refused', reason };
  return { kind: 'unclear', reason };
}
