/**
 * Every step that makes something last beyond this process: on the remote, on this machine's disk, in its container
 * engine. Between any two of them a process may die, and whoever comes next puts right what it left.
 *
 * Nothing in `src` makes anything durable but through `durably`, under one of these names. So an operator sees in a debug
 * log how long each step took, and the tests know where a process can be made to die: a step without a test of its death
 * fails the suite.
 */
import type { Emit, EventFields } from './observe/events.ts';
import type { Clock } from './runtime.ts';

/** In the order in which a task meets them. */
export type StepPart =
  | 'setup'
  | 'clone'
  | 'registration'
  | 'queue'
  | 'claim'
  | 'start'
  | 'output'
  | 'finish'
  | 'outbox'
  | 'push'
  | 'record'
  | 'delete'
  | 'leave';

export interface StepDescription {
  part: StepPart;
  /** What is there afterwards, and stays when the process dies. */
  durable: string;
}

export const DURABLE_STEPS = {
  'machine-id.save': { part: 'setup', durable: "the state directory's half of the machine's id" },
  'quota.set-aside': { part: 'setup', durable: 'a copy of an hourly count that cannot be understood' },
  'clone.clear': { part: 'clone', durable: "the clone's directory, with nothing in it but its marker" },
  'clone.mark': { part: 'clone', durable: 'the marker that says what the clone is made for' },
  'clone.init': { part: 'clone', durable: 'an empty bare clone' },
  'clone.complete': { part: 'clone', durable: 'the word that the first fetch has been completed' },
  'clone.fetch': { part: 'clone', durable: 'fetched objects, and the mirror of their refs' },
  'clone.keep': { part: 'clone', durable: 'what was fetched over HTTP, and the mirror of its refs' },
  'clone.store': { part: 'clone', durable: 'new objects in the clone, about to be sent' },

  'swap.register': { part: 'registration', durable: 'a new incarnation in the ref of this node' },
  'swap.adopt': { part: 'registration', durable: 'a claim of an earlier incarnation, moved to this one' },
  'swap.beat': { part: 'registration', durable: 'a sign of life in the ref of this node' },
  'swap.fence': { part: 'registration', durable: 'the word that another node is dead' },
  'outbox.discard': { part: 'registration', durable: 'that a result which was half written is gone' },
  'outbox.set-aside': { part: 'registration', durable: 'a damaged result, out of the way' },

  'swap.submit': { part: 'queue', durable: 'task files on the branch' },
  'swap.lay-out': { part: 'queue', durable: 'the layout of the task repository on the branch' },
  'swap.cancel': { part: 'queue', durable: 'the result of a task that was cancelled' },

  'swap.claim': { part: 'claim', durable: 'a claim on a task' },
  'swap.release': { part: 'claim', durable: 'a claim without a task file, given back' },
  'swap.give-up': { part: 'claim', durable: 'that the claim on a task with a record is gone' },

  'quota.save': { part: 'start', durable: 'the starts of this hour' },
  'signed-start.save': { part: 'start', durable: 'which signed tasks were started here' },
  'container.create': { part: 'start', durable: 'a container that does not run yet' },
  'container.hand-over': { part: 'start', durable: 'the word which task a container was given to that waited for one' },
  'container.start': { part: 'start', durable: 'a container that runs' },

  'swap.output': { part: 'output', durable: 'what a running task has written so far' },

  'container.stop': { part: 'finish', durable: 'a container that was told to end' },
  'container.remove': { part: 'finish', durable: 'that a container is gone' },

  'outbox.write': { part: 'outbox', durable: 'a result under a temporary name' },
  'outbox.rename': { part: 'outbox', durable: 'a result under its name' },
  'outbox.sync': { part: 'outbox', durable: "a result's name, also after a power cut" },
  'outbox.remove': { part: 'outbox', durable: 'that a result which was settled is gone' },

  'swap.result': { part: 'push', durable: 'the result of a task' },
  'swap.put-back': { part: 'push', durable: 'a task that waits for another try' },
  'swap.settle': { part: 'push', durable: 'the result of a task that needs no container' },

  'swap.record': { part: 'record', durable: 'records on the branch, and their task files gone from it' },

  'swap.delete': { part: 'delete', durable: 'that the ref of a recorded task is gone' },
  'swap.output-delete': {
    part: 'delete',
    durable: 'that the output of a task that no longer runs is gone from its ref',
  },

  'swap.goodbye': { part: 'leave', durable: 'the word that this node has left in order' },
} as const satisfies Record<string, StepDescription>;

export type DurableStep = keyof typeof DURABLE_STEPS;
/** The steps that move a ref of the remote. Many of them travel in one push. */
export type SwapStep = Extract<DurableStep, `swap.${string}`>;

/** What emits: whoever has these two passes itself. */
export interface StepParts {
  clock: Clock;
  emit: Emit;
}

/**
 * Carries out one durable step, or several that come about together, and tells before and after.
 * @param fields stand in both events.
 * @throws what the action throws: then the step may have been made or not.
 */
export async function durably<T>(
  parts: StepParts,
  steps: DurableStep | readonly DurableStep[],
  fields: EventFields,
  action: () => Promise<T>,
): Promise<T> {
  const { clock, emit } = parts;
  const distinct = new Set(typeof steps === 'string' ? [steps] : steps);
  const startedMs = clock.monotonicMs();
  for (const step of distinct) emit('step.begun', { step, ...fields });
  const outcome = await action();
  const ms = Math.round(clock.monotonicMs() - startedMs);
  for (const step of distinct) emit('step.done', { step, ...fields, ms });
  return outcome;
}
