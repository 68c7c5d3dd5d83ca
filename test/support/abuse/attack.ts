/**
 * What a stranger's task may try, and what has to come of it. An attack is one program that is queued as a script (it gets a
 * container that waited for it, where one waits) or as a command (a container of its own), or as both.
 *
 * Attacks on walls print a line for each door that they tried, so that a test can tell a door that held from a
 * try that never happened: `held NAME: why`, `BREACH NAME`, `ABSENT NAME` (the tool for it is missing), and at the end
 * `tried COUNT`. `open NAME` is for what the engine leaves open on purpose, or does not know of; that goes onto the page.
 */
import type { FailureReason, ResultRecord } from '../../../src/task/result.ts';

export type Way = 'script' | 'command';
export type Program = { sh: string } | { perl: string };

/** What an attacker could guess, and here is told. */
export interface Targets {
  /** Files on the machine that anybody may write. */
  files: readonly string[];
  /** A process on the machine. */
  pid: number;
  /** Of the machine, loopback included, and a port on which something listens there. */
  addresses: readonly string[];
  port: number;
  /** Sockets on the machine: those of the engine, and one without a file. */
  sockets: readonly string[];
  abstractName: string;
}

export interface Attack {
  /** Begins its tasks' ids. */
  name: string;
  /** For the page. */
  does: string;
  program: Program | ((targets: Targets) => Program);
  /** Default: as a script. */
  ways?: readonly Way[];
  /** Seconds. */
  limitS?: number;
  /** Seconds that the engine may take to say that the task was ended, because it still writes its output into its log. */
  engineTakesS?: number;
  /** Further fields of the task file. */
  fields?: object;
  /** What the record has to say. */
  reason: FailureReason | null;
  /** Which of two bounds it meets first is chance. */
  orReason?: FailureReason;
  exitCode?: number | null;
  message?: RegExp;
  /** What else has to hold. */
  check?: (seen: Seen) => void | Promise<void>;
}

export interface Seen {
  record: ResultRecord;
  /** All that was kept of what it wrote. */
  stdout: Buffer;
  stderr: Buffer;
}

export const DEFAULT_LIMIT_S = 30;

export function taskIdOf(attack: Attack, way: Way): string {
  return way === 'script' ? attack.name : `${attack.name}-command`;
}

export function taskOf(attack: Attack, way: Way, targets: Targets): object {
  const { fields, limitS = DEFAULT_LIMIT_S, program } = attack;
  const fixed = typeof program === 'function' ? program(targets) : program;
  return { ...asFields(fixed, way), timeout_seconds: limitS, ...fields };
}

function asFields(program: Program, way: Way): object {
  if ('sh' in program) return way === 'script' ? { script: program.sh } : { command: ['/bin/sh', '-c', program.sh] };
  return way === 'script' ? { script: `#!/bin/perl\n${program.perl}` } : { command: ['/bin/perl', '-e', program.perl] };
}

/** For shells: tries a command that must not succeed. */
export const SH_TRY = [
  'count=0',
  'try() {',
  '  name=$1; shift; count=$((count+1))',
  '  why=$( { "$@"; } 2>&1 </dev/null ); code=$?',
  '  case $code in',
  '    0) echo "BREACH $name" ;;',
  '    127) echo "ABSENT $name" ;;',
  '    *) echo "held $name: $code $(echo "$why" | head -n 1)" ;;',
  '  esac',
  '}',
  '',
].join('\n');

/** For Perl: `try(name, true or false)` for what must not succeed; `$!` is the reason. */
export const PERL_TRY = [
  '$| = 1; my $count = 0;',
  'sub try { my ($name, $done) = @_; my $why = "$!"; $count++; print $done ? "BREACH $name\\n" : "held $name: $why\\n"; $done }',
  '',
].join('\n');

export interface Doors {
  held: string[];
  breached: string[];
  absent: string[];
  open: string[];
  /** null: it did not come to its end. */
  tried: number | null;
}

export function readDoors(stdout: string): Doors {
  const named = (word: string): string[] =>
    [...stdout.matchAll(new RegExp(`^${word} (.+)$`, 'gm'))].map(([, name = '']) => name);
  const [tried] = named('tried');
  return {
    held: named('held').map((line) => line.replace(/: .*/, '')),
    breached: named('BREACH'),
    absent: named('ABSENT'),
    open: named('open'),
    tried: tried === undefined ? null : Number(tried),
  };
}
