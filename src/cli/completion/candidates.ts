/**
 * What could stand at the end of a command line that has begun: told from the program's own commands, arguments and options,
 * so that it is never out of date. Pure.
 */
import type { Argument, Command, Option as Flag } from 'commander';
import { OPTION_NAMES, optionOf } from '../../config/options.ts';
import { PRIORITIES } from '../../task/task-schema.ts';
import { SHELLS } from './scripts.ts';

export interface Candidate {
  value: string;
  description: string;
}

export interface Candidates {
  values: Candidate[];
  /** Names of files may stand there too. */
  files: boolean;
}

/** What arguments and values stand for, by the name that they have in the help. */
const FILES = new Set(['file', 'file-or-dir', 'path-or-url', 'public-key-file', 'key', 'path', 'dir']);
const TASK_ID = 'id';
const SHELL = 'shell';
/** Of options of single commands. Those of settings come from their table. */
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  '--priority': PRIORITIES,
  '--for': ['tasks', 'results'],
};

/**
 * @param words what stands before the last word, without the program's name
 * @param current the last word, as far as it is written
 * @param taskIds asked only where one may stand
 */
export async function candidatesFor(
  program: Command,
  words: readonly string[],
  current: string,
  taskIds: () => Promise<readonly string[]>,
): Promise<Candidates> {
  const { command, given, pending, positional, isOver } = read(program, words);
  if (pending) return beginning(ofOption(pending), current);
  const [, name, begun] = isOver ? [] : (/^(--[a-z][a-z-]*)=(.*)$/s.exec(current) ?? []);
  if (name !== undefined) {
    const flag = command.options.find(({ long }) => long === name);
    const { values } = flag ? beginning(ofOption(flag), begun ?? '') : { values: [] };
    // A shell completes names of files only where they are words of their own.
    return {
      values: values.map(({ value, description }) => ({ value: `${name}=${value}`, description })),
      files: false,
    };
  }
  if (current.startsWith('-') && current !== '-' && !isOver)
    return beginning({ values: options(command, given), files: false }, current);
  const commands = positional === 0 ? subcommands(command) : [];
  const argument = argumentAt(command, positional);
  const isId = argument?.name() === TASK_ID;
  const ids = isId ? (await taskIds()).filter((id) => !words.includes(id)) : [];
  const values = [
    ...commands,
    ...ids.map((id) => ({ value: id, description: '' })),
    ...plain(argument?.name() === SHELL ? SHELLS : []),
  ];
  return beginning({ values, files: argument !== null && FILES.has(argument.name()) }, current);
}

interface Read {
  command: Command;
  given: Set<string>;
  /** The option whose value comes next. */
  pending: Flag | null;
  positional: number;
  /** After "--" there are no options. */
  isOver: boolean;
}

function read(program: Command, words: readonly string[]): Read {
  const state: Read = { command: program, given: new Set(), pending: null, positional: 0, isOver: false };
  for (const word of words) {
    if (state.pending) state.pending = null;
    else if (state.isOver) state.positional += 1;
    else if (word === '--') state.isOver = true;
    else if (word.startsWith('-') && word !== '-') {
      const [name = ''] = word.split('=');
      const flag = state.command.options.find(({ long, short }) => long === name || short === name);
      if (flag?.long) state.given.add(flag.long);
      if (flag && takesValue(flag) && !word.includes('=')) state.pending = flag;
    } else {
      const inner = state.positional === 0 ? state.command.commands.find((one) => one.name() === word) : undefined;
      if (inner) state.command = inner;
      else state.positional += 1;
    }
  }
  return state;
}

function takesValue({ required, optional }: Flag): boolean {
  return required || optional;
}

function ofOption(flag: Flag): Candidates {
  const [, meaning = ''] = /[<[]([^>\].]+)/.exec(flag.flags) ?? [];
  const setting = OPTION_NAMES.map((name) => optionOf(name)).find((option) => option.flag?.split(' ')[0] === flag.long);
  const choices = flag.argChoices ?? setting?.kind.choices ?? CHOICES[flag.long ?? ''] ?? [];
  return { values: plain(choices), files: FILES.has(meaning) };
}

function plain(choices: readonly string[]): Candidate[] {
  return choices.map((value) => ({ value, description: '' }));
}

function options(command: Command, given: ReadonlySet<string>): Candidate[] {
  const known = command.options
    .filter(({ hidden, long }) => !hidden && long && !given.has(long))
    .map(({ description, long }) => ({ value: long ?? '', description }));
  return [...known, { value: '--help', description: 'show help' }];
}

function subcommands(command: Command): Candidate[] {
  const visible = command.createHelp().visibleCommands(command);
  return visible.map((one) => ({ value: one.name(), description: one.summary() || one.description() }));
}

function argumentAt(command: Command, position: number): Argument | null {
  const { registeredArguments: all } = command;
  const last = all.at(-1);
  return all[position] ?? (last?.variadic ? last : null);
}

function beginning({ values, files }: Candidates, current: string): Candidates {
  return { values: values.filter(({ value }) => value.startsWith(current)), files };
}
