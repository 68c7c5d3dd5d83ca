/** What one setting alone cannot tell: rules between settings, and settings that this version does not carry out. */
import { dirname, relative } from 'node:path';
import { isLoopback } from './loopback.ts';
import { MIN_HTTP_TOKEN_LENGTH, type OptionName, type Values } from './options.ts';

export interface Problem {
  /** Of the setting; or the unknown variable's. */
  name: string;
  message: string;
}

export interface Rule {
  /** The rule is looked at only when all of these could be read. The first is the one a problem is filed under. */
  names: readonly [OptionName, ...OptionName[]];
  /** What is wrong and how to mend it, or null. */
  check(values: Values): string | null;
}

export const RULES: readonly Rule[] = [
  {
    names: ['NODE_TTL', 'HEARTBEAT_INTERVAL'],
    check: ({ NODE_TTL, HEARTBEAT_INTERVAL }) =>
      NODE_TTL >= 2 * HEARTBEAT_INTERVAL
        ? null
        : `must be at least twice HEARTBEAT_INTERVAL (${HEARTBEAT_INTERVAL / 1000} s), or one late heartbeat costs the node its tasks: set it to ${(5 * HEARTBEAT_INTERVAL) / 1000}`,
  },
  {
    names: ['GIT_PUSHES_PER_MINUTE', 'HEARTBEAT_INTERVAL'],
    check: ({ GIT_PUSHES_PER_MINUTE, HEARTBEAT_INTERVAL }) =>
      GIT_PUSHES_PER_MINUTE === 0 || GIT_PUSHES_PER_MINUTE * HEARTBEAT_INTERVAL >= 60_000
        ? null
        : 'does not even allow the heartbeats: raise it, or HEARTBEAT_INTERVAL',
  },
  {
    names: ['DOCKER_WORK_SIZE', 'DOCKER_MEMORY'],
    check: ({ DOCKER_WORK_SIZE, DOCKER_MEMORY }) =>
      DOCKER_WORK_SIZE < DOCKER_MEMORY
        ? null
        : 'must be below DOCKER_MEMORY, since the work directory lies in memory: lower it, or raise DOCKER_MEMORY',
  },
  {
    names: ['GIT_TOKEN', 'GIT_TOKEN_FILE'],
    check: ({ GIT_TOKEN, GIT_TOKEN_FILE }) =>
      GIT_TOKEN === null || GIT_TOKEN_FILE === null
        ? null
        : 'and GIT_TOKEN_FILE are both set, and it is not clear which one counts: unset one of them',
  },
  {
    names: ['WEBHOOK_SECRET', 'WEBHOOK_SECRET_FILE'],
    check: ({ WEBHOOK_SECRET, WEBHOOK_SECRET_FILE }) =>
      WEBHOOK_SECRET === null || WEBHOOK_SECRET_FILE === null
        ? null
        : 'and WEBHOOK_SECRET_FILE are both set, and it is not clear which one counts: unset one of them',
  },
  {
    names: ['HTTP_PORT', 'WEBHOOK_SECRET', 'WEBHOOK_SECRET_FILE'],
    check: ({ HTTP_PORT, WEBHOOK_SECRET, WEBHOOK_SECRET_FILE }) =>
      HTTP_PORT !== 0 || (WEBHOOK_SECRET === null && WEBHOOK_SECRET_FILE === null)
        ? null
        : 'is 0, so no webhook can be received: set a port, or unset WEBHOOK_SECRET and WEBHOOK_SECRET_FILE',
  },
  {
    names: ['HTTP_TOKEN', 'HTTP_TOKEN_FILE'],
    check: ({ HTTP_TOKEN, HTTP_TOKEN_FILE }) =>
      HTTP_TOKEN === null || HTTP_TOKEN_FILE === null
        ? null
        : 'and HTTP_TOKEN_FILE are both set, and it is not clear which one counts: unset one of them',
  },
  {
    names: ['HTTP_HOST', 'HTTP_PORT', 'HTTP_TOKEN', 'HTTP_TOKEN_FILE'],
    check: ({ HTTP_HOST, HTTP_PORT, HTTP_TOKEN, HTTP_TOKEN_FILE }) =>
      HTTP_PORT === 0 || HTTP_TOKEN !== null || HTTP_TOKEN_FILE !== null || isLoopback(HTTP_HOST)
        ? null
        : `is ${HTTP_HOST}, which other machines can reach, and the pages have no token: put one of at least ${MIN_HTTP_TOKEN_LENGTH} characters into a file and name it as HTTP_TOKEN_FILE, or set HTTP_HOST=127.0.0.1, or HTTP_PORT=0 to serve none`,
  },
  {
    names: ['DGRID_REPO_PATH', 'DGRID_STATE_DIR'],
    check: ({ DGRID_REPO_PATH, DGRID_STATE_DIR }) =>
      isInside(DGRID_STATE_DIR, DGRID_REPO_PATH)
        ? 'must not be the state directory or contain it: a damaged clone is deleted, and results that wait there would go with it'
        : null,
  },
  {
    names: ['DGRID_REPO_PATH', 'DGRID_REPO_URL'],
    check: ({ DGRID_REPO_PATH, DGRID_REPO_URL }) => {
      const source = localPath(DGRID_REPO_URL);
      return source !== null && isInside(source, DGRID_REPO_PATH)
        ? 'must not be the task repository itself or contain it: the clone is a cache that may be deleted at any time'
        : null;
    },
  },
  {
    names: ['DGRID_REPO_PATH'],
    check: ({ DGRID_REPO_PATH }) =>
      dirname(DGRID_REPO_PATH) === DGRID_REPO_PATH ? 'must not be the root directory' : null,
  },
  {
    names: ['ENABLE_TASK_SIGNING', 'TRUSTED_KEYS_FILE'],
    check: ({ ENABLE_TASK_SIGNING, TRUSTED_KEYS_FILE }) =>
      ENABLE_TASK_SIGNING && TRUSTED_KEYS_FILE === null
        ? 'needs to know whom to trust: name the file of trusted keys as TRUSTED_KEYS_FILE ("dgrid keys trust" makes one)'
        : null,
  },
  {
    names: ['SECRETS_POLICY_FILE', 'SECRETS_DIR'],
    check: ({ SECRETS_POLICY_FILE, SECRETS_DIR }) =>
      SECRETS_POLICY_FILE !== null && SECRETS_DIR === null
        ? 'says who may have secrets, and there are none: set SECRETS_DIR to the directory with them, or unset this'
        : null,
  },
  {
    names: ['REVOKED_KEYS_FILE', 'TRUSTED_KEYS_FILE'],
    check: ({ REVOKED_KEYS_FILE, TRUSTED_KEYS_FILE }) =>
      REVOKED_KEYS_FILE !== null && TRUSTED_KEYS_FILE === null
        ? 'revokes nothing without TRUSTED_KEYS_FILE: set that too, or unset this'
        : null,
  },
];

/** Whether `inner` is `outer` or lies below it. */
function isInside(inner: string, outer: string): boolean {
  const way = relative(outer, inner);
  return way === '' || (way !== '..' && !way.startsWith('../'));
}

function localPath(address: string): string | null {
  if (address.startsWith('/')) return address;
  return address.startsWith('file://') ? decodePath(new URL(address).pathname) : null;
}

function decodePath(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    // A lone percent sign: then the path means itself.
    return pathname;
  }
}
