/**
 * `npm run bench [-- suite… --quick --json --save FILE]`: measures, each figure in turns with what it is compared with.
 * Tables for people go to standard output, or with `--json` one document a suite and line; progress to standard error.
 * Exits with 1 when something could not be measured, and never because a figure is not what was aimed at.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PrivateEngine } from '../test/support/engine.ts';
import { isComplete, type SuiteDocument } from './frame/figure.ts';
import { type Machine, readMachine } from './frame/machine.ts';
import { Lab, type LabOptions, type Suite } from './frame/suite.ts';
import { suiteTable } from './frame/table.ts';
import { SUITES } from './suites.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const USAGE = `usage: npm run bench [-- suite… --quick --json --save FILE]\nsuites: ${SUITES.map(({ name }) => name).join(', ')}`;

async function main(argv: readonly string[]): Promise<number> {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, save: { type: 'string' } },
  });
  const unknown = positionals.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    console.error(`no suite is called ${unknown.join(', ')}\n${USAGE}`);
    return 2;
  }
  const chosen = SUITES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  await using engines = new SharedEngine();
  const documents: SuiteDocument[] = [];
  const interrupted = Promise.withResolvers<never>();
  // The rest of what is under way still has to be cleared away.
  interrupted.promise.catch(() => undefined);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => interrupted.reject(new Interrupted(`stopped by ${signal}`)));
  }
  for (const suite of chosen) {
    const options = { quick: values.quick === true, engine: () => engines.get() };
    const document = await runSuite(suite, options, interrupted.promise);
    documents.push(document);
    console.log(values.json ? JSON.stringify(document) : suiteTable(document));
    // After each suite, so that an hour's figures survive what becomes of the next.
    if (values.save !== undefined) await writeFile(values.save, `${JSON.stringify(documents, null, 2)}\n`);
  }
  return documents.every(isComplete) ? 0 : 1;
}

async function runSuite(
  suite: Suite,
  options: Omit<LabOptions, 'tell'>,
  interrupted: Promise<never>,
): Promise<SuiteDocument> {
  const { aim, boundMinutes, method, name, title } = suite;
  const machine: Machine = await readMachine(ROOT);
  const startedMs = performance.now();
  const date = new Date().toISOString();
  const tell = (line: string): void =>
    console.error(`${seconds(startedMs).toFixed(0).padStart(5)} s  ${name}: ${line}`);
  tell(`begins, and ends within ${boundMinutes} minutes`);
  const document = { suite: name, title, method, aim, machine, date, quick: options.quick };
  const lab = new Lab({ ...options, tell });
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`given up after ${boundMinutes} minutes`)),
    boundMinutes * 60_000,
  );
  try {
    const running = suite.run(lab);
    // Given up: what it still waits for is taken away below, and nobody is left to hear of that.
    running.catch(() => undefined);
    const results = await Promise.race([running, late.promise, interrupted]);
    return { ...document, results, seconds: seconds(startedMs), failure: null };
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    tell(String(error));
    return { ...document, results: [], seconds: seconds(startedMs), failure: String(error) };
  } finally {
    clearTimeout(timer);
    await lab[Symbol.asyncDispose]();
  }
}

function seconds(sinceMs: number): number {
  return (performance.now() - sinceMs) / 1000;
}

class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** One engine for all suites of a run: it takes a while to come up, and none leaves anything in it. */
class SharedEngine {
  #engine: Promise<PrivateEngine> | null = null;

  get(): Promise<PrivateEngine> {
    this.#engine ??= PrivateEngine.start();
    return this.#engine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const engine = await this.#engine?.catch(() => null);
    await engine?.stop();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Interrupted)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
