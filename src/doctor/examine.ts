/**
 * Looks at everything the worker stands on, the way the worker itself would use it, and says how to mend what is broken.
 *
 * All subjects are looked at together, each within its deadline, so that one that hangs costs no more than that, and hides
 * nothing of the others. What was found is told in the order of `subjects.ts`.
 */
import type { Settings } from '../config/settings.ts';
import { openRepository } from '../git/open-repository.ts';
import { DeadlineError, withinDeadline } from '../host/deadline.ts';
import type { Emit } from '../observe/events.ts';
import { type Clock, systemRandomFraction } from '../runtime.ts';
import { openExecutor } from '../worker.ts';
import { broken, type CheckResult } from './check.ts';
import { checkEngine, type EngineFound } from './engine.ts';
import { checkRemote, type RemoteFound } from './repository.ts';
import type { DoctorParts, Subject } from './subject.ts';
import { SUBJECTS } from './subjects.ts';
import { untilAborted } from './until-aborted.ts';

const MAX_TRIES = 2;

export interface DoctorOptions {
  settings: Settings;
  version: string;
  clock: Clock;
  emit: Emit;
  operatorEnv: NodeJS.ProcessEnv;
  /** Names of subjects; all without it. */
  only?: readonly string[];
}

/** With the subject that it belongs to. */
export interface SubjectResult extends CheckResult {
  subject: string;
}

/** Each result is told as soon as it and all before it are there. */
export async function* examine(options: DoctorOptions): AsyncGenerator<SubjectResult> {
  const { only } = options;
  const { parts, over, close } = openParts(options);
  const chosen = SUBJECTS.filter(({ name }) => only === undefined || only.includes(name));
  const running = chosen.map((subject) => ({ subject, results: collect(subject, parts, over) }));
  try {
    for (const { subject, results } of running) {
      for (const result of await results) yield { subject: subject.name, ...result };
    }
  } finally {
    await close();
  }
}

/** Never throws. */
async function collect(subject: Subject, parts: DoctorParts, over: AbortSignal): Promise<CheckResult[]> {
  const { name, deadlineMs, lateRemedy } = subject;
  const found: CheckResult[] = [];
  try {
    await withinDeadline(
      parts.clock,
      deadlineMs,
      name,
      async (signal) => {
        for await (const result of subject.examine(parts, signal)) {
          if (signal.aborted) return;
          found.push(result);
        }
      },
      over,
    );
  } catch (error) {
    const late = error instanceof DeadlineError;
    const finding = late ? `not finished within ${deadlineMs / 1000} s` : error;
    found.push(broken(name, finding, late ? lateRemedy : `run it again with LOG_LEVEL=debug; ${lateRemedy}`));
  }
  return found;
}

/** What all subjects look at things with. `close` ends whatever is under way with it. */
export function openParts(options: DoctorOptions): {
  parts: DoctorParts;
  over: AbortSignal;
  close: () => Promise<void>;
} {
  const over = new AbortController();
  const parts = partsOf(options, over.signal);
  const close = async (): Promise<void> => {
    over.abort();
    await parts.executor.close();
  };
  return { parts, over: over.signal, close };
}

function partsOf(options: DoctorOptions, over: AbortSignal): DoctorParts {
  const { settings, version, clock, emit, operatorEnv } = options;
  // What fails is to be told, not to be waited for; once more, for a line that lost a single answer.
  const git = { ...settings.git, retryAttempts: Math.min(MAX_TRIES, settings.git.retryAttempts) };
  const opened = openRepository(git, settings.repoPath, {
    clock,
    emit,
    random: systemRandomFraction,
    operatorEnv,
  });
  const repository = untilAborted(opened, over);
  const executor = openExecutor(settings, { clock, emit });
  let remote: Promise<RemoteFound> | null = null;
  let engine: Promise<EngineFound> | null = null;
  let last: Promise<unknown> = Promise.resolve();
  const inClone = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  };
  return {
    settings,
    version,
    clock,
    emit,
    operatorEnv,
    repository,
    executor,
    remote: () => (remote ??= inClone(() => checkRemote(repository, settings))),
    engine: () => (engine ??= checkEngine(executor)),
    inClone,
  };
}
