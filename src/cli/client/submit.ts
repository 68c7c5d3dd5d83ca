/** `dgrid submit`: checks tasks and queues them, all in one commit. */
import type { Command } from 'commander';
import { generateTaskId } from '../../client/generated-id.ts';
import { type SigningWish, signTasks, TooLongToSignError } from '../../client/sign-tasks.ts';
import { type Conflict, type SubmitOutcome, submit, UnclearSubmitError } from '../../client/submit.ts';
import { bounded, type NewTask, readTasks, type TaskOverrides } from '../../client/task-input.ts';
import type { ClientSettings } from '../../config/settings.ts';
import { systemRandomHex } from '../../runtime.ts';
import { SigningError } from '../../signing/ssh-keygen.ts';
import { Failure } from '../failure.ts';
import { counted } from '../figures.ts';
import type { Output } from '../output.ts';
import { type Cli, clientSettings, defineCommand, outputOf } from '../program.ts';
import { followTask } from './follow-task.ts';
import { readSources } from './read-sources.ts';
import type { ResultRow } from './result-table.ts';
import { waitFor } from './wait-for.ts';
import { withClient } from './with-client.ts';

const SHOWN_IDS = 10;
const DAY_MS = 86_400_000;
const DEFAULT_EXPIRY_DAYS = 7;
const MAX_EXPIRY_DAYS = 3_650;
/** A host whose copies lag behind may not show for a moment what it has just taken. */
const UNKNOWN_AFTER_LOOKS = 10;

interface Flags {
  script?: string;
  id?: string;
  image?: string;
  timeout?: string;
  priority?: string;
  wait?: boolean;
  follow?: boolean;
  sign?: string;
  expires?: string;
  notBefore?: string;
}

export function addSubmitCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'submit [file...]',
    summary: 'queue tasks',
    description:
      'Checks task files and queues them: JSON, one task a file, or JSON Lines, one task a line. "-" reads standard input.\n' +
      'All of them come into the queue in one commit, or, when something is wrong with one, none does. Running the same\n' +
      'submit again is safe: a task that is queued already is recognised by its id and content.',
    examples: [
      "dgrid submit --script 'echo hello' --wait",
      'dgrid submit build.json test.json --priority high',
      'generate-tasks | dgrid submit -',
      "dgrid submit --script 'make test' --follow",
      'dgrid submit build.json --sign ~/.ssh/dgrid_tasks',
    ],
    settings: 'client',
  });
  command
    .option('--script <text>', 'a shell script as a task, in the place of files')
    .option('--id <task-id>', 'the id of the task; without it a script gets one that sorts by time')
    .option('--image <name>', 'run in this container image')
    .option('--timeout <seconds>', 'stop the task after so many seconds')
    .option('--priority <level>', 'critical, high, medium or low')
    .option('--sign <key>', 'sign with this SSH private key, or with the agent that holds the key of this .pub file')
    .option('--expires <days>', `a signature may start its task for so many days; default ${DEFAULT_EXPIRY_DAYS}`)
    .option('--not-before <instant>', 'a signature is good from this instant on, such as 2030-01-31T12:00:00Z')
    .option('--wait', 'wait for the results; exit with 3 when a task failed')
    .option('--follow', 'have what the one task writes published while it runs, and print it as it comes; like --wait');
  command.action(async (files: string[]) => {
    const output = outputOf(command, cli);
    const flags: Flags = command.opts();
    // Wrong settings are told before anything is read.
    const settings = clientSettings(command, cli);
    const wish = signingWish(flags, settings, cli);
    const collected = await collect(files, flags, settings, cli);
    const tasks = wish === null ? collected : await signed(collected, wish);
    await withClient(command, cli, output, async (client) => {
      const outcome = await submit(client, tasks).catch((error: unknown) => {
        throw error instanceof UnclearSubmitError ? unclear(error, tasks, flags) : error;
      });
      const queued = accepted(outcome);
      tell(output, queued);
      let results: ResultRow[] | null = null;
      const ids = tasks.map(({ taskId }) => taskId);
      const [followed] = flags.follow ? ids : [];
      if (followed !== undefined) {
        const how = { stream: 'both', intervalMs: null, unknownAfterLooks: UNKNOWN_AFTER_LOOKS } as const;
        if ((await followTask(client, cli, output, followed, how)) === null) return;
      } else if (flags.wait) {
        results = await waitFor(client, cli, output, ids, { timeoutMs: null, unknownAfterLooks: UNKNOWN_AFTER_LOOKS });
        if (!results) return;
      }
      const document = { queued: queued.queued, already_queued: queued.alreadyQueued, commit: queued.commit };
      output.document(results ? { ...document, tasks: results } : document);
    });
  });
}

/** null: nothing is to be signed. @throws Failure (usage) */
function signingWish(
  { sign, expires, notBefore }: Flags,
  { grid, maxTaskBytes }: ClientSettings,
  cli: Cli,
): SigningWish | null {
  if (sign === undefined) {
    const idle = expires !== undefined ? '--expires' : notBefore !== undefined ? '--not-before' : null;
    if (idle !== null) throw new Failure('usage', `${idle} says for how long a signature is good: it needs --sign`);
    return null;
  }
  const days = expires === undefined ? DEFAULT_EXPIRY_DAYS : Number(expires);
  if (!(days > 0 && days <= MAX_EXPIRY_DAYS)) {
    throw new Failure('usage', `--expires must be a number of days above 0, at most ${MAX_EXPIRY_DAYS}`);
  }
  const notBeforeMs = notBefore === undefined ? null : Date.parse(notBefore);
  if (Number.isNaN(notBeforeMs))
    throw new Failure('usage', '--not-before must be an instant, such as 2030-01-31T12:00:00Z');
  const expiresAtMs = Math.max(cli.clock.wallMs(), notBeforeMs ?? 0) + days * DAY_MS;
  return { keyFile: sign, grid, maxTaskBytes, expiresAtMs, notBeforeMs, randomHex: systemRandomHex };
}

async function signed(tasks: readonly NewTask[], wish: SigningWish): Promise<NewTask[]> {
  try {
    return await signTasks(tasks, wish);
  } catch (error) {
    if (error instanceof SigningError || error instanceof TooLongToSignError)
      throw new Failure('failed', `nothing was queued: ${error.message}`, { cause: error.cause });
    throw error;
  }
}

/** @throws Failure (usage) that names every problem of every task. */
async function collect(
  files: readonly string[],
  flags: Flags,
  { maxTaskBytes }: ClientSettings,
  cli: Cli,
): Promise<NewTask[]> {
  if (flags.script !== undefined && files.length > 0) {
    throw new Failure('usage', 'give either files or --script, not both');
  }
  if (flags.script === undefined && files.length === 0) {
    throw new Failure('usage', 'nothing to submit: name task files, "-" for standard input, or give --script');
  }
  const generated = flags.script !== undefined && flags.id === undefined;
  const id = generated ? generateTaskId(cli.clock, systemRandomHex) : flags.id;
  const overrides: TaskOverrides = {
    ...(id === undefined ? {} : { task_id: id }),
    ...(flags.script === undefined ? {} : { script: flags.script }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.timeout === undefined ? {} : { timeout_seconds: numberOrText(flags.timeout) }),
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(flags.follow ? { follow: true } : {}),
  };
  const read =
    flags.script === undefined
      ? await readSources(files, process.stdin)
      : { sources: [{ name: '--script', bytes: Buffer.from('{}') }], problems: [] };
  const input = readTasks(read.sources, overrides, { maxTaskBytes });
  if (input.ok && flags.follow && input.tasks.length > 1) {
    throw new Failure('usage', `nothing was queued: --follow follows one task, and there are ${input.tasks.length}`);
  }
  if (input.ok && read.problems.length === 0) return input.tasks;
  const problems = bounded([...read.problems, ...(input.ok ? [] : input.problems)]);
  throw new Failure('usage', 'nothing was queued', { problems });
}

/** What is no figure stays as it is, for the task's own check to say so. */
function numberOrText(text: string): number | string {
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
}

/** @throws Failure when nothing was queued. */
function accepted(outcome: SubmitOutcome): Extract<SubmitOutcome, { kind: 'queued' }> {
  switch (outcome.kind) {
    case 'queued':
      return outcome;
    case 'conflicts': {
      const problems = bounded(
        outcome.conflicts.map((conflict) => ({ name: conflict.taskId, message: explain(conflict) })),
      );
      throw new Failure('usage', 'nothing was queued, because of ids that are in use', { problems });
    }
    case 'refused':
      throw new Failure(
        'failed',
        `the host does not let this account write the branch: ${outcome.reason}\n` +
          'ask for that right, or queue the task files by a pull request',
      );
    case 'crowded':
      throw new Failure('failed', 'others kept pushing at the same time, and nothing was queued: try again');
  }
}

function explain({ kind, sameFile, source }: Conflict): string {
  switch (kind) {
    case 'queued':
      return `(${source}) another task of this id is queued: choose another id, or remove that one`;
    case 'in-work':
      return `(${source}) a task of this id is in work: choose another id`;
    case 'recorded':
      return sameFile
        ? `(${source}) this very task has been run already: to run it again, give it another id`
        : `(${source}) a task of this id has been run already: choose another id`;
  }
}

function unclear(error: UnclearSubmitError, tasks: readonly NewTask[], flags: Flags): Failure {
  const again =
    flags.script !== undefined && flags.id === undefined
      ? `run the command again with --id ${tasks[0]?.taskId}`
      : 'run the same command again';
  return new Failure('failed', `${error.message}\n${again}: what is queued already is recognised`, {
    cause: error.cause,
  });
}

function tell(output: Output, { queued, alreadyQueued }: Extract<SubmitOutcome, { kind: 'queued' }>): void {
  if (queued.length > 0 && queued.length <= SHOWN_IDS) for (const id of queued) output.line(`queued ${id}`);
  else if (queued.length > 0) output.line(`queued ${counted(queued.length, 'task', 'tasks')}`);
  if (alreadyQueued.length > SHOWN_IDS) output.line(`already queued: ${alreadyQueued.length} tasks`);
  else for (const id of alreadyQueued) output.line(`already queued ${id}`);
}
