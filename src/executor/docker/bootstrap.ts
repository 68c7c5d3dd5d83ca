/**
 * How a script gets into its container: over standard input, into the task's own directory in memory. Not as an argument
 * (the kernel takes 128 KiB at most) and not as a file copied by the engine (the root file system is read-only).
 *
 * First comes a line with variables, then one with the names and lengths of secrets, then one with the number of bytes, then
 * the bytes: the secrets, and the script behind them. A worker that dies while sending closes standard input, so the
 * bootstrap can tell a whole script from half of one, and half of one is never run.
 *
 * The line with variables is for a container that was made before anybody knew its task; in any other it is empty.
 *
 * Secrets become files in a directory in memory of their own. They pass through no variable and no argument, and what holds
 * them together with the script lies in memory too, until the script begins.
 */
import type { Secret } from '../../secrets/secret.ts';

/** No image has this directory, so no image can say what its mode is. */
export const WORK_DIR = '/dgrid';
/** Likewise. The variable DGRID_SECRETS_DIR tells a task of it. */
export const SECRETS_DIR = '/dgrid-secrets';
const SCRIPT_FILE = `${WORK_DIR}/.script`;
const SHELL = '/bin/sh';
const BOOTSTRAP_EXIT_CODE = 125;

export type BootstrapFailure = 'incomplete' | 'no-room' | 'no-tools';
const FAILURES: readonly BootstrapFailure[] = ['incomplete', 'no-room', 'no-tools'];

function marker(failure: string, nonce: string): string {
  return `dgrid-bootstrap ${nonce} ${failure}`;
}

/** Of the bootstrap itself. No task has a variable by such a name: the prefix is reserved. */
const OWN_VARIABLES = [
  'DGRID_NONCE',
  'DGRID_ENV',
  'DGRID_SECRETS',
  'DGRID_NAME',
  'DGRID_BYTES',
  'DGRID_AT',
  'DGRID_SIZE',
  'DGRID_FIRST',
  'DGRID_NL',
] as const;

/**
 * A script that names an interpreter in its first line gets it; anything else is for /bin/sh.
 * The shell that reads this is replaced at the end, so nothing of it stays in the task's environment. The task's variables
 * come last: whatever they mean to a shell, no program is looked for after them.
 *
 * The variables are read by the shell itself, which takes byte by byte; `head` may take more than it was asked for, so
 * nothing can come behind what it reads.
 */
const BOOTSTRAP = [
  'umask 077',
  `fail() { echo "${marker('$1', '$DGRID_NONCE')}" >&2; exit ${BOOTSTRAP_EXIT_CODE}; }`,
  'DGRID_NONCE=$1',
  `cd ${WORK_DIR} || fail no-room`,
  'command -v head >/dev/null && command -v wc >/dev/null || fail no-tools',
  'IFS= read -r DGRID_ENV || fail incomplete',
  'IFS= read -r DGRID_SECRETS || fail incomplete',
  'IFS= read -r DGRID_SIZE || fail incomplete',
  "case $DGRID_SIZE in ''|*[!0-9]*) fail incomplete ;; esac",
  `head -c "$DGRID_SIZE" >${SCRIPT_FILE} || fail no-room`,
  `[ "$(wc -c <${SCRIPT_FILE})" -eq "$DGRID_SIZE" ] || fail incomplete`,
  // `name:bytes ` for each. Taken apart without splitting words, which a task's variables may have changed.
  'if [ -n "$DGRID_SECRETS" ]; then',
  'command -v tail >/dev/null && command -v chmod >/dev/null && command -v mv >/dev/null || fail no-tools',
  'DGRID_AT=1',
  'while [ -n "$DGRID_SECRETS" ]; do',
  'DGRID_NAME=${DGRID_SECRETS%%:*} DGRID_SECRETS=${DGRID_SECRETS#*:}',
  'DGRID_BYTES=${DGRID_SECRETS%% *} DGRID_SECRETS=${DGRID_SECRETS#* }',
  `tail -c "+$DGRID_AT" ${SCRIPT_FILE} 2>/dev/null | head -c "$DGRID_BYTES" >"${SECRETS_DIR}/$DGRID_NAME" || fail no-room`,
  `[ "$(wc -c <"${SECRETS_DIR}/$DGRID_NAME")" -eq "$DGRID_BYTES" ] || fail no-room`,
  `chmod 400 "${SECRETS_DIR}/$DGRID_NAME" || fail no-room`,
  'DGRID_AT=$((DGRID_AT + DGRID_BYTES))',
  'done',
  `tail -c "+$DGRID_AT" ${SCRIPT_FILE} >${SCRIPT_FILE}.rest && mv -f ${SCRIPT_FILE}.rest ${SCRIPT_FILE} || fail no-room`,
  'fi',
  'unset OLDPWD; DGRID_FIRST=',
  `IFS= read -r DGRID_FIRST <${SCRIPT_FILE}`,
  `set -- ${SHELL} ${SCRIPT_FILE}`,
  `case $DGRID_FIRST in '#!'*) chmod 700 ${SCRIPT_FILE} && set -- ${SCRIPT_FILE} ;; esac`,
  `echo "${marker('ready', '$DGRID_NONCE')}" >&2`,
  "DGRID_NL='\n'",
  // A shell may have something to say about a value; the one that runs the script says it again.
  'eval "$DGRID_ENV" 2>/dev/null',
  `unset ${OWN_VARIABLES.join(' ')}`,
  'exec "$@" </dev/null',
].join('\n');

/** The program that waits for the script. */
export function bootstrapArgv(nonce: string): string[] {
  return [SHELL, '-c', BOOTSTRAP, 'dgrid', nonce];
}

/** What is sent on standard input. @param env only what `canTravel`: the rest has to be there from the beginning. */
export function bootstrapInput(script: string, env: Environment = {}, secrets: readonly Secret[] = []): Buffer {
  const bytes = Buffer.concat([...secrets.map((secret) => secret.bytes), Buffer.from(script, 'utf8')]);
  const names = secrets.map((secret) => `${secret.name}:${secret.bytes.length} `).join('');
  return Buffer.concat([Buffer.from(`${exports(env)}\n${names}\n${bytes.length}\n`), bytes]);
}

export type Environment = Readonly<Record<string, string>>;

/** A shell takes the line with variables byte by byte, and looks at each. */
const MAX_TRAVELLING_ENV_BYTES = 16 * 1024;
/** Has to be there before anybody asks what became of it, on a slow line too. */
const MAX_TRAVELLING_SCRIPT_BYTES = 1024 * 1024;

/**
 * Names that a shell does not pass on as they are: it gives them a meaning of its own, changes them as it runs, or refuses
 * to set them and ends.
 */
const SHELL_NAMES = new Set(
  [
    '_ IFS ENV PWD OLDPWD PPID UID EUID GROUPS SHLVL LINENO OPTIND OPTARG OPTERR PS1 PS2 PS3 PS4 MAIL MAILPATH',
    'MAILCHECK SHELLOPTS DIRSTACK FUNCNAME FUNCNEST PIPESTATUS RANDOM SRANDOM SECONDS EPOCHSECONDS EPOCHREALTIME',
    'HISTCMD HISTFILE HISTSIZE COLUMNS LINES FPATH CDPATH POSIXLY_CORRECT ATTY HISTFILESIZE HISTCONTROL TMOUT',
    'REPLY COPROC COMP_WORDBREAKS GLOBIGNORE EXECIGNORE IGNOREEOF INPUTRC NULLCMD',
  ].flatMap((line) => line.split(' ')),
);
const SHELL_PREFIXES = ['BASH', 'KSH', 'ZSH', 'COMP_', 'READLINE'];

/** Whether a script can be sent with its variables and secrets. If not, it needs a container that is made with them. */
export function canTravel(script: string, env: Environment, secrets: readonly Secret[] = []): boolean {
  const names = Object.keys(env);
  const isOrdinary = (name: string) =>
    !SHELL_NAMES.has(name) && !SHELL_PREFIXES.some((prefix) => name.startsWith(prefix));
  return (
    names.every(isOrdinary) &&
    Buffer.byteLength(exports(env)) <= MAX_TRAVELLING_ENV_BYTES &&
    secrets.reduce((sum, { bytes }) => sum + bytes.length, Buffer.byteLength(script)) <= MAX_TRAVELLING_SCRIPT_BYTES
  );
}

/** One line of shell that sets them, whatever is in the values: quoted, with the ends of lines in a variable. */
function exports(env: Environment): string {
  return Object.entries(env)
    .map(([name, value]) => {
      const quoted = value.replaceAll("'", "'\\''").replaceAll('\n', `'"$DGRID_NL"'`);
      return `export ${name}='${quoted}'`;
    })
    .join(';');
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
  const patterns = INIT_FAILURES.filter(({ exitCodes }) => exitCode !== null && exitCodes.includes(exitCode));
  if (patterns.length === 0) return null;
  const text = Buffer.from(stderr.subarray(0, 2048)).toString('utf8');
  const match = patterns.map(({ pattern }) => pattern.exec(text)).find((found) => found !== null);
  const words = match?.[1]?.trim() ?? null;
  if (words === null || !words.startsWith(`exec ${SHELL} failed: No such file`)) return words;
  return `the image has no ${SHELL}, which a script needs; use a command instead`;
}

const INIT_FAILURES = [
  { exitCodes: [126, 127], pattern: /^\[FATAL tini \(\d+\)\] (exec .+ failed: .+)\s*$/ },
  // Podman's. It says 1 for everything.
  { exitCodes: [1, 126, 127], pattern: /^(?:ERROR \(catatonit:\d+\): |catatonit: )(failed to exec .+)\s*$/ },
];
