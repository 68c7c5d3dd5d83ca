/**
 * `npm run simulate -- --seeds N --from S`: runs simulated grids, and says which seeds the oracle objects to.
 * `npm run simulate -- --trace SEED` tells one of them event by event.
 */
import { parseArgs } from 'node:util';
import { runSeeds } from '../test/simulation/seed-runner.ts';
import { type SimulationOutcome, simulate } from '../test/simulation/simulation.ts';

const PROGRESS_EVERY_MS = 10_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    trace: { type: 'string' },
  },
});

if (values.trace !== undefined) {
  const outcome = await simulate(wholeNumber('--trace', values.trace), (line) => console.log(line));
  console.log(describe(outcome));
  process.exitCode = outcome.violations.length > 0 ? 1 : 0;
} else {
  let toldMs = performance.now();
  const range = { from: wholeNumber('--from', values.from), count: wholeNumber('--seeds', values.seeds) };
  const report = await runSeeds(range, (done) => {
    if (performance.now() - toldMs < PROGRESS_EVERY_MS) return;
    toldMs = performance.now();
    console.error(`${done} of ${range.count}`);
  });
  for (const failure of report.failures) console.log(describe(failure));
  const { failures, ms, ...figures } = report;
  console.log(
    JSON.stringify({ ...figures, failed: failures.length, seedsPerSecond: Math.round((report.seeds * 1000) / ms) }),
  );
  process.exitCode = failures.length > 0 ? 1 : 0;
}

function describe({ seed, violations, figures, settledAfterMs, digest }: SimulationOutcome): string {
  const lines = violations.map(({ rule, ref, message }) => `  ${rule} ${ref ?? ''}: ${message}`);
  const rest = settledAfterMs === null ? 'never at rest' : `at rest after ${Math.round(settledAfterMs)} ms`;
  return [`seed ${seed}: ${rest}, ${figures.starts} starts, digest ${digest}`, ...lines].join('\n');
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} takes a whole number, not ${text}`);
  return Number(text);
}
