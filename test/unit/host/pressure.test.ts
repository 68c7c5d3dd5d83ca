import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parsePressure, readPressure } from '../../../src/host/pressure.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const line = (avg10: string): string =>
  `some avg10=${avg10} avg60=1.00 avg300=0.50 total=123\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n`;

it('reads the share of the last ten seconds in which somebody waited', () => {
  expect(parsePressure(line('0.00'))).toBe(0);
  expect(parsePressure(line('73.25'))).toBe(73.25);
});

it.each(['', 'full avg10=1.00\n', 'some avg10=x\n', 'some avg10=101.00 avg60=0.00\n'])(
  'guesses nothing of %j',
  (text) => {
    expect(() => parsePressure(text)).toThrow('pressure');
  },
);

it('takes a kernel that does not count it for one without pressure', async () => {
  expect(await readPressure('/proc/no-such-directory')).toEqual({ cpu: null, memory: null, io: null });
  const directory = await temporaryDirectory();
  await writeFile(join(directory, 'memory'), line('12.50'));
  expect(await readPressure(directory)).toEqual({ cpu: null, memory: 12.5, io: null });
});

it('does not hide figures that cannot be read', async () => {
  const directory = await temporaryDirectory();
  await mkdir(join(directory, 'cpu'));
  await expect(readPressure(directory)).rejects.toMatchObject({ code: 'EISDIR' });
});
