/**
 * `node scripts/run-tests.ts [what vitest takes]`: runs the tests once, and what failed of those with real processes again by
 * itself (test/support/second-look.ts). Prints as its last lines what failed, what is flaky, and the counts; exits with 1 when
 * anything failed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterSecondLook, filesForSecondLook, LOOKS } from '../test/support/second-look.ts';
import { REPORT_VARIABLE, reportLines, type TestReport } from '../test/support/test-report.ts';
import { newSeed, SEED_VARIABLE } from '../test/support/test-seed.ts';

/** One for all runs: what is run again is the same. */
const seed = process.env[SEED_VARIABLE] ?? String(newSeed());
const directory = mkdtempSync(join(tmpdir(), 'dgrid-tests-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

/** @returns null when it ended without a report, or with an error that the report does not have. */
async function run(args: readonly string[]): Promise<TestReport | null> {
  const path = join(directory, 'report.json');
  rmSync(path, { force: true });
  const child = spawn('npm', ['exec', '--no', '--', 'vitest', 'run', ...args], {
    stdio: 'inherit',
    env: { ...process.env, [REPORT_VARIABLE]: path, [SEED_VARIABLE]: seed },
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (!existsSync(path)) return null;
  const report = JSON.parse(readFileSync(path, 'utf8')) as TestReport;
  return code === 0 || report.failures.length > 0 ? report : null;
}

async function lookAgain(files: readonly string[]): Promise<TestReport[]> {
  const looks: TestReport[] = [];
  while (looks.length < LOOKS) {
    console.log(`\n==> a second look, ${looks.length + 1} of ${LOOKS}: ${files.join(', ')}`);
    const look = await run(files);
    if (look === null) return looks;
    looks.push(look);
    if (look.failures.length > 0) return looks;
  }
  return looks;
}

async function main(args: readonly string[]): Promise<number> {
  console.log(`${SEED_VARIABLE}=${seed}`);
  const first = await run(args);
  if (first === null) {
    console.error('the test runner itself failed, or found no test: see above');
    return 1;
  }
  for (const line of reportLines(first)) console.log(line);
  const files = filesForSecondLook(first);
  if (files.length === 0) return first.failures.length > 0 ? 1 : 0;
  const { report, flaky } = afterSecondLook(first, await lookAgain(files));
  console.log('');
  for (const line of reportLines(report, flaky)) console.log(line);
  return report.failures.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
