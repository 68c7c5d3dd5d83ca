/**
 * A process dies by SIGKILL before and after every durable step that there is, and of every push also while it is under
 * way, when half of it is carried out, and when only its answer is missing. Whoever comes next, the same node or another one, brings every task to its one
 * record, and leaves nothing behind.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DURABLE_STEPS, type DurableStep } from '../../src/steps.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { CRASH_MOMENTS, type CrashMoment } from '../support/crash-plan.ts';
import { CRASH_CASES, type CrashCase } from '../support/crash-scenarios.ts';
import { CrashSite, type Death, TTL_MS } from '../support/crash-site.ts';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { atScale } from '../support/scale.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

/** Who comes after the dead one. */
type Successor = 'same node' | 'another node';

interface CrashPoint extends CrashCase {
  title: string;
  name: string;
  death: Death;
  successor: Successor;
}

const POINT_LIMIT_MS = 600_000;
const DAY_MS = 86_400_000;

function momentsOf(step: DurableStep, inCompany: boolean): readonly CrashMoment[] {
  if (!step.startsWith('swap.')) return ['before', 'after'];
  return CRASH_MOMENTS.filter((moment) => moment !== 'half' || inCompany);
}

function allPoints(): CrashPoint[] {
  const points: CrashPoint[] = [];
  for (const step of Object.keys(DURABLE_STEPS) as DurableStep[]) {
    for (const [index, { scenario, nth = 1, inCompany = false }] of CRASH_CASES[step].entries()) {
      for (const moment of momentsOf(step, inCompany)) {
        for (const successor of ['same node', 'another node'] as const) {
          const name = `p${points.length}`;
          const title = `${moment} ${step} (case ${index + 1}), then ${successor}`;
          points.push({ title, name, scenario, successor, death: { at: { step, moment }, nth } });
        }
      }
    }
  }
  return points;
}

/**
 * In the gate each step once, before or after it by turns from day to day, and the same node comes back: all of it takes
 * as long as all other tests together. DGRID_CRASH_POINTS, a pattern for titles, chooses among all.
 */
function chosenPoints(): CrashPoint[] {
  const wanted = process.env['DGRID_CRASH_POINTS'];
  if (wanted !== undefined) return allPoints().filter(({ title }) => new RegExp(wanted).test(title));
  if (atScale(0, 1) === 1) return allPoints();
  const today = Math.floor(Date.now() / DAY_MS);
  return Object.keys(DURABLE_STEPS).flatMap((step, index) => {
    const moment = (index + today) % 2 === 0 ? 'before' : 'after';
    return allPoints().filter(({ title }) => title === `${moment} ${step} (case 1), then same node`);
  });
}

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;
const sites = new Set<CrashSite>();
const recoveries: { point: CrashPoint; ms: number }[] = [];
const points = chosenPoints();

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  server.onRequest = async (request) => {
    for (const site of sites) {
      const asked = await site.misbehaviour(request);
      if (asked) return asked;
    }
    return undefined;
  };
  directory = makeTempDir('crash');
});

afterAll(async () => {
  await server.stop();
  const leftovers = await engine.countLeftovers();
  await engine.stop();
  directory.remove();
  const places = new Set(points.map(({ death }) => JSON.stringify(death.at)));
  const slowest = recoveries.toSorted((a, b) => b.ms - a.ms)[0];
  console.info(
    `crash points: ${points.length} deaths at ${places.size} points of ${Object.keys(DURABLE_STEPS).length} steps, ` +
      `${recoveries.length} recovered, ${leftovers} containers left, all recorded at the latest after ` +
      `${((slowest?.ms ?? 0) / TTL_MS).toFixed(1)} x TTL (${slowest?.point.title ?? 'none'})`,
  );
});

async function recover(site: CrashSite, point: CrashPoint): Promise<void> {
  const { death, scenario, successor } = point;
  await site.repo.queue(scenario.tasks);
  await scenario.prepare?.(site);
  const meanwhile = await scenario.meanwhile?.(site);
  const plan: Death = meanwhile ? { ...death, meanwhile } : death;
  const victim = scenario.victim?.(site, plan) ?? site.start('a', plan);
  await site.died(victim, plan);

  await scenario.again?.(site);
  const next = successor === 'same node' ? 'a' : 'b';
  await site.live(site.start(next));
  const ms = await site.recoveryMs();
  // Machines that come back later clean up what they had left: their containers, results that others have brought.
  for (const node of site.nodes) if (node !== next) await site.live(site.start(node));

  await expectAllRecorded(site, point);
  expect(await site.leftovers()).toEqual([]);
  const violations = await site.violations();
  expectNoViolations(violations.filter(({ rule }) => !scenario.breaks?.includes(rule)));
  recoveries.push({ point, ms });
}

/** Each task has its one record, which came with the commit that took it out of the queue. */
async function expectAllRecorded(site: CrashSite, { scenario }: CrashPoint): Promise<void> {
  expect(await site.repo.queued()).toEqual([]);
  for (const [id, expected] of Object.entries(scenario.expected)) {
    expect(await site.repo.record(id)).toMatchObject({ task_id: id, ...expected });
  }
  const log = ['log', '--format=', '--name-status', '--no-renames', 'main', '--', 'tasks/completed', 'tasks/failed'];
  const changes = (await git(site.repo.path, log)).split('\n').filter((line) => line.endsWith('.json'));
  const records = Object.entries(scenario.expected).map(([id, { status }]) => {
    return `A\ttasks/${status === 'failed' ? 'failed' : 'completed'}/${id}.json`;
  });
  expect(changes.toSorted()).toEqual(records.toSorted());
}

describe.concurrent('a process that dies', () => {
  it.each(points)('$title', { timeout: POINT_LIMIT_MS }, async (point) => {
    const { server: on, engine: with_, directory: dir } = { server, engine, directory };
    const given = point.scenario.env ?? {};
    const env = typeof given === 'function' ? given(dir.path) : given;
    const site = await CrashSite.make({ server: on, engine: with_, directory: dir.path, name: point.name, env });
    sites.add(site);
    await recover(site, point);
    sites.delete(site);
  });
});
