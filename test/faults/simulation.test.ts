/** Simulated grids by the thousand. `npm run simulate -- --trace SEED` tells what happened under a seed that fails here. */
import { describe, expect, it } from 'vitest';
import { runSeeds } from '../simulation/seed-runner.ts';
import { simulate } from '../simulation/simulation.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { atScale } from '../support/scale.ts';

const SEEDS = atScale(10_000, 100_000);
const LIMIT_MS = atScale(300_000, 3_600_000);

describe('simulated grids', () => {
  it('replay exactly from their seed', async () => {
    for (const seed of [3, 90, 1128]) {
      const first = await simulate(seed);
      const second = await simulate(seed);
      expect(second.digest).toBe(first.digest);
      expect(second.events).toBe(first.events);
    }
  });

  it('lose nothing and accept nothing twice', { timeout: LIMIT_MS }, async () => {
    // Always the same ones, so that a run judges the change and not its luck. `npm run simulate` looks at others.
    const from = 1;
    const report = await runSeeds({ from, count: SEEDS });
    const { failures, ms, ...figures } = report;
    console.info(`simulation: ${Math.round((SEEDS * 1000) / ms)} seeds/s from ${from}, ${JSON.stringify(figures)}`);
    expectNoViolations(failures.map(({ seed, violations }) => ({ seed, violations })));
    expect(report.seeds).toBe(SEEDS);
    // The trouble was real: otherwise a silent simulation would pass.
    for (const figure of ['takeovers', 'fencings', 'lateResultsRejected', 'startedMoreThanOnce', 'asleep'] as const) {
      expect(report[figure], figure).toBeGreaterThan(SEEDS / 1_000);
    }
  });
});
