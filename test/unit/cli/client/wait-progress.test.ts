import { describe, expect, it } from 'vitest';
import { WaitProgress } from '../../../../src/cli/client/wait-progress.ts';
import { ProgressBar } from '../../../../src/cli/progress-bar.ts';
import { cancel } from '../../../../src/client/cancel.ts';
import { taskId } from '../../../../src/task/id.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { memoryClient } from '../../../support/memory-client.ts';
import { MemoryGrid } from '../../../support/memory-grid.ts';

const IDS = ['a', 'b', 'c', 'd', 'e'].map(taskId);

async function grid() {
  const made = new MemoryGrid('/nowhere');
  await made.commit(
    Object.fromEntries(IDS.map((id) => [`tasks/queue/${id}.json`, JSON.stringify({ task_id: id, script: 'x' })])),
  );
  return memoryClient(made.remote).client;
}

describe('waiting for tasks', () => {
  it('tells what failed, how fast results come and how long that may take, once it can be told', async () => {
    const client = await grid();
    await cancel(client, [IDS[0]!]);
    const progress = new WaitProgress(IDS);
    expect(progress.label(await client.refresh(), 0)).toBe('done, 1 failed');
    await cancel(client, [IDS[1]!]);
    expect(progress.label(await client.refresh(), 10_000)).toBe('done, 2 failed');
    await cancel(client, [IDS[2]!]);
    // What was done before the waiting began counts for nothing: two in twenty seconds, and two are left.
    expect(progress.label(await client.refresh(), 20_000)).toBe('done, 3 failed, 6.0 a minute, about 20 s left');
    await cancel(client, IDS.slice(3));
    expect(progress.label(await client.refresh(), 30_000)).toBe('done, 5 failed, 8.0 a minute');
  });

  it('tells of a single task where it stands', async () => {
    const client = await grid();
    const progress = new WaitProgress([IDS[0]!]);
    expect(progress.label(await client.refresh(), 0)).toBe('a queued, waited 0.0 s');
    expect(progress.label(await client.refresh(), 12_000)).toBe('a queued, waited 12 s');
  });
});

describe('the bar', () => {
  it.each([
    [80, '[████████████░░░░░░░░░░░░] 5/10 done, 6.0 a minute, about 20 s left'],
    [60, '[████████░░░░░░░░] 5/10 done, 6.0 a minute, about 20 s left'],
    [30, '[████░░░░] 5/10 done, 6.0 a …'],
    [17, '[████░░░░] 5/10'],
    [16, '5/10'],
    [10, '5/10'],
  ])('fits %i columns', (columns, expected) => {
    let written = '';
    const target = { isTerminal: true, columns, write: (text: string) => void (written += text) };
    new ProgressBar(target, new ManualClock(), 10).update(5, 'done, 6.0 a minute, about 20 s left');
    const line = written.replace('\r\u001b[2K', '');
    expect(line.length).toBeLessThan(columns);
    expect(line).toBe(expected);
  });
});
