/** The log at the ends of a process: a reader that is gone, an exit without a word. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const root = mkdtempSync(join(tmpdir(), 'dgrid-log-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const source = (path: string): string =>
  JSON.stringify(fileURLToPath(new URL(`../../../src/${path}`, import.meta.url)));

/** Runs `body` with `log` and `emit` at hand. */
function start(logFile: string | null, body: string) {
  const script = `
    const { openLog, createEmit } = await import(${source('observe/logger.ts')});
    const { systemClock } = await import(${source('runtime.ts')});
    const log = await openLog(
      { logLevel: 'info', logFile: ${JSON.stringify(logFile)}, logFormat: 'json' },
      { clock: systemClock, secrets: [], console: { fd: 1, isTerminal: false, colour: false } },
    );
    const emit = createEmit(log.logger);
    ${body}`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'pipe'] });
}

test('a console that was closed ends the log, not the process', async () => {
  const child = start(
    null,
    `
    await new Promise((resolve) => process.stdin.once('data', resolve));
    process.stdin.destroy();
    for (let i = 0; i < 100; i++) {
      emit('worker.ready', { i });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const before = performance.now();
    await log.flush();
    await log.close();
    console.error(performance.now() - before < 1000 ? 'went on' : 'hung');`,
  );
  child.stdout.destroy();
  child.stdin.write('go\n');
  const [[code], err] = await Promise.all([once(child, 'close') as Promise<[number | null]>, text(child.stderr)]);
  expect([code, err]).toEqual([0, 'went on\n']);
});

test('entries reach the disk when the process exits without flushing', async () => {
  const file = join(root, 'worker.log');
  const child = start(file, `for (let i = 0; i < 500; i++) emit('worker.ready', { i }); process.exit(7);`);
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code).toBe(7);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(new Set(lines.map((line) => (JSON.parse(line) as { i: number }).i)).size).toBe(500);
});

test('close hands everything over before the exit', async () => {
  const child = start(
    null,
    `for (let i = 0; i < 5000; i++) emit('worker.ready', { i }); await log.close(); process.exit(0);`,
  );
  const [out] = await Promise.all([text(child.stdout), once(child, 'close')]);
  expect(out.trimEnd().split('\n')).toHaveLength(5000);
});
