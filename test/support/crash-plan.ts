/** Where a process is to die, handed to it in its environment, and how it dies there. */
import { execFileSync } from 'node:child_process';
import { writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errorEntry } from '../../src/observe/error-entry.ts';
import { type Emit, EVENTS, type EventName } from '../../src/observe/events.ts';
import type { DurableStep } from '../../src/steps.ts';

/**
 * `before` and `after` a step. Of a push also: `late`, while it is under way, and the repository carries it out only when
 * the process is dead for a while; `half`, while the repository carries out the rest of it and not this step;
 * `unanswered`, when the repository has carried it out and has not said so.
 */
export const CRASH_MOMENTS = ['before', 'late', 'half', 'unanswered', 'after'] as const;
export type CrashMoment = (typeof CRASH_MOMENTS)[number];
/** Those at which the process does not kill itself: a hook of the repository does. */
export type HookMoment = Exclude<CrashMoment, 'before' | 'after'>;

export interface CrashPlan {
  at: { step: DurableStep; moment: CrashMoment } | { event: EventName };
  /** At which of the occasions, from 1. */
  nth: number;
  /** The bare repository, whose hooks end the process for `late` and `unanswered`. */
  repository: string;
  /** Something that happens just before a step, once, while the process waits. */
  meanwhile?: { step: DurableStep; command: readonly [string, ...string[]] };
}

export const CRASH_VARIABLE = 'CRASH_PLAN';
/** Those that move the ref of a node. */
const NODE_STEPS: ReadonlySet<DurableStep> = new Set<DurableStep>(['swap.register', 'swap.beat', 'swap.goodbye']);
/** Long enough for the next life to have looked at the repository. */
const LATE_SECONDS = 2;

/** What the process prints at the point itself. */
export function crashMarker(plan: CrashPlan): string {
  return JSON.stringify({ crash_point: plan.at, nth: plan.nth });
}

/** For the bare repository of a plan: each ends the process that has put its id there, once. */
export const CRASH_HOOKS: Readonly<Record<HookMoment, { name: string; script: string }>> = {
  late: { name: 'pre-receive', script: hook('late', `sleep ${LATE_SECONDS}`) },
  // Asked for each ref by itself: this one is refused.
  half: { name: 'update', script: hook('half', 'exit 1') },
  unanswered: { name: 'post-receive', script: hook('unanswered', ':') },
};

function hook(moment: HookMoment, then: string): string {
  const file = `crash-${moment}`;
  const kill = `rm ${file}; kill -KILL "$pid"; ${then}`;
  return `#!/bin/sh\nread -r pid refs 2>/dev/null <${file} || exit 0\ncase "$1" in $refs*) ${kill} ;; esac\n`;
}

/** Writes each event to standard output at once, as the log does later, and dies where the plan says. */
export function crashingEmit(plan: CrashPlan | null, fields: Readonly<Record<string, unknown>>): Emit {
  let occasions = 0;
  let waiting = plan?.meanwhile ?? null;
  return (name, given = {}) => {
    const err = given['err'] === undefined ? {} : { err: errorEntry(given['err']) };
    const entry = {
      event: name,
      msg: EVENTS[name].message,
      time: new Date().toISOString(),
      ...fields,
      ...given,
      ...err,
    };
    writeSync(1, `${JSON.stringify(entry)}\n`);
    if (plan === null) return;
    if (waiting && name === 'step.begun' && given['step'] === waiting.step) {
      const [command, ...args] = waiting.command;
      waiting = null;
      execFileSync(command, args);
    }
    if (!isOccasion(plan, name, given['step'])) return;
    occasions += 1;
    if (occasions === plan.nth) die(plan);
  };
}

function isOccasion({ at }: CrashPlan, name: EventName, step: unknown): boolean {
  if ('event' in at) return name === at.event;
  return step === at.step && name === (at.moment === 'after' ? 'step.done' : 'step.begun');
}

function die(plan: CrashPlan): void {
  const { at } = plan;
  writeSync(1, `${crashMarker(plan)}\n`);
  if ('event' in at || at.moment === 'before' || at.moment === 'after') {
    process.kill(process.pid, 'SIGKILL');
    return;
  }
  const refs = at.moment === 'half' ? `refs/dgrid/${NODE_STEPS.has(at.step) ? 'nodes' : 'tasks'}/` : '';
  writeFileSync(join(plan.repository, `crash-${at.moment}`), `${process.pid} ${refs}\n`);
}
