/** `dgrid-worker doctor`: is everything there that the worker needs, and how to mend what is not; and a bundle of it all. */
import type { Command } from 'commander';
import { knownSecrets } from '../../config/secrets.ts';
import type { Settings } from '../../config/settings.ts';
import type { CheckResult } from '../../doctor/check.ts';
import type { SubjectResult } from '../../doctor/examine.ts';
import type { Emit } from '../../observe/events.ts';
import { createEmit, openLog } from '../../observe/logger.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import type { Style } from '../output.ts';
import { type Cli, defineCommand, outputOf, workerSettings } from '../program.ts';
import { packageVersion } from '../version.ts';
import { type BundleWish, bundleTo } from './doctor-bundle.ts';

const STYLES: Readonly<Record<CheckResult['outcome'], Style>> = { ok: 'green', warning: 'yellow', broken: 'red' };
const DEFAULT_LOG_LINES = 1_000;
const MAX_LOG_LINES = 100_000;

interface Flags {
  only?: string[];
  /** true: without a name. */
  bundle?: string | true;
  keepNames?: boolean;
  logLines?: string;
}

export function addDoctorCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'doctor',
    summary: 'check what the worker needs',
    description:
      'Checks git, the repository and what it can do, credentials, the container engine, the image, disk, clock, signing,\n' +
      'secrets and the worker that runs here, the way the worker would use them. Exits with 1 when something is broken.\n' +
      'With --bundle it also writes an archive for a bug report, with secrets masked and names replaced, and exits with 0\n' +
      'once that is written, whatever was found.',
    examples: [
      'dgrid-worker doctor',
      'dgrid-worker doctor --json',
      'dgrid-worker doctor --only engine --only image',
      'dgrid-worker doctor --bundle',
    ],
    settings: 'worker',
  });
  command
    .option('--only <name>', 'check this subject alone; may be given again', (name, all: string[] | undefined) => [
      ...(all ?? []),
      name,
    ])
    .option('--bundle [file]', 'write an archive for a bug report; default: dgrid-bundle-<node>-<time>.tar.gz here')
    .option('--keep-names', 'with --bundle: leave hosts, users, nodes, tasks and addresses as they are')
    .option('--log-lines <n>', `with --bundle: how many of the last lines of LOG_FILE; default ${DEFAULT_LOG_LINES}`);
  command.action(async () => {
    const flags: Flags = command.opts();
    const wish = bundleWish(flags);
    // Loaded when it is used: a worker that runs does not carry it.
    const { SUBJECT_NAMES } = await import('../../doctor/subjects.ts');
    const unknown = (flags.only ?? []).filter((name) => !SUBJECT_NAMES.includes(name));
    if (unknown.length > 0) {
      throw new Failure('usage', `--only ${unknown.join(', ')}: there are ${SUBJECT_NAMES.join(', ')}`);
    }
    if (wish !== null) {
      await bundleTo(wish, command, cli, (settings) => inspect(command, cli, settings, flags.only));
      return;
    }
    const settings = workerSettings(command, cli);
    const results = await inspect(command, cli, settings, flags.only);
    outputOf(command, cli).document({ checks: results });
    if (results.some(({ outcome }) => outcome === 'broken')) cli.setExitCode(EXIT.failed);
  });
}

/** @throws Failure (usage) */
function bundleWish({ bundle, keepNames, logLines }: Flags): BundleWish | null {
  const lines = logLines === undefined ? DEFAULT_LOG_LINES : Number(logLines);
  if (!Number.isInteger(lines) || lines < 0 || lines > MAX_LOG_LINES) {
    throw new Failure('usage', `--log-lines must be a whole number from 0 to ${MAX_LOG_LINES}`);
  }
  if (bundle !== undefined)
    return { file: bundle === true ? null : bundle, keepNames: keepNames === true, logLines: lines };
  const idle = keepNames ? '--keep-names' : logLines !== undefined ? '--log-lines' : null;
  if (idle !== null) throw new Failure('usage', `${idle} says what goes into a bundle: it needs --bundle`);
  return null;
}

/** Tells each result as soon as it is there. */
async function inspect(
  command: Command,
  cli: Cli,
  settings: Settings,
  only: readonly string[] | undefined,
): Promise<SubjectResult[]> {
  const output = outputOf(command, cli);
  // What the parts tell on the way matters only to somebody who asks for it.
  const log = await openLog(
    { ...settings, logFile: null, logLevel: settings.logLevel === 'info' ? 'error' : settings.logLevel },
    {
      clock: cli.clock,
      secrets: knownSecrets(settings, cli.env),
      console: { fd: 2, isTerminal: cli.stderr.isTTY === true, colour: cli.env['NO_COLOR'] === undefined },
    },
  );
  const results: SubjectResult[] = [];
  const { examine } = await import('../../doctor/examine.ts');
  const emit: Emit = createEmit(log.logger);
  try {
    const options = { settings, version: packageVersion(), clock: cli.clock, emit, operatorEnv: cli.env };
    for await (const result of examine(only ? { ...options, only } : options)) {
      results.push(result);
      const word = output.style(STYLES[result.outcome], result.outcome.padEnd('warning'.length));
      output.line(`${word}  ${result.check}: ${result.finding}${result.remedy ? ` → ${result.remedy}` : ''}`);
    }
  } finally {
    await log.close();
  }
  return results;
}
