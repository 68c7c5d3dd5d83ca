import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NonceMemory } from '../../../src/host/nonce-memory.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { makeTempDir, type TempDir } from '../../support/temp.ts';

let directory: TempDir;
let clock: ManualClock;
let path: string;
const events = recordEvents();

beforeEach(() => {
  directory = makeTempDir('nonces');
  clock = new ManualClock();
  path = join(directory.path, 'signed-starts.jsonl');
});

afterEach(() => directory.remove());

const open = (maxEntries?: number) =>
  NonceMemory.open({ path, clock, emit: events.emit, ...(maxEntries === undefined ? {} : { maxEntries }) });
const start = (nonce: string, epoch = 1, taskId = 'x') => ({
  nonce,
  epoch,
  taskId,
  expiresAtMs: clock.wallMs() + 1_000_000,
});

describe('a signed start', () => {
  it('is granted once for each claim, and on the disk by then', async () => {
    const memory = await open();
    expect(await memory.take(start('a'))).toBe('granted');
    expect(readFileSync(path, 'utf8')).toContain('"nonce":"a"');
    expect(await memory.take(start('a'))).toBe('used');
    expect(await memory.take(start('a', 2))).toBe('granted');
    expect(await memory.take(start('a', 1))).toBe('used');
    const [first, second] = await Promise.all([memory.take(start('b')), memory.take(start('b'))]);
    expect([first, second]).toEqual(['granted', 'used']);
  });

  it('is known from an entry to which a later version has added something', async () => {
    const line = { nonce: 'a', task: 'x', epoch: 5, expires: clock.wallMs() + 1_000_000, reason: 'later' };
    writeFileSync(path, `${JSON.stringify(line)}\n`);
    const memory = await open();
    expect(events.named('signing.memory-damaged')).toEqual([]);
    expect(await memory.take(start('a', 5))).toBe('used');
  });

  it('is for one task', async () => {
    const memory = await open();
    await memory.take(start('a'));
    expect(await memory.take(start('a', 9, 'y'))).toBe('used');
  });

  it('is not granted any more once the result is accepted, in this life and the next', async () => {
    const memory = await open();
    await memory.take(start('a'));
    await memory.take(start('b'));
    await memory.settle('x');
    expect(await memory.take(start('a', 99))).toBe('used');
    const next = await open();
    expect(await next.take(start('a', 99))).toBe('used');
    expect(await next.take(start('b', 99))).toBe('used');
  });

  it('is remembered by the next life until it expires', async () => {
    await (await open()).take(start('a', 3));
    const next = await open();
    expect(await next.take(start('a', 3))).toBe('used');
    expect(await next.take(start('a', 4))).toBe('granted');
    clock.advance(2_000_000);
    await open();
    expect(readFileSync(path, 'utf8')).toBe('');
  });

  it('is refused when the memory is full of what has not expired', async () => {
    const memory = await open(2);
    await memory.take(start('a'));
    await memory.take(start('b', 1, 'y'));
    expect(await memory.take(start('c', 1, 'z'))).toBe('full');
    expect(await memory.take(start('a', 2))).toBe('granted');
    clock.advance(2_000_000);
    expect(await memory.take(start('c', 1, 'z'))).toBe('granted');
    expect(await memory.take(start('d', 1, 'w'))).toBe('granted');
    expect(await memory.take(start('e', 1, 'v'))).toBe('full');
  });

  it('is not granted when it cannot be written, and the file is whole afterwards', async () => {
    const memory = await open();
    await memory.take(start('a'));
    rmSync(path);
    mkdirSync(path);
    await expect(memory.take(start('b'))).rejects.toMatchObject({ kind: 'unwritable' });
    rmSync(path, { recursive: true });
    expect(await memory.take(start('b'))).toBe('granted');
    const next = await open();
    expect(await next.take(start('a'))).toBe('used');
    expect(await next.take(start('b'))).toBe('used');
  });
});

describe('the file', () => {
  it('may end in the middle of a line: that start was never granted', async () => {
    await (await open()).take(start('a'));
    appendFileSync(path, '{"nonce":"b","task":"x","epo');
    const memory = await open();
    expect(await memory.take(start('a'))).toBe('used');
    expect(await memory.take(start('b'))).toBe('granted');
  });

  it('tells what of it is damaged, and keeps the rest', async () => {
    await (await open()).take(start('a'));
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, `rubbish\n{"nonce":1}\n${text}`);
    const memory = await open();
    expect(await memory.take(start('a'))).toBe('used');
    expect(events.named('signing.memory-damaged')).toMatchObject([{ entries: 2 }]);
  });

  it('does not grow without end', async () => {
    const memory = await open();
    for (let epoch = 1; epoch <= 1_200; epoch += 1) await memory.take(start('a', epoch));
    expect(readFileSync(path, 'utf8').split('\n').length).toBeLessThan(1_002);
    expect(await (await open()).take(start('a', 1_200))).toBe('used');
  });

  it('is for its owner only', async () => {
    const memory = await open();
    await memory.take(start('a'));
    expect(statSync(path).mode & 0o077).toBe(0);
  });
});
