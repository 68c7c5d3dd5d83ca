/** A task as `dgrid top` shows it: what is known of it, and the end of what it wrote, or has written so far. */
import type { GridClient } from '../../client/grid-client.ts';
import { STREAMS } from '../../ledger/output-codec.ts';
import { readOutput, readResults, type StreamOutput } from '../../ledger/results.ts';
import type { ClaimedState } from '../../ledger/state-codec.ts';
import { standingOf } from '../../ledger/task-standing.ts';
import { LiveOutputs } from '../../pages/live-outputs.ts';
import type { TaskId } from '../../task/id.ts';
import { spelledOut } from '../display-width.ts';
import type { TaskDetail } from '../top/state.ts';
import { notLiveText } from './follow-task.ts';
import { readTask, taskFacts } from './show.ts';

/** Of each output stream. */
const MAX_OUTPUT_LINES = 1_000;

export class TopDetails {
  readonly #client: GridClient;
  readonly #maxTaskBytes: number;
  readonly #live: LiveOutputs;

  constructor(client: GridClient, maxTaskBytes: number) {
    this.#client = client;
    this.#maxTaskBytes = maxTaskBytes;
    this.#live = new LiveOutputs(client.clock);
  }

  /** As of the last look. @throws GitError */
  async read(id: TaskId): Promise<TaskDetail> {
    const client = this.#client;
    const { view } = client.reader;
    const standing = standingOf(view, id);
    const result = (await readResults(client, view, [id])).get(id) ?? null;
    const task = result ? null : await readTask(client, view, id, standing, this.#maxTaskBytes);
    const facts = taskFacts(id, view, standing, result, task).flatMap(([name, value]) =>
      value === null ? [] : [[name, value] as const],
    );
    if (!result && standing.kind === 'claimed') {
      return { task_id: id, facts, output: await this.#outputSoFar(id, standing.state), isOver: false };
    }
    if (!result?.ok) return { task_id: id, facts, output: null, isOver: result !== null };
    const { stdout, stderr } = await readOutput(client, view, result.record);
    const end = (name: string, { bytes, totalBytes }: StreamOutput) =>
      endOf(name, bytes.toString('utf8'), `${totalBytes} bytes`);
    return { task_id: id, facts, output: [...end('stdout', stdout), ...end('stderr', stderr)], isOver: true };
  }

  async #outputSoFar(taskId: TaskId, claim: ClaimedState): Promise<string[]> {
    const { format, reader, repository, signal } = this.#client;
    const parts = {
      reader: { format, namespace: reader.namespace, repository, signal },
      view: reader.view,
      writtenOf: () => null,
    };
    const live = (await this.#live.read([{ taskId, claim }], parts)).get(taskId);
    if (!live) return [];
    if (live.liveness !== 'live') return [notLiveText(live.liveness, claim.nodeId)];
    const lines = STREAMS.flatMap((name) => {
      const stream = live[name];
      return stream === null ? [] : endOf(name, stream.text, `${stream.total_bytes} bytes so far`);
    });
    return lines.length > 0 ? lines : ['no output so far'];
  }
}

function endOf(name: string, text: string, size: string): string[] {
  if (text === '') return [];
  const lines = spelledOut(text).replace(/\n$/, '').replaceAll('\t', '    ').split('\n');
  const shown = lines.slice(-MAX_OUTPUT_LINES);
  const part = shown.length < lines.length ? `, the last ${shown.length} lines` : '';
  return [`── ${name} (${size}${part})`, ...shown];
}
