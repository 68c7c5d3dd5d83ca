/** Following a task on the command line: its output as it comes, remarks on standard error, the exit code. */
import { type FollowEvent, Follower } from '../../client/follow.ts';
import type { GridClient } from '../../client/grid-client.ts';
import { waitForTasks } from '../../client/wait.ts';
import type { Liveness } from '../../ledger/live-output.ts';
import { outputRef } from '../../ledger/names.ts';
import { readOutput, readResults, type StreamOutput } from '../../ledger/results.ts';
import type { NodeId, TaskId } from '../../task/id.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import type { Output } from '../output.ts';
import type { Cli } from '../program.ts';
import { unknownTasks } from './task-ids.ts';
import { WholeCharacters } from './whole-characters.ts';

/** Between two looks, while something comes and while nothing does. */
const MIN_LOOK_MS = 1_000;
const MAX_LOOK_MS = 3_000;

export type ShownStream = 'stdout' | 'stderr' | 'both';

export interface FollowOptions {
  stream: ShownStream;
  /** Between two looks; null: as it goes. */
  intervalMs: number | null;
  unknownAfterLooks: number;
}

/**
 * Resolves with what the task wrote in the end, after printing all of it; null when it was interrupted. Sets exit code 3
 * when it failed. @throws Failure
 */
export async function followTask(
  client: GridClient,
  cli: Cli,
  output: Output,
  id: TaskId,
  options: FollowOptions,
): Promise<{ stdout: StreamOutput; stderr: StreamOutput } | null> {
  const { intervalMs, stream: shown, unknownAfterLooks } = options;
  const printers = {
    stdout: new WholeCharacters((bytes) => output.bytes(bytes)),
    stderr: new WholeCharacters((bytes) => output.errorBytes(bytes)),
  };
  const follower = new Follower(client, id, {
    bytes: (stream, bytes) => {
      if (shown === 'both' || shown === stream) printers[stream].write(bytes);
    },
    tell: (event) => {
      for (const printer of Object.values(printers)) printer.flush();
      output.note(`dgrid: ${textOf(id, event)}`);
    },
  });
  const outcome = await waitForTasks(client, [id], {
    timeoutMs: null,
    unknownAfterLooks,
    also: [outputRef(client.reader.namespace, id)],
    pace: { minMs: intervalMs ?? MIN_LOOK_MS, maxMs: intervalMs ?? MAX_LOOK_MS },
    onLook: (_done, view) => follower.look(view),
  });
  if (outcome.kind === 'unknown') throw unknownTasks(client, outcome.view, outcome.ids);
  if (outcome.kind !== 'done') return null;
  const result = (await readResults(client, outcome.view, [id])).get(id);
  if (!result) throw new Failure('failed', `${id}: its result cannot be read`);
  if (!result.ok) throw new Failure('failed', `${id}: ${result.problem}`);
  const { record } = result;
  const kept = await readOutput(client, outcome.view, record);
  follower.finish(record, kept);
  for (const printer of Object.values(printers)) printer.flush();
  if (record.status !== 'success') {
    cli.setExitCode(EXIT.taskFailed);
    output.note(`dgrid: ${id} failed (${record.reason}): ${record.message}`);
  }
  return kept;
}

function textOf(id: TaskId, event: FollowEvent): string {
  switch (event.kind) {
    case 'queued':
      return `${id} is queued, its output follows when it runs`;
    case 'waiting':
      return event.reason === 'retry'
        ? `${id} failed and is tried again`
        : `${id} was handed back, and waits for a node`;
    case 'running':
      return `${runningText(id, event)}${event.liveness === 'live' ? '' : `; ${notLiveText(event.liveness, event.nodeId)}`}`;
    case 'full':
      return `${id} wrote more than is shown while it runs (MAX_FOLLOW_BYTES), the rest comes with its result`;
    case 'unreadable':
      return `what ${id} wrote so far cannot be read (${event.problem}), it comes with its result`;
    case 'differs':
      return `the result has another beginning of ${event.stream} than was shown, so all of it follows`;
    case 'not-kept':
      return `what was shown above is not part of the result of ${id}`;
  }
}

function runningText(id: TaskId, event: Extract<FollowEvent, { kind: 'running' }>): string {
  const where = `on ${event.nodeId}, attempt ${event.attempt}`;
  return event.isNext ? `${id} begins anew ${where}: what it wrote before counts no longer` : `${id} runs ${where}`;
}

export function notLiveText(liveness: Exclude<Liveness, 'live'>, nodeId: NodeId): string {
  const then = 'so its output comes with its result';
  if (liveness === 'not-asked') return `its file does not say "follow": true, ${then}`;
  if (liveness === 'never') return `that node publishes none before (FOLLOW_OUTPUT=never), ${then}`;
  return `${nodeId} does not say that it publishes any before, ${then}`;
}
