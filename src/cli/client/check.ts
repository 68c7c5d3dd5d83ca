/** `dgrid check`: whether task files are right, before anybody merges or submits them. */
import { stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { type Command, Option as Flag } from 'commander';
import { type CheckRules, CheckRun } from '../../client/check/check.ts';
import { readCheckout, rootAbove, rootOf } from '../../client/check/checkout.ts';
import { defaultMaxTaskBytes, loadPolicySettings } from '../../config/load.ts';
import { isImageAllowed } from '../../executor/docker/allow-list.ts';
import { isNetworkAllowed } from '../../executor/docker/network-list.ts';
import { changedFiles } from '../../git/changed-files.ts';
import { QUEUE_DIR } from '../../ledger/names.ts';
import { EXIT } from '../exit-code.ts';
import { configurationFailure, Failure, type NamedProblem } from '../failure.ts';
import { gitFailure } from '../git-failure.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { CHECK_FORMATS, type CheckFormat, checkLines } from './check-report.ts';
import { readSources } from './read-sources.ts';

interface Flags {
  format: CheckFormat;
  changedSince?: string;
  envFile?: string;
}

/** What was named, sorted by how it is checked. */
interface Targets {
  /** Roots of checkouts, with the paths in them; '' for all of the queue. */
  queues: Map<string, Set<string>>;
  /** Files that stand in no queue, and `-`. */
  others: string[];
}

export function addCheckCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'check [file-or-dir...]',
    summary: 'check task files, without a grid',
    description:
      'Reads task files as a worker would, and names what is wrong with file, line and field. A directory is a checkout\n' +
      'of a task repository: all of its tasks/queue is checked, also for ids that are used twice or have a record. Files\n' +
      'elsewhere, and "-" for standard input, are checked as "dgrid submit" would take them, JSON Lines too. Without an\n' +
      'argument it is the checkout in the working directory. Exits with 0 when all is well, with 1 when a task is not\n' +
      'right, with 2 when it cannot tell.',
    examples: [
      'dgrid check',
      'dgrid check tasks/queue/build.json --env-file worker.env',
      'dgrid check --changed-since origin/main --format github',
      'generate-tasks | dgrid check -',
    ],
    settings: null,
  });
  command
    .addOption(
      new Flag('--format <name>', 'how problems are written: text, or annotations of a pull request')
        .choices(CHECK_FORMATS)
        .default('text'),
    )
    .option('--changed-since <ref>', 'only files that differ from what this branch has in common with that commit')
    .option('--env-file <file>', 'check by what the operator allows in this file: images, networks, caps');
  command.action(async (given: string[]) => {
    const output = outputOf(command, cli);
    const { format, changedSince, envFile } = command.opts<Flags>();
    const targets = await targetsOf(given.length > 0 ? given : ['.'], cli);
    const run = new CheckRun(rulesOf(envFile, cli));
    if (changedSince !== undefined && targets.others.length > 0) {
      throw new Failure('usage', '--changed-since looks at the queue of a checkout, and at nothing else');
    }
    for (const [root, paths] of targets.queues) {
      const changed = changedSince === undefined ? null : await changedIn(root, changedSince, cli);
      const isWanted = (path: string): boolean => isBelow(path, paths) && (changed?.has(path) ?? true);
      await run
        .queue(await readCheckout(root).catch(unreadable), isWanted, (path) => shown(cli, join(root, path)))
        .catch(unreadable);
    }
    if (targets.others.length > 0) {
      const { sources, problems } = await readSources(targets.others, process.stdin);
      if (problems.length > 0) throw new Failure('usage', 'nothing was checked', { problems });
      run.submitted(sources);
    }
    const { report } = run;
    output.document(report);
    for (const line of checkLines(report, format)) output.line(line);
    if (report.problems.length > 0) cli.setExitCode(EXIT.failed);
  });
}

/** @throws Failure (usage) that names all that is not there */
async function targetsOf(names: readonly string[], cli: Cli): Promise<Targets> {
  const targets: Targets = { queues: new Map(), others: [] };
  const problems: NamedProblem[] = [];
  const add = (root: string, path: string): void => {
    const paths = targets.queues.get(root);
    if (paths) paths.add(path);
    else targets.queues.set(root, new Set([path]));
  };
  for (const name of names) {
    if (name === '-') {
      targets.others.push(name);
      continue;
    }
    const path = resolve(cli.machine.cwd, name);
    const kind = await stat(path).then(
      (found) => (found.isDirectory() ? 'directory' : 'file'),
      () => null,
    );
    const root = kind === 'directory' ? await rootOf(path) : rootAbove(path);
    if (kind === null) problems.push({ name, message: 'does not exist' });
    else if (root !== null) add(root, kind === 'directory' && path === root ? QUEUE_DIR : relative(root, path));
    else if (kind === 'file') targets.others.push(path);
    else problems.push({ name, message: `holds no ${QUEUE_DIR}: name the checkout of a task repository, or files` });
  }
  if (problems.length > 0) throw new Failure('usage', 'there is nothing to check', { problems });
  return targets;
}

/** @throws Failure (usage): 1 says that a task is wrong, and here nothing can be said. */
function unreadable(cause: unknown): never {
  if (!(cause instanceof Error && 'code' in cause)) throw cause;
  throw new Failure('usage', `the queue cannot be read: ${cause.message}`, { cause });
}

function isBelow(path: string, wanted: ReadonlySet<string>): boolean {
  return [...wanted].some((one) => path === one || path.startsWith(`${one}/`));
}

/** With the signature of a task file its task is meant. */
async function changedIn(root: string, since: string, cli: Cli): Promise<Set<string>> {
  try {
    const changed = await changedFiles({
      cwd: root,
      since,
      below: QUEUE_DIR,
      clock: cli.clock,
      emit: () => undefined,
      operatorEnv: cli.env,
      signal: cli.interruption.signal(),
    });
    return new Set([...changed].map((path) => path.replace(/\.json\.sig$/, '.json')));
  } catch (error) {
    if (error instanceof RangeError) {
      const message = `${error.message}; in a build, check out the whole history (fetch-depth: 0, GIT_DEPTH: 0)`;
      throw new Failure('usage', message, { problems: [{ name: '--changed-since', message: since }] });
    }
    const failure = gitFailure(error);
    // 1 says that a task is wrong, and nothing was looked at.
    throw failure ? new Failure('usage', failure.message, { cause: error }) : error;
  }
}

/** @throws Failure (configuration) that names every problem of the file */
function rulesOf(envFile: string | undefined, { env, machine }: Cli): CheckRules {
  if (envFile === undefined) return { maxTaskBytes: defaultMaxTaskBytes(machine), policy: null };
  const loaded = loadPolicySettings({ env, machine, flags: {}, envFile });
  if (!loaded.ok) throw configurationFailure(loaded.problems);
  const { settings } = loaded;
  return {
    maxTaskBytes: settings.maxTaskBytes,
    policy: {
      allowsImage: (image) => isImageAllowed(image, settings.allowedImages),
      allowsNetwork: (network) => isNetworkAllowed(network, settings),
      maxCpus: settings.cpus,
      maxMemoryBytes: settings.memoryBytes,
      maxTimeoutMs: settings.timeoutMs,
    },
  };
}

/** As somebody in the working directory would name it; hosts know annotated files by that too. */
function shown({ machine }: Cli, path: string): string {
  return relative(machine.cwd, path) || path;
}
