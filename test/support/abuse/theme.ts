/**
 * A theme of attacks as a suite of tests: the worker runs them all, and then each is judged by what was seen. With
 * DGRID_ABUSE_SAVE=FILE what was seen is kept in that file, from which the page is made.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Arena, harmOf, type Outcome, ROUND_LIMIT_MS, secondsOf } from './arena.ts';
import { type Attack, DEFAULT_LIMIT_S, readDoors, taskIdOf } from './attack.ts';
import { documentOf, saveDocument } from './document.ts';

/** From TERM to KILL, and what a busy machine needs. */
const OVERTIME_S = 5;
/** An ordinary task takes a tenth of a second, in a container that has to be made one. */
const NEIGHBOUR_LIMIT_S = 10;
const MAX_WORKER_MIB = 200;
/** Two files for each container that is there, each eight times what is kept of an output; and something beside. */
const MAX_LOG_MIB = 100;
/** Of the arena and all rounds together. */
const LIMIT_MS = ROUND_LIMIT_MS + 70_000;

export interface Theme {
  name: string;
  title: string;
  /** All of a round are queued at once; the next begins when the last of them has a record. */
  rounds: readonly (readonly Attack[])[];
}

/** @param more tests of what the arena holds when all is over, and before the worker leaves */
export function describeTheme(theme: Theme, more: (arena: () => Arena) => void = () => {}): void {
  const entered = theme.rounds
    .flat()
    .flatMap((attack) => (attack.ways ?? ['script']).map((way) => ({ attack, id: taskIdOf(attack, way) })));
  const outcomes = new Map<string, Outcome>();
  let opened: Arena | null = null;
  const arena = (): Arena => {
    if (opened === null) throw new Error('there is no arena');
    return opened;
  };
  let leftovers: string[] = [];
  let seconds = 0;

  beforeAll(async () => {
    opened = await Arena.open();
    const beganMs = performance.now();
    for (const round of theme.rounds) {
      for (const outcome of await arena().run(round)) outcomes.set(taskIdOf(outcome.attack, outcome.way), outcome);
    }
    seconds = (performance.now() - beganMs) / 1000;
  }, LIMIT_MS);

  afterAll(async () => {
    if (opened === null) return;
    try {
      await saveDocument(await documentOf(theme, opened, { outcomes: [...outcomes.values()], leftovers, seconds }));
    } finally {
      await opened.close();
    }
  });

  describe(theme.title, () => {
    it.each(entered)('$id', async ({ attack, id }) => {
      const outcome = outcomes.get(id);
      if (outcome === undefined) throw new Error(`${id} was not run`);
      await judge(attack, outcome);
    });

    more(arena);

    it('reaches nothing on the machine, and no secret of the worker', async () => {
      const { canaries, leaks, worker } = arena();
      expect(canaries.harm()).toEqual([]);
      expect(leaks).toEqual([]);
      const published = await arena().everythingPublished();
      const leaked = canaries.secrets.filter((secret) => published.includes(secret) || worker.output.includes(secret));
      expect(leaked).toEqual([]);
    });

    it('leaves nothing behind, and the worker as it was', async () => {
      const { troubles, watch, worker } = arena();
      expect(watch.peak.logMib).toBeLessThan(MAX_LOG_MIB);
      const left = await arena().leave();
      leftovers = left.leftovers;
      expect(leftovers).toEqual([]);
      expect(left.code, worker.output.slice(-4_000)).toBe(0);
      expect(troubles).toEqual([]);
    });
  });
}

async function judge(attack: Attack, outcome: Outcome): Promise<void> {
  const { aliveS, left, neighbours, record, seconds, stderr, stdout, workerMib } = outcome;
  const { engineTakesS = 0, limitS = DEFAULT_LIMIT_S } = attack;
  const said = `${record.message}\n${stdout.toString('latin1').slice(0, 4_000)}\n${stderr.toString('latin1').slice(0, 4_000)}`;
  expect(record, said).toMatchObject({
    reason: record.reason === attack.orReason ? attack.orReason : attack.reason,
    attempt: 1,
    ...(attack.exitCode === undefined ? {} : { exit_code: attack.exitCode }),
  });
  if (attack.message) expect(record.message).toMatch(attack.message);
  expect(aliveS).toBeLessThan(limitS + OVERTIME_S);
  expect(seconds).toBeLessThan(limitS + OVERTIME_S + engineTakesS);
  expect(Math.max(...neighbours.map(secondsOf))).toBeLessThan(NEIGHBOUR_LIMIT_S);
  expect(workerMib).toBeGreaterThan(0);
  expect(workerMib).toBeLessThan(MAX_WORKER_MIB);
  expect(left).toEqual([]);
  expect(neighbours.map(harmOf).filter((harm) => harm !== null)).toEqual([]);
  const doors = readDoors(stdout.toString('utf8'));
  expect(doors, said).toMatchObject({ breached: [], absent: [] });
  if (doors.held.length > 0) expect(doors.tried).toBe(doors.held.length + doors.open.length);
  await attack.check?.(outcome);
}
