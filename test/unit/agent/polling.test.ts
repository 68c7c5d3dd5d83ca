import { describe, expect, it, onTestFinished } from 'vitest';
import { MIN_PAUSE_MS } from '../../../src/agent/nudges.ts';
import { type Look, Polling } from '../../../src/agent/polling.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type RecordedEvents, recordEvents } from '../../support/recorded-events.ts';

const SET_MS = 10_000;
const MAX_MS = 60_000;
const QUIET: Look = { quiet: true, nextLookMs: null };
const BUSY: Look = { quiet: false, nextLookMs: null };
/** In the middle: no spread. */
const MIDDLE = '80000000';

interface Setup {
  clock: ManualClock;
  events: RecordedEvents;
  polling: Polling;
  /** How many looks have begun. */
  looks: () => number;
  /** What the next looks find; or throw. */
  finds: (look: Look | Error) => void;
  /** The looks do not end until this is called. */
  hold: () => () => void;
  /** Until the first look is over. */
  start: () => Promise<void>;
  pass: (ms: number) => Promise<void>;
}

function setup(maxIntervalMs = MAX_MS): Setup {
  const clock = new ManualClock();
  const events = recordEvents();
  let found: Look | Error = QUIET;
  let looks = 0;
  let gate: Promise<void> = Promise.resolve();
  const polling = new Polling({
    intervalMs: SET_MS,
    maxIntervalMs,
    clock,
    emit: events.emit,
    randomHex: () => MIDDLE,
    requests: () => looks,
    onError: () => undefined,
    look: async () => {
      looks += 1;
      await gate;
      if (found instanceof Error) throw found;
      return found;
    },
  });
  onTestFinished(() => polling.stop());
  return {
    clock,
    events,
    polling,
    looks: () => looks,
    finds: (look) => {
      found = look;
    },
    hold: () => {
      const held = Promise.withResolvers<void>();
      gate = held.promise;
      return held.resolve;
    },
    start: async () => {
      polling.start();
      await settled();
    },
    pass: async (ms) => {
      clock.advance(ms);
      await settled();
    },
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Time passes in steps of a second, so that every wait ends where it should. */
async function passSeconds({ pass }: Setup, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) await pass(1_000);
}

describe('polling', () => {
  it('looks less and less often while nothing happens, and at the set interval once anything is seen', async () => {
    const s = setup();
    await s.start();
    await passSeconds(s, 200);
    expect(s.looks()).toBe(21);
    expect(s.polling.intervalMs).toBe(20_000);
    await passSeconds(s, 1_000);
    expect(s.polling.intervalMs).toBe(MAX_MS);
    s.finds(BUSY);
    await passSeconds(s, 60);
    expect(s.polling.intervalMs).toBe(SET_MS);
    const before = s.looks();
    await passSeconds(s, 100);
    expect(s.looks()).toBe(before + 10);
  });

  it('never looks less often where that is switched off', async () => {
    const s = setup(0);
    await s.start();
    await passSeconds(s, 2_000);
    expect(s.looks()).toBe(201);
    expect(s.polling.intervalMs).toBe(SET_MS);
  });

  it('goes on at the set interval after a look that failed, and where it was after one that did not', async () => {
    const s = setup();
    await s.start();
    await passSeconds(s, 1_000);
    expect(s.polling.intervalMs).toBe(MAX_MS);
    s.finds(new Error('no way there'));
    await passSeconds(s, 60);
    expect(s.polling.intervalMs).toBe(SET_MS);
    s.finds(QUIET);
    await passSeconds(s, 10);
    expect(s.polling.intervalMs).toBe(MAX_MS);
  });

  it('looks when something falls due', async () => {
    const s = setup();
    s.finds({ quiet: false, nextLookMs: 3_000 });
    await s.start();
    await passSeconds(s, 3);
    expect(s.looks()).toBe(2);
  });

  it('looks at once when it is asked to, and goes on at the set interval', async () => {
    const s = setup();
    await s.start();
    await passSeconds(s, 1_000);
    const before = s.looks();
    s.polling.lookNow('webhook');
    await settled();
    expect(s.looks()).toBe(before + 1);
    expect(s.polling.intervalMs).toBe(SET_MS);
    expect(s.polling.nudges).toEqual({ webhook: 1, signal: 0 });
  });

  it('looks once more when it is asked to during a look', async () => {
    const s = setup();
    const release = s.hold();
    await s.start();
    s.polling.lookNow('signal');
    await settled();
    expect(s.looks()).toBe(1);
    release();
    await settled();
    expect(s.looks()).toBe(2);
  });

  it('merges a flood: one look at once, one a second while it lasts, one after it', async () => {
    const s = setup();
    await s.start();
    await passSeconds(s, 5);
    const before = s.looks();
    for (let tenth = 0; tenth < 30; tenth += 1) {
      for (let call = 0; call < 100; call += 1) s.polling.lookNow('webhook');
      await s.pass(MIN_PAUSE_MS / 10);
    }
    await settled();
    expect(s.looks()).toBe(before + 4);
    expect(s.polling.nudges.webhook).toBe(3_000);
    await passSeconds(s, 9);
    expect(s.looks()).toBe(before + 4);
  });

  it('takes requests before it starts and after it stopped, and does nothing about them', async () => {
    const s = setup();
    s.polling.lookNow('webhook');
    await settled();
    expect(s.looks()).toBe(0);
    await s.start();
    expect(s.looks()).toBe(1);
    s.polling.lookNow('signal');
    await s.polling.stop();
    s.polling.lookNow('signal');
    await passSeconds(s, 30);
    expect(s.looks()).toBe(1);
    expect(s.polling.nudges).toEqual({ webhook: 1, signal: 2 });
    expect(s.clock.sleeping).toBe(0);
  });

  it('does not care what the wall clock says', async () => {
    const s = setup();
    await s.start();
    await passSeconds(s, 15);
    s.clock.jumpWall(-86_400_000);
    await passSeconds(s, 85);
    s.clock.jumpWall(2 * 86_400_000);
    await passSeconds(s, 50);
    expect(s.looks()).toBe(16);
    expect(s.polling.intervalMs).toBe(SET_MS);
  });

  it('tells its pace at the start, when it has changed, and every hour, with what was counted since', async () => {
    const s = setup();
    await s.start();
    expect(s.events.named('poll.pace')).toEqual([{ interval_ms: SET_MS, interval_max_ms: MAX_MS }]);
    await passSeconds(s, 2 * 3_600 + 700);
    const [, ...told] = s.events.named('poll.pace');
    expect(told.map(({ interval_ms }) => interval_ms)).toEqual([20_000, 40_000, MAX_MS, MAX_MS, MAX_MS]);
    expect(told[0]).toMatchObject({ period_ms: 200_000, requests: 21, requests_per_hour: 378 });
    expect(told.at(-1)).toMatchObject({ period_ms: 3_600_000, requests: 60, requests_per_hour: 60 });
    // To and fro within a minute.
    s.finds(BUSY);
    await passSeconds(s, 60);
    s.finds(QUIET);
    await passSeconds(s, 3_000);
    const times = s.events.named('poll.pace').map(({ period_ms }) => (period_ms ?? 60_000) as number);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(60_000);
  });
});
