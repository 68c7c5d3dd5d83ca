/** Whole workers whose engine fails at the worst moments: what the task did stays what it did. */
import { describe, expect, it } from 'vitest';
import { refName } from '../../../src/git/oid.ts';
import { type Clock, systemClock } from '../../../src/runtime.ts';
import { MemoryGrid, type TestWorker, testSettings } from '../../support/memory-grid.ts';
import { StubEngine } from '../../support/stub-executor.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

async function grid(): Promise<MemoryGrid> {
  return new MemoryGrid(await temporaryDirectory());
}

/** Nobody waits longer than this, so that bounds of half a minute take no half minute. */
const LONGEST_SLEEP_MS = 400;
const impatient: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, LONGEST_SLEEP_MS), signal),
};

async function stop(worker: TestWorker): Promise<void> {
  worker.agent.requestStop();
  await worker.done;
}

function engineWith(faults: Partial<StubEngine['faults']>): StubEngine {
  const engine = new StubEngine(systemClock);
  Object.assign(engine.faults, faults);
  return engine;
}

describe('an engine that fails', () => {
  it('when a container is to be removed costs the task nothing, and the container goes later', async () => {
    const g = await grid();
    await g.queue({ good: { script: 'exit 0' }, bad: { script: 'exit 3' } });
    let failures = 2;
    const engine = engineWith({
      dispose: () => {
        failures -= 1;
        return failures >= 0 ? 'fail' : 'work';
      },
    });
    const worker = await g.startWorker('a', { engine });
    await until('the records', async () => (await g.record('good')) !== null && (await g.record('bad')) !== null);
    expect(await g.record('good')).toMatchObject({ attempt: 1, status: 'success' });
    expect(await g.record('bad')).toMatchObject({ attempt: 1, reason: 'exit-code', exit_code: 3 });
    await until('the containers to go', () => engine.containers.size === 0);
    expect(engine.starts).toHaveLength(2);
    await stop(worker);
  });

  it('is none where it refuses what a task asks for: that task ends, and the others go on', async () => {
    const g = await grid();
    await g.queue({ odd: { script: 'exit 0', network: 'absent' }, good: { script: 'exit 0' } });
    const engine = engineWith({});
    const docker = { ...testSettings('/nonexistent', 'a').docker, allowedNetworks: ['absent'] };
    const worker = await g.startWorker('a', { engine, settings: { docker } });
    await until('the records', async () => (await g.record('odd')) !== null && (await g.record('good')) !== null);
    expect(await g.record('odd')).toMatchObject({
      reason: 'rejected',
      message: expect.stringContaining('does not exist on this node'),
    });
    expect(await g.record('good')).toMatchObject({ status: 'success' });
    expect(worker.events.named('engine.unavailable')).toEqual([]);
    await stop(worker);
  });

  it('when a container is to be removed that failed still counts the failure', async () => {
    const g = await grid();
    await g.queue({ flaky: { script: 'exit 1', retries: 1 } });
    let failed = false;
    const engine = engineWith({
      dispose: () => {
        if (failed) return 'work';
        failed = true;
        return 'fail';
      },
    });
    const worker = await g.startWorker('a', { engine, untilIdle: true });
    await worker.done;
    expect(await g.record('flaky')).toMatchObject({ reason: 'exit-code', attempt: 2 });
    expect(worker.events.named('task.retry')).toHaveLength(1);
  });

  it('and never answers a removal does not hold the result up', async () => {
    const g = await grid();
    await g.queue({ one: { script: 'exit 0' } });
    const engine = engineWith({ dispose: () => 'hang' });
    const worker = await g.startWorker('a', { engine });
    await until('the record', async () => (await g.record('one')) !== null);
    engine.release();
    await stop(worker);
  });

  it('when a restarted worker looks for its containers does not make it forget them', async () => {
    const g = await grid();
    const engine = new StubEngine(systemClock);
    await g.queue({ long: { script: 'sleep 60000' } });
    let dead = false;
    const first = await g.startWorker('a', {
      engine,
      prepare: (repository) => {
        repository.onPush = () => (dead ? 'lost-request' : 'none');
      },
    });
    await until('it to run', () => engine.containers.size === 1);
    dead = true;
    let looks = 0;
    engine.faults.findRuns = () => {
      looks += 1;
      return looks === 1 ? 'fail' : 'work';
    };
    const second = await g.startWorker('a', { engine, machine: 'machine-a' });
    await until('the old container to go', () => second.events.named('container.leftover').length === 1);
    first.runner.stopAll('fenced');
    second.agent.requestStop();
    second.agent.requestStop();
    await second.done;
  });

  it('to answer a health check does not hold up the polling, and is a reason not to claim', async () => {
    const g = await grid();
    const engine = new StubEngine(systemClock);
    const worker = await g.startWorker('a', { engine, clock: impatient, settings: { healthCheckEvery: 1 } });
    await until('it to be ready', () => worker.gate.isOpen);
    engine.faults.probe = () => 'hang';
    const polls = worker.events.named('poll.skipped').length;
    await until('polls to go on', () => worker.events.named('poll.skipped').length > polls + 5);
    expect(worker.gate.isClosedBy('engine')).toBe(true);
    await g.queue({ one: { script: 'exit 0' } });
    await until('it to be seen', () => worker.reader.view.queue.files.size === 1);
    expect(g.taskRefs()).toEqual([]);
    engine.faults.probe = () => 'work';
    engine.release();
    await until('the record', async () => (await g.record('one')) !== null);
    await stop(worker);
  });

  it('to stop a container counts the start all the same when the worker leaves', async () => {
    const g = await grid();
    await g.queue({ long: { script: 'sleep 600000' } });
    const engine = engineWith({ stop: () => 'hang' });
    const worker = await g.startWorker('a', { engine, clock: impatient });
    await until('it to run', () => engine.containers.size === 1);
    await stop(worker);
    const other = await g.startWorker('b');
    await until('another to start it', () => other.events.named('task.started').length === 1);
    expect(other.events.named('task.started')[0]).toMatchObject({ attempt: 2 });
    other.agent.requestStop();
    other.agent.requestStop();
    await other.done;
  });
});

describe('a claim whose push is under way while its node is declared dead', () => {
  it('is not started under the incarnation that is gone', async () => {
    const g = await grid();
    const engine = new StubEngine(systemClock);
    const hold = Promise.withResolvers<void>();
    let holding = false;
    const worker = await g.startWorker('a', {
      engine,
      prepare: (repository) => {
        const swap = repository.swapRefs.bind(repository);
        repository.swapRefs = async (swaps, objects) => {
          const claims = swaps.some(({ ref }) => ref === refName('refs/dgrid/tasks/one'));
          if (claims && !holding) {
            holding = true;
            await hold.promise;
          }
          return await swap(swaps, objects);
        };
      },
    });
    await until('it to be there', () => worker.agent.state === 'running');
    await g.queue({ one: { script: 'sleep 300' } });
    await until('the claim to be under way', () => holding);
    const before = worker.membership.incarnation;
    // Declared dead meanwhile, and back again before the claim arrives.
    worker.membership.renew();
    await until('it to notice', () => worker.gate.isClosedBy('registration'));
    hold.resolve();
    await until('the record', async () => (await g.record('one')) !== null);
    expect(worker.membership.incarnation).not.toBe(before);
    expect(engine.starts).toHaveLength(1);
    await stop(worker);
  });
});

describe('containers that are made ahead', () => {
  it('are asked for when the worker has its place in the grid, and go when it leaves', async () => {
    const g = await grid();
    const engine = engineWith({});
    const worker = await g.startWorker('a', { engine });
    await until('the worker to ask for them', () => engine.readiness === 'fill');
    expect(worker.agent.state).toBe('running');
    await stop(worker);
    expect(engine.readiness).toBe('empty');
  });
});

describe('an engine that cannot limit what tasks use', () => {
  function unlimited(): StubEngine {
    return Object.assign(engineWith({}), { missingLimits: ['memory', 'pids'] });
  }

  it('gets no task, says why, and gets them once it can', async () => {
    const g = await grid();
    await g.queue({ task: { script: 'exit 0' } });
    const engine = unlimited();
    const worker = await g.startWorker('a', { engine, settings: { healthCheckEvery: 1 } });
    await until('the worker to say so', () => worker.events.named('engine.unlimited').length > 0);
    expect(worker.events.named('engine.unlimited')).toEqual([
      { engine: 'stub', missing: ['memory', 'pids'], accepted: false },
    ]);
    await until('some looks', () => worker.events.named('health.passed').length > 3);
    expect(worker.gate.reasons).toEqual([
      { reason: 'limits', text: expect.stringContaining('memory, pids of a task (ALLOW_UNLIMITED_TASKS)') },
    ]);
    expect(engine.starts).toEqual([]);
    engine.missingLimits = [];
    await until('the record', async () => (await g.record('task')) !== null);
    expect(worker.events.named('engine.unlimited')).toHaveLength(1);
    await stop(worker);
  });

  it('gets them where the operator accepts that, and it is told', async () => {
    const g = await grid();
    await g.queue({ task: { script: 'exit 0' } });
    const { docker } = testSettings('/nowhere', 'a');
    const worker = await g.startWorker('a', {
      engine: unlimited(),
      settings: { docker: { ...docker, allowUnlimitedTasks: true } },
    });
    await until('the record', async () => (await g.record('task')) !== null);
    expect(worker.events.named('engine.unlimited')).toMatchObject([{ accepted: true }]);
    await stop(worker);
  });
});
