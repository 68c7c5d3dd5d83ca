/**
 * What a failed pull means. The engine tells it in words, its own and the registry's, so this is the one place that reads
 * them.
 */
import type { ImageName } from './image-name.ts';

export type PullFailureKind =
  /** May be over with the next try: a registry that is overloaded or restarted, a lost connection. */
  | 'transient'
  /** Nothing was heard for too long. */
  | 'stalled'
  /** The registry wants other credentials, or any. */
  | 'denied'
  | 'missing'
  | 'other';

/** What is worth another try. */
export const RETRYABLE_PULLS: Readonly<Record<PullFailureKind, boolean>> = {
  transient: true,
  stalled: true,
  denied: false,
  missing: false,
  other: false,
};

export class PullFailure extends Error {
  override readonly name = 'PullFailure';
  readonly kind: PullFailureKind;
  constructor(kind: PullFailureKind, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.kind = kind;
  }
}

/** The first that fits counts: a registry that is asked too often may mention logging in as well. */
const WORDS: readonly (readonly [RegExp, PullFailureKind])[] = [
  [/toomanyrequests|too many requests|rate limit|status:? 429/i, 'transient'],
  [/unexpected (?:http )?status(?: code)?:? 5\d\d|status:? 5\d\d/i, 'transient'],
  [/unauthorized|authentication required|no basic auth credentials|denied|forbidden|insufficient_scope/i, 'denied'],
  [/manifest unknown|name unknown|not found|no matching manifest|does not exist|status:? 404/i, 'missing'],
  [/server gave http response to https client|certificate|invalid reference/i, 'other'],
  [/connection (?:refused|reset|timed out)|broken pipe|unexpected eof|\beof\b|no route to host/i, 'transient'],
  [/timeout|timed out|deadline exceeded|request canceled|network is unreachable/i, 'transient'],
  [/no such host|server misbehaving|temporary failure|service unavailable|bad gateway/i, 'transient'],
  [/internal server error|gateway timeout|unexpected content|short read/i, 'transient'],
];

/** @param words of the engine */
export function judgePull(words: string, name: ImageName): PullFailureKind {
  // An image may be called anything.
  const path = name.repository.slice(name.repository.indexOf('/') + 1);
  const bare = [name.repository, path].reduce((text, part) => text.replaceAll(part, ''), words);
  return WORDS.find(([pattern]) => pattern.test(bare))?.[1] ?? 'other';
}

/** What whoever reads the task's record, or the log, has to know. */
export function explainPull(kind: PullFailureKind, words: string, registry: string, hadCredentials: boolean): string {
  switch (kind) {
    case 'denied':
      return hadCredentials
        ? `the registry ${registry} does not accept the credentials that this worker has for it (${words}); log in again with docker login ${registry}, as the worker's user or with its DOCKER_CONFIG`
        : `the registry ${registry} wants credentials, and this worker has none for it (${words}); if the name is right, use docker login ${registry} as the worker's user, or set DOCKER_CONFIG`;
    case 'missing':
      return `the registry ${registry} does not have it (${words}); check its name and tag`;
    case 'transient':
    case 'stalled':
    case 'other':
      return words;
  }
}
