/** What `dgrid bench-grid` is asked to do, from its flags: all that is wrong with them is told at once. Pure. */

import { parseRate, parseTarget, type Target } from '../../client/targets.ts';
import { type NewTask, readTasks } from '../../client/task-input.ts';
import { Failure, type NamedProblem } from '../failure.ts';

export interface BenchGridFlags {
  tasks: string;
  rate: string;
  script: string;
  image?: string;
  requires?: string[];
  taskTimeout: string;
  warmup: string;
  timeout: string;
  target?: string[];
  sign?: string;
  output?: string;
  cleanup?: boolean;
}

export interface BenchGridPlan {
  runId: string;
  warmUp: NewTask[];
  tasks: NewTask[];
  /** 0: all at once. */
  everyMs: number;
  timeoutMs: number;
  targets: Target[];
  signKey: string | null;
  output: string | null;
  cleanup: boolean;
}

export const BENCH_DEFAULTS = {
  tasks: '100',
  rate: '5/s',
  script: 'true',
  taskTimeout: '60',
  warmup: '0',
  timeout: '600',
};
/** In front of the ids of all probes, so that they are known as such wherever they show. */
export const PROBE_PREFIX = 'probe';
const MAX_TASKS = 10_000;
const MAX_TIMEOUT_SECONDS = 86_400;

/** @param runId of this run alone. @throws Failure (usage) that names every problem. */
export function benchGridPlan(flags: BenchGridFlags, runId: string, limits: { maxTaskBytes: number }): BenchGridPlan {
  const problems: NamedProblem[] = [];
  const whole = (name: string, text: string, least: number, most: number): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    problems.push({ name, message: `must be a whole number from ${least} to ${most}` });
    return least;
  };
  const count = whole('--tasks', flags.tasks, 1, MAX_TASKS);
  const warmUps = whole('--warmup', flags.warmup, 0, MAX_TASKS);
  const timeoutSeconds = whole('--timeout', flags.timeout, 1, MAX_TIMEOUT_SECONDS);
  const rate = parseRate(flags.rate);
  if (!rate.ok) problems.push({ name: '--rate', message: rate.problem });
  const targets: Target[] = [];
  for (const text of flags.target ?? []) {
    const parsed = parseTarget(text);
    if (parsed.ok) targets.push(parsed.target);
    else problems.push({ name: `--target ${JSON.stringify(text)}`, message: parsed.problem });
  }
  const fields = {
    script: flags.script,
    timeout_seconds: /^\d+$/.test(flags.taskTimeout) ? Number(flags.taskTimeout) : flags.taskTimeout,
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.requires === undefined ? {} : { requires: flags.requires }),
  };
  // One stands for all: they differ in their ids alone.
  const sample = probesOf(1, `${PROBE_PREFIX}-${runId}-`, fields, limits);
  if (!sample.ok) {
    problems.push(
      ...sample.problems.map((message) => ({ name: flagOf(message), message: message.replace(/^\S+: /, '') })),
    );
  }
  const measured = sample.ok ? probesOf(count, `${PROBE_PREFIX}-${runId}-`, fields, limits) : sample;
  const before = sample.ok ? probesOf(warmUps, `${PROBE_PREFIX}-${runId}-w`, fields, limits) : sample;
  if (problems.length > 0 || !measured.ok || !before.ok || !rate.ok) {
    throw new Failure('usage', 'nothing was queued', { problems });
  }
  return {
    runId,
    warmUp: before.tasks,
    tasks: measured.tasks,
    everyMs: rate.everyMs,
    timeoutMs: timeoutSeconds * 1_000,
    targets,
    signKey: flags.sign ?? null,
    output: flags.output ?? null,
    cleanup: flags.cleanup === true,
  };
}

function probesOf(
  count: number,
  prefix: string,
  fields: object,
  limits: { maxTaskBytes: number },
): { ok: true; tasks: NewTask[] } | { ok: false; problems: string[] } {
  const tasks: NewTask[] = [];
  for (let number = 1; number <= count; number += 1) {
    const task = { task_id: `${prefix}${String(number).padStart(5, '0')}`, ...fields };
    const bytes = Buffer.from(`${JSON.stringify(task, null, 2)}\n`);
    const read = readTasks([{ name: 'probe', bytes }], {}, limits);
    if (!read.ok) return { ok: false, problems: read.problems.map(({ message }) => message) };
    tasks.push(...read.tasks);
  }
  return { ok: true, tasks };
}

/** Whose fault a problem of a task's field is. */
function flagOf(message: string): string {
  const field = /^([a-z_]+)/.exec(message)?.[1] ?? '';
  return (
    { timeout_seconds: '--task-timeout', script: '--script', image: '--image', requires: '--requires' }[field] ??
    'probe'
  );
}
