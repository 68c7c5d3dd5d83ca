/** What the checks of `dgrid-worker doctor` have in common: the settings, and what several of them need, found out once. */
import type { Settings } from '../config/settings.ts';
import type { DockerExecutor } from '../executor/docker/docker-executor.ts';
import type { OpenedRepository } from '../git/open-repository.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import type { CheckResult } from './check.ts';
import type { EngineFound } from './engine.ts';
import type { RemoteFound } from './repository.ts';

export interface DoctorParts {
  settings: Settings;
  /** Of this program. */
  version: string;
  clock: Clock;
  emit: Emit;
  operatorEnv: NodeJS.ProcessEnv;
  /** Ends its calls when the examination does. */
  repository: OpenedRepository;
  executor: DockerExecutor;
  /** Asked once, whoever asks first. Neither throws. */
  remote: () => Promise<RemoteFound>;
  engine: () => Promise<EngineFound>;
  /** One after the other: whatever works in the clone. */
  inClone: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Some checks that belong together: independent of the others, and with a deadline of their own. */
export interface Subject {
  /** For `--only`. */
  name: string;
  deadlineMs: number;
  /** What to do when it does not end. */
  lateRemedy: string;
  examine: (parts: DoctorParts, signal: AbortSignal) => AsyncIterable<CheckResult> | Iterable<CheckResult>;
}
