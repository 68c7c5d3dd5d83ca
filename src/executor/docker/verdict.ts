/**
 * From what was seen of a container's end to what it means. Pure; the rules in order, the first that fits counts.
 *
 * An exit code of 137 or 143 tells nothing by itself: we, the kernel, the engine or another program may have sent the
 * signal. So our own reason comes first, then the engine's word on memory, then whether the engine went away meanwhile.
 */
import type { RunVerdict, StopReason } from '../executor.ts';
import type { BootstrapFailure } from './bootstrap.ts';

export interface RunFacts {
  /** Why we stopped it, if we did before it ended. */
  stopReason: StopReason | null;
  /** null: no process ended that we know of. */
  exitCode: number | null;
  oomKilled: boolean;
  /** The engine refused to start the program. */
  startError: { exitCode: number | null; message: string } | null;
  /** The container was gone, or never started, when we looked. */
  missing: string | null;
  bootstrapFailure: BootstrapFailure | null;
  /** The init process could not start the program. */
  initFailure: string | null;
  /** The engine went away during the run and came back without having kept its containers alive. */
  engineRestarted: boolean;
  /** The connection to the engine was lost at some time during the run. */
  interrupted: boolean;
  /** Taken up after a restart of the worker, which may have sent a signal and died before it noted why. */
  adopted: boolean;
  ranMs: number | null;
  timeoutMs: number;
}

/** In the engine's words for what it could not do; how much of it a task may use is not among them. */
const DISK_TROUBLE = /no space left on device|disk quota exceeded|read-only file system|input\/output error/i;

/** Whether it is the disk under the engine that failed, which is no fault of the task or its image. */
export function tellsOfDiskTrouble(text: string): boolean {
  return DISK_TROUBLE.test(text);
}

/** The engine's code for a container whose end it did not see. */
const UNKNOWN_EXIT_CODE = 255;
const FIRST_SIGNAL_EXIT_CODE = 128;

const BOOTSTRAP_MESSAGES: Readonly<Record<Exclude<BootstrapFailure, 'incomplete'>, string>> = {
  'no-room': "the script does not fit into the task's directory",
  'no-tools':
    'the image has no head or wc, which handing over a script needs, or no tail, chmod or mv, which secrets need; use an image that has them, or a command',
};

export function decideVerdict(facts: RunFacts): RunVerdict {
  const { exitCode } = facts;
  if (facts.stopReason !== null) return { kind: 'stopped', reason: facts.stopReason, exitCode };
  if (facts.startError !== null) return { kind: 'unstartable', ...facts.startError };
  if (facts.missing !== null) return { kind: 'vanished', message: facts.missing };
  if (exitCode === null) return { kind: 'vanished', message: 'the engine does not know how the container ended' };
  if (facts.bootstrapFailure === 'incomplete') {
    return { kind: 'vanished', message: 'the container never got its whole script' };
  }
  if (facts.bootstrapFailure !== null) {
    return { kind: 'unstartable', exitCode, message: BOOTSTRAP_MESSAGES[facts.bootstrapFailure] };
  }
  if (facts.engineRestarted) {
    return { kind: 'vanished', message: `the engine was restarted and ended the container (exit code ${exitCode})` };
  }
  if (exitCode === 0) {
    return { kind: 'exited', exitCode, outOfMemory: false, ...(facts.oomKilled ? { childOutOfMemory: true } : {}) };
  }
  if (facts.oomKilled) return { kind: 'exited', exitCode, outOfMemory: true };
  if (facts.interrupted && exitCode === UNKNOWN_EXIT_CODE) {
    return { kind: 'vanished', message: 'the engine lost sight of the container' };
  }
  if (facts.adopted && exitCode >= FIRST_SIGNAL_EXIT_CODE) {
    if (facts.ranMs !== null && facts.ranMs >= facts.timeoutMs) return { kind: 'stopped', reason: 'timeout', exitCode };
    return { kind: 'vanished', message: `the container was ended while no worker watched it (exit code ${exitCode})` };
  }
  if (facts.initFailure !== null) return { kind: 'unstartable', exitCode, message: facts.initFailure };
  return { kind: 'exited', exitCode, outOfMemory: false };
}
