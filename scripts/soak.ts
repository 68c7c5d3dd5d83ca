/**
 * `npm run soak -- --minutes 60 [--workers 4] [--engine docker|stub] [--seed 1]`: a grid on this machine under random tasks
 * and random harm. Prints what grew and how fast; exits with 1 when the oracle objects or anything is left over. The real
 * engine needs root.
 */
import { parseArgs } from 'node:util';
import type { SeriesSlope } from '../test/soak/sampler.ts';
import { type SoakReport, soak } from '../test/soak/soak.ts';

const MINUTE_MS = 60_000;
const SHOWN_VIOLATIONS = 20;

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      minutes: { type: 'string', default: '10' },
      workers: { type: 'string', default: '3' },
      engine: { type: 'string', default: 'docker' },
      seed: { type: 'string', default: String(1 + Math.floor(Math.random() * 1_000_000)) },
    },
  });
  const minutes = Number(values.minutes);
  const workers = Number(values.workers);
  const seed = Number(values.seed);
  const { engine } = values;
  const legal = minutes > 0 && Number.isInteger(workers) && workers > 0 && Number.isInteger(seed);
  if (!legal || (engine !== 'docker' && engine !== 'stub')) {
    console.error('usage: npm run soak -- --minutes N [--workers N] [--engine docker|stub] [--seed N]');
    return 2;
  }
  console.log(`soak: ${minutes} minutes, ${workers} workers, engine ${engine}, seed ${seed}`);
  const report = await soak({ durationMs: minutes * MINUTE_MS, workers, engine, seed, tell: console.log });
  print(report);
  return report.violations.length > 0 || report.leftovers.length > 0 ? 1 : 0;
}

function print(report: SoakReport): void {
  const { deeds, figures, kinds, leftovers, serverBytesPerTask, slopes, violations, warmUpMs } = report;
  console.log(`\ntasks: ${inWords(kinds)}`);
  console.log(`harm: ${inWords(deeds)}`);
  console.log(
    `${figures.tasks} tasks, ${figures.records} records, ${figures.starts} starts, ` +
      `${figures.startedMoreThanOnce} tasks started more than once, ${figures.takeovers} takeovers, ` +
      `${figures.adoptions} containers taken up again, ${figures.fencings} nodes declared dead, ` +
      `${figures.lateResultsRejected} late results rejected, ${figures.changes} moves of refs`,
  );
  console.log(
    `server repository: ${kib(serverBytesPerTask.grown)} for each task as it grew, ` +
      `${kib(serverBytesPerTask.packed)} after it was packed\n`,
  );
  console.log(`growth, without the first ${(warmUpMs / MINUTE_MS).toFixed(1)} minutes of each life:`);
  for (const line of slopes.map(row)) console.log(line);
  console.log(
    violations.length === 0 ? '\nthe oracle has no objection' : `\nthe oracle objects ${violations.length} times`,
  );
  for (const { message, ref, rule } of violations.slice(0, SHOWN_VIOLATIONS))
    console.log(`  ${rule} ${ref}: ${message}`);
  console.log(leftovers.length === 0 ? 'nothing is left over' : 'left over:');
  for (const leftover of leftovers) console.log(`  ${leftover}`);
}

function row({ name, slope, unit }: SeriesSlope): string {
  if (!slope) return `  ${name.padEnd(44)} too few samples`;
  const perHour = slope.perHour === null ? 'unknown' : `${slope.perHour >= 0 ? '+' : ''}${slope.perHour.toFixed(2)}`;
  const range = `${slope.min.toFixed(1)} to ${slope.max.toFixed(1)}`;
  const lives = slope.segments === 1 ? '' : ` in ${slope.segments} lives`;
  return `  ${name.padEnd(44)} ${perHour.padStart(9)} ${unit} an hour, ${range}, ${slope.samples} samples${lives}`;
}

function inWords(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}

function kib(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

process.exitCode = await main(process.argv.slice(2));
