/** Whole workers on a repository in memory: what keeps them looking at the set interval, and what does not. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryGrid, type TestWorker } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const SET_MS = 20;
const MAX_MS = 80;
/** Takes longer than the quiet time before the first step: so many waits of 20 ms, however fast the machine. */
const MANY_LOOKS = 60;

async function grid(): Promise<MemoryGrid> {
  return new MemoryGrid(await temporaryDirectory());
}

async function start(g: MemoryGrid, name: string): Promise<TestWorker> {
  const settings = { pullIntervalMs: SET_MS, maxPullIntervalMs: MAX_MS, nodeTtlMs: 60_000 };
  const worker = await g.startWorker(name, { settings });
  onTestFinished(async () => {
    worker.agent.requestStop();
    worker.agent.requestStop();
    await worker.done;
  });
  return worker;
}

function looks({ events }: TestWorker): number {
  return events.named('poll.skipped').length + events.named('poll.pulling').length;
}

async function manyLooks(worker: TestWorker): Promise<void> {
  const before = looks(worker);
  await until('many looks', () => looks(worker) >= before + MANY_LOOKS, 60_000);
}

function interval({ agent }: TestWorker): unknown {
  return agent.polling['interval_ms'];
}

describe('an idle worker', () => {
  it('looks less and less often, whatever the heartbeats of others, and runs at once what it is told of', async () => {
    const g = await grid();
    await g.queue({ first: { script: 'exit 0' } });
    const [a, b] = await Promise.all([start(g, 'a'), start(g, 'b')]);
    await until('the longest interval', () => interval(a) === MAX_MS && interval(b) === MAX_MS);
    expect(await g.record('first')).toMatchObject({ status: 'success' });
    await g.queue({ second: { script: 'exit 0' } });
    a.agent.lookNow('webhook');
    expect(interval(a)).toBe(SET_MS);
    await until('the record', async () => (await g.record('second')) !== null);
    expect(a.agent.polling).toMatchObject({ interval_max_ms: MAX_MS, nudges: { webhook: 1, signal: 0 } });
  });

  it('looks at the set interval while another has a task in work', async () => {
    const g = await grid();
    const busy = await start(g, 'busy');
    await g.queue({ long: { script: 'sleep 600000' } });
    await until('it to run', () => busy.engine.starts.length === 1);
    const idle = await start(g, 'idle');
    await manyLooks(idle);
    expect(interval(idle)).toBe(SET_MS);
  });

  it('looks at the set interval while something is queued that it may run, but not for what only others may', async () => {
    const g = await grid();
    await g.queue({ elsewhere: { script: 'exit 0', requires: ['camera'] } });
    const worker = await start(g, 'a');
    await until('the longest interval', () => interval(worker) === MAX_MS);
    worker.gate.close('disk', 'full');
    await g.queue({ here: { script: 'exit 0' } });
    await until('the look that finds it', () => worker.reader.view.queue.files.size === 2);
    await manyLooks(worker);
    expect(interval(worker)).toBe(SET_MS);
    worker.gate.open('disk');
    await until('the record', async () => (await g.record('here')) !== null);
  });
});
