/** Where a process is to die, handed to it in its environment, and how it dies there. */
import { execFileSync } from 'node:child_process';
import { writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errorEntry } from '../../src/observe/error-entry.ts';
import { type Emit, EVENTS, type EventName } from '../../src/observe/events.ts';
import type { DurableStep } from '../../src/steps.ts';

/**
 * `before` and `after` a step. Of a push also: `late`, while it is under way, and the repository carries it out only when
 * the process is dead for a while; `unanswered`, when the repository has carried it out and has not said so.
 */
export type CrashMoment = 'before' | 'after' | 'late' | 'unanswered';

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
/** Long enough for the next life to have looked at the repository. */
const LATE_SECONDS = 2;

/** What the process prints at the point itself. */
export function crashMarker(plan: CrashPlan): string {
  return JSON.stringify({ crash_point: plan.at, nth: plan.nth });
}

/** For the bare repository of a plan: ends the process that has put its id there. */
export const CRASH_HOOKS: Readonly<Record<string, string>> = {
  'pre-receive': hook('late', `sleep ${LATE_SECONDS}`),
  'post-receive': hook('unanswered', ':'),
};

function hook(moment: CrashMoment, then: string): string {
  return `#!/bin/sh\nif pid=$(cat crash-${moment} 2>/dev/null); then rm crash-${moment}; kill -KILL "$pid"; ${then}; fi\n`;
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
  if ('moment' in at && (at.moment === 'late' || at.moment === 'unanswered')) {
    writeFileSync(join(plan.repository, `crash-${at.moment}`), String(process.pid));
    return;
  }
  process.kill(process.pid, 'SIGKILL');
}
