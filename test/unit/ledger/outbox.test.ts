import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeBlob, makeTree } from '../../../src/git/objects.ts';
import { refName } from '../../../src/git/oid.ts';
import { FileOutbox, type OutboxEntry } from '../../../src/ledger/outbox.ts';
import { systemClock } from '../../../src/runtime.ts';
import { taskId } from '../../../src/task/id.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

function entry(name: string): OutboxEntry {
  const blob = makeBlob(Buffer.from([0, 255, 10, 13, 0]), 'sha1');
  const tree = makeTree([{ mode: '100644', name, oid: blob.oid }], 'sha1');
  return {
    taskId: taskId(name),
    swap: { ref: refName(`refs/dgrid/tasks/${name}`), from: blob.oid, to: tree.oid },
    objects: [blob, tree],
  };
}

describe('outbox', () => {
  it('gives back after a restart what was put in, byte for byte', async () => {
    const dir = join(await temporaryDirectory(), 'outbox');
    const parts = { clock: systemClock, emit: recordEvents().emit };
    const [a, b] = [entry('a'), entry('b')];
    const before = new FileOutbox(dir, parts);
    await before.add(a, 'sha1');
    await before.add(b, 'sha1');
    await before.remove(a);
    const after = new FileOutbox(dir, parts);
    expect(await after.load()).toEqual([b]);
    expect(await readdir(dir)).toHaveLength(1);
  });

  it('is empty where there is none', async () => {
    const outbox = new FileOutbox(join(await temporaryDirectory(), 'none'), {
      clock: systemClock,
      emit: recordEvents().emit,
    });
    expect(await outbox.load()).toEqual([]);
  });

  it('leaves an entry of a newer format for the version that wrote it, and keeps the others', async () => {
    const dir = join(await temporaryDirectory(), 'outbox');
    const events = recordEvents();
    const outbox = new FileOutbox(dir, { clock: systemClock, emit: events.emit });
    await outbox.add(entry('known'), 'sha1');
    const newer = join(dir, 'newer.result');
    await writeFile(newer, '{"format":2,"what":"nobody here knows"}\n');
    expect((await outbox.load()).map(({ taskId: id }) => id)).toEqual(['known']);
    expect(await readdir(dir)).toContain('newer.result');
    expect(events.named('outbox.newer-format')).toEqual([expect.objectContaining({ path: newer, format: 2 })]);
    expect(events.named('outbox.damaged')).toEqual([]);
  });

  it('sets a damaged entry aside, wherever the damage is, and keeps the others', async () => {
    const dir = join(await temporaryDirectory(), 'outbox');
    const events = recordEvents();
    const outbox = new FileOutbox(dir, { clock: systemClock, emit: events.emit });
    await outbox.add(entry('whole'), 'sha1');
    await outbox.add(entry('hurt'), 'sha1');
    const name = (await readdir(dir)).find((each) => each.startsWith('hurt')) as string;
    const bytes = await readFile(join(dir, name));
    for (const damaged of [
      bytes.subarray(0, bytes.length - 1),
      Buffer.from(bytes.map((byte, at) => (at === bytes.length - 3 ? byte ^ 1 : byte))),
      Buffer.from('not json\n'),
      Buffer.alloc(0),
    ]) {
      await writeFile(join(dir, name), damaged);
      expect((await outbox.load()).map(({ taskId: id }) => id)).toEqual(['whole']);
      expect(await readdir(dir)).toContain(`${name}.damaged`);
    }
    expect(events.named('outbox.damaged')).toHaveLength(4);
  });

  it('writes what gathers together into one file, which goes with the last of them', async () => {
    const dir = join(await temporaryDirectory(), 'outbox');
    const parts = { clock: systemClock, emit: recordEvents().emit };
    const entries = Array.from({ length: 40 }, (_, at) => entry(`t${at}`));
    const before = new FileOutbox(dir, parts);
    await Promise.all(entries.map((each) => before.add(each, 'sha1')));
    expect(await readdir(dir)).toHaveLength(1);
    for (const each of entries.slice(0, 39)) await before.remove(each);
    expect(await readdir(dir)).toHaveLength(1);
    const after = new FileOutbox(dir, parts);
    const left = await after.load();
    expect(left.map(({ taskId: id }) => id)).toContain('t39');
    expect(left).toHaveLength(40);
    for (const each of left) await after.remove(each);
    await after.remove(entry('t39'));
    expect(await readdir(dir)).toEqual([]);
  });

  it('keeps what stands before the damage in a file of several', async () => {
    const dir = join(await temporaryDirectory(), 'outbox');
    const outbox = new FileOutbox(dir, { clock: systemClock, emit: recordEvents().emit });
    await outbox.add(entry('a'), 'sha1');
    await outbox.add(entry('b'), 'sha1');
    const [one, two] = (await readdir(dir)).map((name) => join(dir, name)) as [string, string];
    const second = await readFile(two);
    await writeFile(`${one}.junk.result`, Buffer.concat([second, Buffer.from('x')]));
    await writeFile(one, Buffer.concat([await readFile(one), second.subarray(0, second.length - 2)]));
    await rm(two);
    expect((await outbox.load()).map(({ taskId: id }) => id)).toEqual(['a', 'b']);
    expect((await readdir(dir)).filter((name) => !name.endsWith('.damaged'))).toEqual([]);
  });

  it('forgets what a crash left half written', async () => {
    const dir = join(await temporaryDirectory(), 'outbox');
    const outbox = new FileOutbox(dir, { clock: systemClock, emit: recordEvents().emit });
    await outbox.add(entry('a'), 'sha1');
    await writeFile(join(dir, 'b.123.result.new'), 'half');
    expect((await outbox.load()).map(({ taskId: id }) => id)).toEqual(['a']);
    expect(await readdir(dir)).toHaveLength(1);
  });
});
