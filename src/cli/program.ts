/**
 * The frame of both programs: what every command has in common (help with an example, `--json`, the flags of the
 * settings), and the way from an error to a message and an exit code.
 */
import { Command, Option as Flag } from 'commander';
import { type Loaded, type LoadInput, loadClientSettings, loadFilterSettings, loadSettings } from '../config/load.ts';
import { type Environment, type Machine, readMachine } from '../config/machine.ts';
import { OPTION_NAMES, type OptionName, optionOf } from '../config/options.ts';
import type { ClientSettings, FilterSettings, Settings } from '../config/settings.ts';
import { type Clock, systemClock } from '../runtime.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { configurationFailure } from './failure.ts';
import { Interruption } from './interruption.ts';
import { Output, type OutStream } from './output.ts';
import { report } from './report.ts';
import { settingsHelp } from './settings-help.ts';
import { packageVersion } from './version.ts';

/** The process, as far as a program sees it. */
export interface Surroundings {
  env: Environment;
  machine: Machine;
  clock: Clock;
  stdout: OutStream;
  stderr: OutStream;
  interruption: Interruption;
}

/** What a command works with. */
export interface Cli extends Surroundings {
  /** The one output of this run: the same at each call, so that there is never a second document. */
  output(json: boolean): Output;
  /** For a command that ends in order with another code than 0. */
  setExitCode(code: ExitCode): void;
}

/** Adds one command to its program. Each is a file of its own. */
export type AddCommand = (program: Command, cli: Cli) => void;

export interface ProgramInfo {
  name: string;
  description: string;
}

export interface CommandInfo {
  /** With its arguments, in commander's syntax. */
  name: string;
  /** One line, for the list of commands. */
  summary: string;
  description: string;
  /** Whole command lines. At least one. */
  examples: readonly [string, ...string[]];
  /** Whose settings it takes flags for; null: none. */
  settings: 'worker' | 'client' | null;
  /** Adds the whole table of settings to the help. */
  settingsInHelp?: boolean;
}

const DEFAULT_COLUMNS = 80;

/** Defines a command with what all of them have. Options of its own and the action are the caller's. */
export function defineCommand(program: Command, cli: Cli, info: CommandInfo): Command {
  const command = program.command(info.name).summary(info.summary).description(info.description);
  if (info.settings !== null) {
    for (const { flag } of settingFlags(info.settings)) command.addOption(flag);
    command.option('--env-file <file>', 'read settings from this file instead of .env');
  }
  command.option('--json', 'answer with one JSON document');
  command.addHelpText('after', () => {
    const title = info.examples.length === 1 ? 'Example:' : 'Examples:';
    return ['', title, ...info.examples.map((example) => `  ${example}`)].join('\n');
  });
  const reader = info.settings;
  if (reader !== null && info.settingsInHelp) {
    command.addHelpText('after', () => `\n${settingsHelp(reader, cli.stdout.columns ?? DEFAULT_COLUMNS)}`);
  }
  return command;
}

export function outputOf(command: Command, cli: Cli): Output {
  return cli.output(command.opts()['json'] === true);
}

/** The settings that a command was called with, right or wrong. */
export function readWorkerSettings(command: Command, cli: Cli): Loaded<Settings> {
  return loadSettings(loadInput(command, cli, 'worker'));
}

/** @throws Failure (configuration) that names every problem. */
export function workerSettings(command: Command, cli: Cli): Settings {
  return valid(readWorkerSettings(command, cli));
}

/** @throws Failure (configuration) that names every problem. */
export function clientSettings(command: Command, cli: Cli): ClientSettings {
  return valid(loadClientSettings(loadInput(command, cli, 'client')));
}

/** @param engine in the place of DOCKER_HOST. @throws Failure (configuration) that names every problem. */
export function filterSettings(command: Command, cli: Cli, engine: string | null): FilterSettings {
  const input = loadInput(command, cli, 'worker');
  return valid(loadFilterSettings(engine === null ? input : { ...input, env: { ...input.env, DOCKER_HOST: engine } }));
}

function valid<T>(loaded: Loaded<T>): T {
  if (!loaded.ok) throw configurationFailure(loaded.problems);
  return loaded.settings;
}

function loadInput(command: Command, cli: Cli, reader: 'worker' | 'client'): LoadInput {
  const given: Record<string, unknown> = command.opts();
  const flags: Partial<Record<OptionName, string>> = {};
  for (const { name, flag } of settingFlags(reader)) {
    const value = given[flag.attributeName()];
    if (typeof value === 'string') flags[name] = value;
  }
  const envFile = given['envFile'];
  return { env: cli.env, machine: cli.machine, flags, envFile: typeof envFile === 'string' ? envFile : null };
}

function settingFlags(reader: 'worker' | 'client'): { name: OptionName; flag: Flag }[] {
  return OPTION_NAMES.flatMap((name) => {
    const { flag, scope, description } = optionOf(name);
    if (flag === null || (reader === 'client' && scope === 'worker')) return [];
    return [{ name, flag: new Flag(flag, `${name}: ${description}`) }];
  });
}

/** Builds the program, runs it, tells what went wrong. Never throws. */
export async function runProgram(
  info: ProgramInfo,
  commands: readonly AddCommand[],
  argv: readonly string[],
  surroundings: Surroundings,
): Promise<ExitCode> {
  const { interruption } = surroundings;
  let exitCode: ExitCode = EXIT.done;
  let output: Output | null = null;
  const cli: Cli = {
    ...surroundings,
    output: (json) => (output ??= new Output({ ...surroundings, json })),
    setExitCode: (code) => (exitCode = code),
  };
  try {
    await buildProgram(info, commands, cli).parseAsync(argv);
  } catch (error) {
    // Whatever an interrupted command throws on its way out is a consequence of the interruption.
    return interruption.code ?? report(error, info.name, cli.output(argv.includes('--json')));
  }
  return interruption.code ?? exitCode;
}

export function buildProgram(info: ProgramInfo, commands: readonly AddCommand[], cli: Cli): Command {
  const columns = (stream: OutStream): number => stream.columns ?? DEFAULT_COLUMNS;
  const program = new Command(info.name)
    .description(info.description)
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show the help of a command')
    .showSuggestionAfterError()
    // Or a command with commands of its own would take options that are meant for them.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void cli.stdout.write(text),
      writeErr: (text) => void cli.stderr.write(text),
      getOutHelpWidth: () => columns(cli.stdout),
      getErrHelpWidth: () => columns(cli.stderr),
      // `report` prints it, in the form that was asked for.
      outputError: () => {},
    });
  for (const add of commands) add(program, cli);
  const first = program.commands.find((command) => command.name() !== 'help');
  if (first) program.addHelpText('after', `\nExample:\n  ${info.name} ${first.name()} --help`);
  return program;
}

/** This process. A reader that closes our output is no error: the command stops, and the exit code is 0. */
export function processSurroundings(): Surroundings {
  const interruption = new Interruption((code) => process.exit(code));
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    interruption.interrupt(error.code === 'EPIPE' ? EXIT.done : EXIT.failed);
  });
  // There is nowhere left to complain.
  process.stderr.on('error', () => {});
  return {
    env: process.env,
    machine: readMachine(process.env, process.cwd()),
    clock: systemClock,
    stdout: process.stdout,
    stderr: process.stderr,
    interruption,
  };
}
