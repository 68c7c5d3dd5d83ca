import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { machineId } from '../../../src/host/machine-id.ts';
import { systemClock, systemRandomHex } from '../../../src/runtime.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const RAW = '0123456789abcdef0123456789abcdef';
const parts = { clock: systemClock, emit: recordEvents().emit };

async function setUp(raw: string | null) {
  const root = await temporaryDirectory();
  const machineIdPath = join(root, 'etc-machine-id');
  if (raw !== null) await writeFile(machineIdPath, `${raw}\n`);
  const idOf = async (name: string): Promise<string> => {
    const stateDir = join(root, name);
    await mkdir(stateDir, { recursive: true });
    return machineId({ stateDir, randomHex: systemRandomHex, machineIdPath, ...parts });
  };
  return { root, machineIdPath, idOf };
}

it.each([RAW, null])('is the same at each start (machine id %s)', async (raw) => {
  const { idOf } = await setUp(raw);
  const id = await idOf('a');
  expect(id).toMatch(/^[0-9a-f]{32}$/);
  expect(await idOf('a')).toBe(id);
});

it.each([RAW, null, 'uninitialized', ''])('tells two state directories apart (machine id %s)', async (raw) => {
  const { idOf } = await setUp(raw);
  expect(await idOf('a')).not.toBe(await idOf('b'));
});

it('tells two machines apart that have the same state directory', async () => {
  const { machineIdPath, idOf } = await setUp(RAW);
  const id = await idOf('a');
  await writeFile(machineIdPath, RAW.replace('0', 'f'));
  expect(await idOf('a')).not.toBe(id);
});

it('does not give the raw id away', async () => {
  const { root, idOf } = await setUp(RAW);
  expect(await idOf('a')).not.toContain(RAW.slice(0, 8));
  expect(await readFile(join(root, 'a', 'machine-id'), 'utf8')).not.toContain(RAW.slice(0, 8));
});

it('makes up a new half for a state directory whose own is damaged', async () => {
  const { root, idOf } = await setUp(RAW);
  const id = await idOf('a');
  await writeFile(join(root, 'a', 'machine-id'), 'half an i');
  const after = await idOf('a');
  expect(after).not.toBe(id);
  expect(await idOf('a')).toBe(after);
});

it('fails by name where it cannot save its half', async () => {
  const root = await temporaryDirectory();
  const stateDir = join(root, 'missing');
  await expect(machineId({ stateDir, randomHex: systemRandomHex, ...parts })).rejects.toMatchObject({
    kind: 'unwritable',
  });
});
