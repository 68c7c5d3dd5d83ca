import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { errorEntry } from '../../../src/observe/error-entry.ts';
import { EVENTS } from '../../../src/observe/events.ts';
import { createEmit, type Log, type LogSettings, openLog } from '../../../src/observe/logger.ts';
import { type Clock, systemClock } from '../../../src/runtime.ts';

const SECRET = 'hunter22-hunter22';
const root = mkdtempSync(join(tmpdir(), 'dgrid-logger-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const clock: Clock = { ...systemClock, wallMs: () => Date.UTC(2030, 0, 2, 3, 4, 5, 6) };
let count = 0;
let file = '';
let log: Log;

async function open(more: Partial<LogSettings> = {}): Promise<void> {
  log = await openLog(
    { logLevel: 'info', logFile: file, logFormat: 'auto', ...more },
    { clock, secrets: [SECRET], console: { fd: 2, isTerminal: false, colour: false }, fields: { node_id: 'a' } },
  );
}

async function entries(): Promise<Record<string, unknown>[]> {
  await log.flush();
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

beforeEach(() => {
  file = join(root, String(count++), 'deep', 'worker.log');
});
afterEach(() => log.close());

describe('an event', () => {
  test('becomes an entry with its text, its name and its fields', async () => {
    await open();
    createEmit(log.logger)('task.claimed', { task_id: 't', attempt: 1 });
    expect(await entries()).toEqual([
      {
        level: 'info',
        time: '2030-01-02T03:04:05.006Z',
        node_id: 'a',
        event: 'task.claimed',
        task_id: 't',
        attempt: 1,
        msg: EVENTS['task.claimed'].message,
      },
    ]);
  });

  test('below the level is not written', async () => {
    await open({ logLevel: 'warn' });
    const emit = createEmit(log.logger);
    emit('task.claimed');
    emit('git.command');
    emit('poll.failed');
    expect((await entries()).map((entry) => entry['event'])).toEqual(['poll.failed']);
  });

  test('cannot overwrite what the entry needs, and errors are readable under any name', async () => {
    await open();
    createEmit(log.logger)('poll.failed', { level: 'x', msg: 'y', event: 'z', time: 1, reason: new TypeError('oh') });
    expect(await entries()).toMatchObject([
      {
        level: 'warn',
        msg: 'Poll failed',
        event: 'poll.failed',
        level_: 'x',
        msg_: 'y',
        event_: 'z',
        reason: { message: 'oh' },
      },
    ]);
  });

  test('with fields that are no JSON does not throw', async () => {
    await open();
    const loop: Record<string, unknown> = { big: 10n };
    loop['self'] = loop;
    createEmit(log.logger)('poll.failed', { loop });
    expect(await entries()).toMatchObject([{ event: 'poll.failed' }]);
  });
});

test('secrets are masked in fields, messages, errors, causes and stacks', async () => {
  await open();
  const inner = Object.assign(new Error(`inner ${SECRET}`), { path: `/x/${SECRET}` });
  const err = new Error(`outer ${SECRET}`, { cause: new AggregateError([inner], 'several', { cause: inner }) });
  const basic = Buffer.from(`x-access-token:${SECRET}`).toString('base64');
  createEmit(log.logger)('worker.failed', { err, header: `Authorization: Basic ${basic}`, deep: [{ a: SECRET }] });
  log.logger.error(`text ${SECRET}`);
  log.addSecret('second-secret');
  log.logger.error('second-secret');
  await log.flush();
  const text = readFileSync(file, 'utf8');
  expect(text).not.toContain(SECRET);
  expect(text).not.toContain('hunter22');
  expect(text).not.toContain(Buffer.from(SECRET).toString('base64').slice(0, 16));
  expect(text).not.toContain('second-secret');
  expect((await entries())[0]?.['err']).toMatchObject({
    message: 'outer ***',
    stack: expect.stringContaining('outer ***'),
    cause: { message: 'several', cause: { message: 'inner ***' }, errors: [{ message: 'inner ***', path: '/x/***' }] },
  });
});

test('pretty: lines for people, without colours in a file', async () => {
  await open({ logFormat: 'pretty' });
  createEmit(log.logger)('task.claimed', { task_id: SECRET });
  await log.flush();
  const text = readFileSync(file, 'utf8');
  expect(text).toBe('[2030-01-02T03:04:05.006Z] INFO: Task claimed {"node_id":"a","task_id":"***"}\n');
});

test.each(['json', 'pretty'] as const)('%s: nothing in an entry acts on a terminal', async (logFormat) => {
  await open({ logFormat });
  const evil = '\u001b[2J\u001b]0;gone\u0007\u009b31m\u202egnp\r\b\u007f';
  createEmit(log.logger)('poll.failed', {
    err: new Error(evil, { cause: new Error(evil) }),
    path: evil,
    [evil]: [evil],
  });
  await log.flush();
  const text = readFileSync(file, 'utf8');
  // oxlint-disable-next-line no-control-regex -- they are what must not be there
  expect(text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
  expect(text).toContain('\\u001b');
  if (logFormat === 'json') expect((await entries())[0]).toMatchObject({ path: evil, err: { message: evil } });
});

test('a renamed file is opened again on SIGHUP, and nothing is lost', async () => {
  await open();
  log.logger.info('one');
  await log.flush();
  renameSync(file, `${file}.1`);
  process.emit('SIGHUP');
  log.logger.info('two');
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toContain('two'));
  expect(readFileSync(`${file}.1`, 'utf8')).toContain('one');
});

test('closing writes everything, gives the signal back, and takes no more', async () => {
  const before = process.listenerCount('SIGHUP');
  await open();
  expect(process.listenerCount('SIGHUP')).toBe(before + 1);
  for (let i = 0; i < 2000; i++) log.logger.info({ i }, 'entry');
  await log.close();
  log.logger.info('late');
  expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(2000);
  expect(process.listenerCount('SIGHUP')).toBe(before);
  await log.close();
});

test('a file that cannot be opened is an error at once', async () => {
  await open();
  await expect(
    openLog(
      { logLevel: 'info', logFile: root, logFormat: 'json' },
      { clock, secrets: [], console: { fd: 2, isTerminal: false, colour: false } },
    ),
  ).rejects.toMatchObject({ code: 'EISDIR' });
});

test('a destination that fails or is too slow costs entries, not the process', async () => {
  await open({ logFile: '/dev/full' });
  const line = 'x'.repeat(64 * 1024);
  for (let i = 0; i < 200; i++) log.logger.info(line);
  await log.flush();
  expect(log.droppedEntries()).toBeGreaterThan(0);
});

describe('an error as an entry', () => {
  test('keeps small fields, leaves out the rest', () => {
    const error = Object.assign(new Error('x'), {
      code: 'ECONNRESET',
      kind: 'network',
      response: { huge: true },
      errno: -1,
    });
    expect(errorEntry(error)).toEqual({
      type: 'Error',
      message: 'x',
      code: 'ECONNRESET',
      kind: 'network',
      errno: -1,
      stack: expect.any(String),
    });
  });
  test('ends in a circle of causes', () => {
    const error = new Error('x');
    error.cause = error;
    expect(JSON.stringify(errorEntry(error)).split('"message"').length).toBe(10);
  });
  test('what is thrown and no error', () => {
    expect(errorEntry('text')).toEqual({ type: 'string', message: 'text' });
    expect(errorEntry({ a: 1 })).toEqual({ type: 'object', message: '{"a":1}' });
    expect(errorEntry(undefined)).toEqual({ type: 'undefined', message: 'undefined' });
  });
});
