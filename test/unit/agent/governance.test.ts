/** Whole workers that must not take on anything new: for the hour, for an engine that starts nothing, for memory. */
import { expect, it } from 'vitest';
import { activeHours } from '../../../src/config/active-hours.ts';
import type { Machine } from '../../../src/config/machine.ts';
import { type Clock, systemClock } from '../../../src/runtime.ts';
import { MemoryGrid, type TestWorker } from '../../support/memory-grid.ts';
import { StubEngine } from '../../support/stub-executor.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

async function grid(): Promise<MemoryGrid> {
  return new MemoryGrid(await temporaryDirectory());
}

async function stop(worker: TestWorker): Promise<void> {
  worker.agent.requestStop();
  await worker.done;
}

const hoursOf = (text: string) => {
  const parsed = activeHours().parse(text, {} as Machine);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
};

it('claims nothing outside of its hours, lets run what runs, and goes on when they begin', async () => {
  const g = await grid();
  let aheadMs = 0;
  const clock: Clock = { ...systemClock, wallMs: () => Date.UTC(2026, 10, 24, 12) + aheadMs };
  // Twelve hours from now in whatever zone this runs, and for an hour.
  const local = (ms: number): string => new Date(ms).toTimeString().slice(0, 5);
  const begins = local(clock.wallMs() - 3_600_000);
  const ends = local(clock.wallMs() + 3_600_000).replace('00:00', '24:00');
  const settings = { activeHours: hoursOf(`${begins}-${ends}`) };
  const engine = new StubEngine(systemClock);
  const worker = await g.startWorker('a', { engine, clock, settings });
  await g.queue({ early: { script: 'sleep 1500' } });
  await until('it to run', () => engine.starts.length === 1);
  aheadMs = 2 * 3_600_000;
  await until('the hours to be over', () => worker.gate.isClosedBy('hours'));
  expect(worker.gate.reasons[0]?.text).toMatch(
    new RegExp(
      `^outside of ${begins}-${ends} \\(ACTIVE_HOURS\\), again from [A-Z][a-z]{2} ${begins}; tasks that run go on$`,
    ),
  );
  expect(worker.events.named('limit.hours')).toMatchObject([{ active_hours: `${begins}-${ends}`, running: 1 }]);
  await until('what waits for tasks to go', () => engine.readiness === 'empty');
  await g.queue({ late: { script: 'exit 0' } });
  await until('what ran to be recorded', async () => (await g.record('early')) !== null);
  expect(await g.record('early')).toMatchObject({ status: 'success' });
  expect(engine.starts).toHaveLength(1);
  aheadMs = 23.5 * 3_600_000;
  await until('the next day', async () => (await g.record('late')) !== null);
  expect(worker.events.named('limit.hours-cleared')).toHaveLength(1);
  await stop(worker);
});

it('pauses for an engine that answers and starts nothing, longer each time, and tries with one task', async () => {
  const g = await grid();
  let aheadMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
  const engine = new StubEngine(systemClock);
  engine.faults.start = () => 'fail';
  const worker = await g.startWorker('a', { engine, clock, settings: { maxParallelTasks: 4, nodeTtlMs: 10 ** 9 } });
  await g.queue(Object.fromEntries(Array.from({ length: 16 }, (_, at) => [`t${at}`, { script: 'exit 0' }])));
  const paused = () => worker.events.named('engine.paused');
  await until('it to pause', () => paused().length === 1);
  // Each time with up to four tasks at once, which count as one.
  expect(paused()[0]).toMatchObject({ failures: 3, pause_ms: expect.closeTo(15_000, -3) });
  expect(worker.events.named('task.engine-failed').length).toBeGreaterThan(3);
  await until('the gate to say so', () =>
    /^it failed to start anything \d+ times in a row/.test(worker.gate.reasons[0]?.text ?? ''),
  );
  expect(worker.gate.isClosedBy('engine')).toBe(true);
  // While tasks come back that were under way, nothing more is started.
  await until('all to be handed back', () => worker.runner.activeCount === 0);
  const tries = worker.events.named('task.engine-failed').length;
  aheadMs += 20_000;
  await until('the next pause', () => paused().length === 2);
  expect(worker.events.named('task.engine-failed')).toHaveLength(tries + 1);
  expect(paused()[1]).toMatchObject({ pause_ms: expect.closeTo(30_000, -3) });
  engine.faults.start = () => 'hang';
  aheadMs += 40_000;
  await until('the next try', () => worker.runner.starting === 1);
  const polls = worker.events.named('poll.skipped').length;
  await until('some looks', () => worker.events.named('poll.skipped').length > polls + 5);
  expect(worker.runner.activeCount).toBe(1);
  engine.faults.start = () => 'work';
  engine.release();
  await until('all records', async () => {
    const records = await Promise.all(Array.from({ length: 16 }, (_, at) => g.record(`t${at}`)));
    return records.every((record) => record?.status === 'success');
  });
  expect(worker.gate.isOpen).toBe(true);
  await stop(worker);
});

it('says which task there is no memory for, and takes the others', async () => {
  const g = await grid();
  const settings = { memoryReserveBytes: 2 ** 60 };
  const worker = await g.startWorker('a', { settings });
  await g.queue({ big: { script: 'exit 0', memory: '16m' } });
  await until('it to be told', () => worker.events.named('limit.memory').length === 1);
  expect(worker.refusals()).toEqual([{ reason: 'memory', text: expect.stringMatching(/^big needs 16m, the whole/) }]);
  expect(worker.gate.isOpen).toBe(true);
  expect(g.taskRefs()).toEqual([]);
  await stop(worker);
});

it('ends a task that the executor will not ask any engine for', async () => {
  const g = await grid();
  const engine = new StubEngine(systemClock);
  engine.faults.start = () => 'reject';
  await g.queue({ odd: { script: 'exit 0' } });
  const worker = await g.startWorker('a', { engine, untilIdle: true });
  await until('the record', async () => (await g.record('odd')) !== null);
  expect(await g.record('odd')).toMatchObject({
    reason: 'rejected',
    message: 'the stub engine is not asked for that',
  });
  await worker.done;
});
