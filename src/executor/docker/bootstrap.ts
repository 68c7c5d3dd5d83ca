/**
 * How a script gets into its container: over standard input, into the task's own directory in memory. Not as an argument
 * (the kernel takes 128 KiB at most) and not as a file copied by the engine (the root file system is read-only).
 *
 * First comes a line with the number of bytes, then the bytes. A worker that dies while sending closes standard input, so
 * the bootstrap can tell a whole script from half of one, and half of one is never run.
 */

/** No image has this directory, so no image can say what its mode is. */
export const WORK_DIR = '/dgrid';
const SCRIPT_FILE = `${WORK_DIR}/.script`;
const SHELL = '/bin/sh';
const BOOTSTRAP_EXIT_CODE = 125;

export type BootstrapFailure = 'incomplete' | 'no-room' | 'no-tools';
const FAILURES: readonly BootstrapFailure[] = ['incomplete', 'no-room', 'no-tools'];

function marker(failure: string, nonce: string): string {
  return `dgrid-bootstrap ${nonce} ${failure}`;
}

/**
 * A script that names an interpreter in its first line gets it; anything else is for /bin/sh.
 * The shell that reads this is replaced at the end, so nothing of it stays in the task's environment.
 */
const BOOTSTRAP = [
  'umask 077',
  `fail() { echo "${marker('$1', '$nonce')}" >&2; exit ${BOOTSTRAP_EXIT_CODE}; }`,
  'nonce=$1',
  `cd ${WORK_DIR} || fail no-room`,
  'command -v head >/dev/null && command -v wc >/dev/null || fail no-tools',
  'IFS= read -r size || fail incomplete',
  "case $size in ''|*[!0-9]*) fail incomplete ;; esac",
  `head -c "$size" >${SCRIPT_FILE} || fail no-room`,
  `[ "$(wc -c <${SCRIPT_FILE})" -eq "$size" ] || fail incomplete`,
  'unset OLDPWD; first=',
  `IFS= read -r first <${SCRIPT_FILE}`,
  `echo "${marker('ready', '$nonce')}" >&2`,
  `case $first in '#!'*) chmod 700 ${SCRIPT_FILE} && exec ${SCRIPT_FILE} </dev/null ;; esac`,
  `exec ${SHELL} ${SCRIPT_FILE} </dev/null`,
].join('\n');

/** The program that waits for the script. */
export function bootstrapArgv(nonce: string): string[] {
  return [SHELL, '-c', BOOTSTRAP, 'dgrid', nonce];
}

/** What is sent on standard input. */
export function bootstrapInput(script: string): Buffer {
  const bytes = Buffer.from(script, 'utf8');
  return Buffer.concat([Buffer.from(`${bytes.length}\n`), bytes]);
}

/**
 * The line on standard error with which the bootstrap says that it has the whole script; everything after it is the
 * task's. Not every lost connection closes standard input (an engine that restarts may keep it open for good), so the
 * absence of this line is what tells a container that waits in vain.
 */
export function bootstrapReadyLine(nonce: string): Buffer {
  return Buffer.from(`${marker('ready', nonce)}\n`);
}

/**
 * What the bootstrap said, or null when the script was started. The nonce keeps a task that happens to print such a line
 * from being taken for it.
 */
export function readBootstrapFailure(
  exitCode: number | null,
  stderr: Uint8Array,
  nonce: string,
): BootstrapFailure | null {
  if (exitCode !== BOOTSTRAP_EXIT_CODE) return null;
  const text = Buffer.from(stderr.subarray(Math.max(0, stderr.length - 512))).toString('latin1');
  return FAILURES.find((failure) => text.endsWith(`${marker(failure, nonce)}\n`)) ?? null;
}

/**
 * The init process reports a program that it could not start on standard error, and exits with the shell's codes for it.
 * @returns its words, or null when the exit code is the task's own.
 */
export function readInitFailure(exitCode: number | null, stderr: Uint8Array): string | null {
  if (exitCode !== 126 && exitCode !== 127) return null;
  const text = Buffer.from(stderr.subarray(0, 2048)).toString('utf8');
  const match = INIT_FAILURES.map((pattern) => pattern.exec(text)).find((found) => found !== null);
  const words = match?.[1]?.trim() ?? null;
  if (words === null || !words.startsWith(`exec ${SHELL} failed: No such file`)) return words;
  return `the image has no ${SHELL}, which a script needs; use a command instead`;
}

const INIT_FAILURES = [
  /^\[FATAL tini \(\d+\)\] (exec .+ failed: .+)\s*$/,
  /^(?:ERROR \(catatonit:\d+\): |catatonit: )(failed to exec .+)\s*$/,
];
