import { describe, expect, it } from 'vitest';
import { ImageBreakers } from '../../../src/agent/image-breakers.ts';
import { hopelessImages } from '../../../src/agent/set-aside-images.ts';
import { systemClock } from '../../../src/runtime.ts';
import { nodeId } from '../../../src/task/id.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryGrid, testSettings } from '../../support/memory-grid.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { StubEngine } from '../../support/stub-executor.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const BAD = 'nowhere/bad:1';

function setUp() {
  const clock = new ManualClock();
  const events = recordEvents();
  const images = new ImageBreakers({ clock, emit: events.emit });
  const fail = (): void => {
    const admission = images.admit(BAD, []);
    if (admission.kind === 'ask') admission.settle('unavailable', 'no such host');
  };
  return { images, clock, events, fail };
}

describe('ImageBreakers', () => {
  it('sets an image aside after three failures, and only that one', () => {
    const { images, events, fail } = setUp();
    fail();
    fail();
    expect(images.room(BAD, [])).toBe(Number.POSITIVE_INFINITY);
    fail();
    expect(events.named('image.set-aside')).toEqual([
      { image: BAD, failures: 3, pause_ms: 60_000, problem: 'no such host' },
    ]);
    expect([images.room(BAD, []), images.admit(BAD, []).kind]).toEqual([0, 'leave']);
    expect(images.room('other', [])).toBe(Number.POSITIVE_INFINITY);
    expect(images.refusals).toEqual([
      { reason: 'image', image: BAD, text: `${BAD} failed 3 times in a row, tried again in 60 s: no such host` },
    ]);
  });

  it('lets one task try it after the pause, and no second one meanwhile', () => {
    const { images, clock, events } = setUp();
    for (let n = 0; n < 3; n += 1) {
      const admission = images.admit(BAD, []);
      if (admission.kind === 'ask') admission.settle('unavailable', 'no such host');
    }
    clock.advance(60_000);
    expect(images.room(BAD, [])).toBe(1);
    const trial = images.admit(BAD, []);
    expect([trial.kind, images.room(BAD, []), images.admit(BAD, []).kind]).toEqual(['ask', 0, 'leave']);
    // The task was stopped before anybody knew: the next one tries.
    if (trial.kind === 'ask') trial.settle('unknown');
    expect(images.room(BAD, [])).toBe(1);
    const next = images.admit(BAD, []);
    if (next.kind === 'ask') next.settle('had');
    expect(images.room(BAD, [])).toBe(Number.POSITIVE_INFINITY);
    expect(events.named('image.back')).toEqual([{ image: BAD }]);
    expect(images.nextTrialMs).toBeNull();
  });

  it('gives tasks up where no other node could have it', () => {
    const { images, fail } = setUp();
    for (let n = 0; n < 3; n += 1) fail();
    images.noteOthers((image, requires) => image === BAD && requires.length === 0);
    expect(images.room(BAD, [])).toBe(Number.POSITIVE_INFINITY);
    expect(images.admit(BAD, [])).toEqual({ kind: 'give-up', problem: 'no such host' });
    expect([images.room(BAD, ['gpu']), images.admit(BAD, ['gpu']).kind]).toEqual([0, 'leave']);
  });

  it('remembers a bounded number of images', () => {
    const { images } = setUp();
    for (let n = 0; n < 600; n += 1) {
      for (let failure = 0; failure < 3; failure += 1) {
        const admission = images.admit(`image-${n}`, []);
        if (admission.kind === 'ask') admission.settle('unavailable', 'no');
      }
    }
    expect(images.setAside).toHaveLength(500);
    expect(images.refusals.map(({ image }) => image)).toEqual(
      Array.from({ length: 20 }, (_, at) => `image-${580 + at}`),
    );
    expect(images.room('image-0', [])).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('what others set aside', () => {
  const alive = (info: object) =>
    ({ oid: 'x', state: { kind: 'state', state: { state: 'alive', ttlMs: 1_000, info } } }) as const;
  const told = { refuses: [{ reason: 'image', image: BAD, text: '' }], labels: ['gpu'] };
  const hopeless = (nodes: object, silentMs = 0): boolean[] => {
    const view = { nodes: new Map(Object.entries({ me: alive({}), ...nodes })) };
    const isHopeless = hopelessImages(view as never, {
      nodeId: nodeId('me'),
      silentMs: (id) => (id === nodeId('mute') ? silentMs : 0),
    });
    return [isHopeless(BAD, []), isHopeless(BAD, ['gpu']), isHopeless(BAD, ['camera']), isHopeless('good', [])];
  };

  it('decides together, by what each could run', () => {
    expect(hopeless({})).toEqual([true, true, true, true]);
    expect(hopeless({ a: alive(told) })).toEqual([true, true, true, false]);
    expect(hopeless({ a: alive(told), b: alive({ labels: [] }) })).toEqual([false, true, true, false]);
    expect(hopeless({ a: alive({}) })).toEqual([false, false, false, false]);
  });

  it('takes a node that nobody can read for one that has it, and a silent one for none', () => {
    expect(hopeless({ a: { oid: 'x', state: null } })).toEqual([false, false, false, false]);
    expect(hopeless({ a: alive({ refuses: 'all', labels: 7 }) })).toEqual([false, false, false, false]);
    expect(hopeless({ mute: alive({}) }, 5_000)).toEqual([true, true, true, true]);
    expect(hopeless({ a: { oid: 'x', state: { kind: 'state', state: { state: 'stopped' } } } })[0]).toBe(true);
  });
});

describe('a worker that cannot get an image', () => {
  const docker = { ...testSettings('', 'a').docker, allowedImages: ['busybox:stable', 'missing:1', 'rare:1'] };

  it('asks for it three times, however many tasks want it, and lets none wait when it is alone', async () => {
    const grid = new MemoryGrid(await temporaryDirectory());
    const tasks = Object.fromEntries(
      Array.from({ length: 20 }, (_, at) => [`t${at}`, { script: 'exit 0', image: 'missing:1' }]),
    );
    await grid.queue({ ...tasks, good: { script: 'exit 0' } });
    const engine = new StubEngine(systemClock);
    const worker = await grid.startWorker('a', { engine, untilIdle: true, settings: { docker, maxParallelTasks: 1 } });
    await worker.done;
    for (const id of Object.keys(tasks)) expect(await grid.record(id)).toMatchObject({ reason: 'image-unavailable' });
    expect(await grid.record('good')).toMatchObject({ status: 'success' });
    expect(engine.asked.filter((image) => image === 'missing:1')).toHaveLength(3);
    expect(worker.events.named('image.set-aside')).toHaveLength(1);
    const last = Object.keys(tasks).map(async (id) => (await grid.record(id))?.message ?? '');
    expect((await Promise.all(last)).filter((text) => text.includes('not asked for once more'))).toHaveLength(17);
  });

  it('leaves its tasks to a node that can', async () => {
    const grid = new MemoryGrid(await temporaryDirectory());
    const lame = new StubEngine(systemClock);
    lame.lacks.add('rare:1');
    const first = await grid.startWorker('lame', { engine: lame, settings: { docker, maxParallelTasks: 1 } });
    await grid.queue({
      a: { script: 'exit 0', image: 'rare:1' },
      b: { script: 'exit 0', image: 'rare:1' },
      c: { script: 'exit 0', image: 'rare:1' },
    });
    await until('it to be set aside', () => first.events.named('image.set-aside').length === 1);
    const second = await grid.startWorker('able', { engine: new StubEngine(systemClock), settings: { docker } });
    await until('the able one to be ready', () => second.events.named('worker.ready').length === 1);
    await until('the lame one to see it', () => first.reader.view.nodes.size === 2);
    const ids = Array.from({ length: 12 }, (_, at) => `later-${at}`);
    await grid.queue(Object.fromEntries(ids.map((id) => [id, { script: 'exit 0', image: 'rare:1' }])));
    await until('the records', async () => (await Promise.all(ids.map((id) => grid.record(id)))).every(Boolean));
    for (const id of ids) expect(await grid.record(id)).toMatchObject({ status: 'success', node_id: 'able' });
    expect(lame.asked).toHaveLength(3);
    for (const worker of [first, second]) {
      worker.agent.requestStop();
      await worker.done;
    }
  });
});
