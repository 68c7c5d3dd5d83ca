/** The bundle of `dgrid-worker doctor`: made of settings that are wrong, too, and told of so that it is looked at first. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { settingsInForce } from '../../config/describe.ts';
import type { Settings } from '../../config/settings.ts';
import type { BundlePart } from '../../doctor/bundle-parts.ts';
import type { SubjectResult } from '../../doctor/examine.ts';
import { Failure } from '../failure.ts';
import { counted } from '../figures.ts';
import type { Output } from '../output.ts';
import { type Cli, outputOf, readWorkerSettings } from '../program.ts';
import { packageVersion } from '../version.ts';

export interface BundleWish {
  /** null: the usual name, in the working directory. */
  file: string | null;
  keepNames: boolean;
  logLines: number;
}

const SHOWN_NAMES = 40;

/** @throws Failure when it cannot be written */
export async function bundleTo(
  wish: BundleWish,
  command: Command,
  cli: Cli,
  inspect: (settings: Settings) => Promise<SubjectResult[]>,
): Promise<void> {
  const output = outputOf(command, cli);
  const version = packageVersion();
  const { clock, env } = cli;
  const loaded = readWorkerSettings(command, cli);
  // Loaded when they are used: a worker that runs does not carry them.
  const { makeBundle, saveBundle } = await import('../../doctor/bundle.ts');
  const { machineParts, settledParts } = await import('../../doctor/bundle-parts.ts');
  const { openParts } = await import('../../doctor/examine.ts');
  const path = resolve(cli.machine.cwd, wish.file ?? usualName(loaded.values.NODE_ID, clock.wallMs()));
  let parts: BundlePart[] = machineParts({ version, clock });
  let close = async (): Promise<void> => undefined;
  let checks: SubjectResult[] | null = null;
  if (loaded.ok) {
    // Whatever goes wrong with doctor itself belongs into the bundle, and is no reason for none.
    const inspected = await inspect(loaded.settings).then(
      (results) => ({ results, error: null }),
      (error: unknown) => ({ results: null, error }),
    );
    checks = inspected.results;
    const read = async (): Promise<unknown> => {
      if (inspected.results === null) throw inspected.error;
      return { checks: inspected.results };
    };
    const opened = openParts({ settings: loaded.settings, version, clock, emit: () => undefined, operatorEnv: env });
    close = opened.close;
    parts = [
      { file: 'doctor.json', about: 'what doctor found, with the remedies', read },
      ...parts,
      ...settledParts(opened.parts, wish.logLines),
    ];
  }
  try {
    const bundle = await makeBundle({
      values: loaded.values,
      settings: settingsInForce(loaded),
      problems: loaded.ok ? [] : loaded.problems,
      parts,
      env,
      homeDir: cli.machine.homeDir,
      keepNames: wish.keepNames,
      version,
      clock,
    });
    await saveBundle(path, bundle.bytes).catch((error: unknown) => {
      throw unwritable(path, error);
    });
    output.document({ checks, problems: loaded.ok ? [] : loaded.problems, bundle: { path, files: bundle.entries } });
    tell(output, path, bundle, wish);
  } finally {
    await close();
  }
}

function usualName(nodeId: unknown, wallMs: number): string {
  const time = new Date(wallMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `dgrid-bundle-${typeof nodeId === 'string' ? nodeId : 'unknown'}-${time}.tar.gz`;
}

function unwritable(path: string, error: unknown): Failure {
  const { code, message } = error as NodeJS.ErrnoException;
  const text =
    code === 'EEXIST'
      ? `--bundle: ${path} is there already, and is not replaced: name another file, or remove it`
      : `--bundle: ${path} cannot be written (${code ?? message}): name a file in a directory of yours`;
  return new Failure(code === 'EEXIST' ? 'usage' : 'failed', text, { cause: error });
}

function tell(
  output: Output,
  path: string,
  {
    entries,
    names,
  }: {
    entries: readonly { file: string; secrets_masked: number; problem: string | null }[];
    names: readonly { pseudonym: string; name: string }[];
  },
  wish: BundleWish,
): void {
  output.line();
  output.line(`wrote ${path} (for this user alone)`);
  const masked = entries.reduce((sum, entry) => sum + entry.secrets_masked, 0);
  output.line(`masked what is, or looks like, a secret in ${counted(masked, 'place', 'places')}`);
  for (const { file, problem } of entries) if (problem !== null) output.line(`without ${file}: ${problem}`);
  output.line('before you send it: look through log.txt, settings.json and doctor.json (tar -xzf), and think of what');
  output.line('masking cannot know: words of your own in labels, names of images, branches and directories');
  if (wish.keepNames) {
    output.line('it has the names of hosts, users, nodes and tasks, and addresses (--keep-names)');
    return;
  }
  if (names.length === 0) return;
  output.line('names in it stand for (keep this for yourself):');
  for (const { pseudonym, name } of names.slice(0, SHOWN_NAMES)) output.line(`  ${pseudonym}  ${name}`);
  if (names.length > SHOWN_NAMES) output.line(`  and ${names.length - SHOWN_NAMES} more`);
}
