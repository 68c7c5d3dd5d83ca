/** Kinds of failure of a Git operation. Callers branch on `kind`, never on text. */
export const GIT_ERROR_KINDS = [
  /** Name resolution, connection refused or broken, time-outs, 5xx: worth trying again. */
  'network',
  /** The host asked to slow down (429, 503 with Retry-After): worth trying again, later. */
  'throttled',
  /** Our deadline passed and the process group was killed. The outcome of a push is unknown. */
  'deadline',
  /** 401, 403, a missing key, a changed host key: a person has to mend it. */
  'auth',
  /** The repository does not exist, or is not visible to us. */
  'not-found',
  /** The host refuses this operation for good (a hook, a protected or hidden ref, a quota). */
  'refused',
  /** Objects or refs of the local clone are damaged: throw it away and fetch again. */
  'corrupt-local',
  /** The remote keeps a ref locked: a crash there has left the lock file, or its disk is very slow. */
  'locked',
  /** The remote has damaged or missing objects, or a broken ref: its operator has to mend it. */
  'corrupt-remote',
  /** No space, read-only file system, permissions on this machine. */
  'local-io',
  /** The directory for the local clone holds something that is not ours: a person has to decide. */
  'occupied',
  /** git itself is missing or too old. */
  'no-git',
  /** The operation was aborted by our own signal. */
  'aborted',
  /** Anything else. */
  'unknown',
] as const;
export type GitErrorKind = (typeof GIT_ERROR_KINDS)[number];

export class GitError extends Error {
  override readonly name = 'GitError';
  readonly kind: GitErrorKind;
  /** The git sub-command, as `fetch` or `push`. */
  readonly operation: string;
  /** How long the host asked us to wait, if it did. */
  readonly retryAfterMs: number | null;

  constructor(
    kind: GitErrorKind,
    operation: string,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | null } = {},
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.operation = operation;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** Which kinds a later try may mend without a person's help. */
export const RETRYABLE: Readonly<Record<GitErrorKind, boolean>> = {
  network: true,
  throttled: true,
  deadline: true,
  auth: false,
  'not-found': false,
  refused: false,
  locked: false,
  'corrupt-local': false,
  'corrupt-remote': false,
  'local-io': false,
  occupied: false,
  'no-git': false,
  aborted: false,
  unknown: true,
};

/** Which kinds are worth waiting for at a start, without an end: they pass, or are mended where the worker is not. */
export const WAITS: Readonly<Record<GitErrorKind, boolean>> = {
  network: true,
  throttled: true,
  deadline: true,
  auth: false,
  'not-found': false,
  refused: false,
  locked: true,
  'corrupt-local': false,
  'corrupt-remote': true,
  'local-io': true,
  occupied: false,
  'no-git': false,
  aborted: false,
  unknown: false,
};
