/** The units in docker/, as systemd itself reads them. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { installMissing, tryProgram } from '../support/programs.ts';
import { makeTempDir } from '../support/temp.ts';

const unit = (name: string): string => readFileSync(join(import.meta.dirname, `../../docker/${name}.service`), 'utf8');
const UNIT = unit('dgrid-worker');
const FILTER = unit('dgrid-engine-filter');
/** SHUTDOWN_GRACE_SECONDS by default, and what stopping containers, publishing and signing off may take on top. */
const LONGEST_STOP_SECONDS = 30 + 75;
/** Of systemd 254 and newer; an older one says that it ignores them, and the unit says so too. */
const NEWER_KEYS = /Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)'/;

const PROGRAM = join(import.meta.dirname, '../../bin/dgrid-worker');

beforeAll(() => installMissing({ 'systemd-analyze': 'systemd' }));

function valuesOf(key: string, text = UNIT): string[] {
  return [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value ?? '');
}

/** What systemd complains about. */
async function complaints(text: string, name = 'dgrid-worker'): Promise<string[]> {
  using directory = makeTempDir('unit');
  // The unit finds the program by its name in the system's directories, where a checkout does not put it.
  const program = directory.sub('dgrid-worker');
  writeFileSync(program, '#!/bin/sh\n');
  chmodSync(program, 0o755);
  const file = directory.sub(`${name}.service`);
  writeFileSync(file, text.replace('ExecStart=dgrid-worker ', `ExecStart=${program} `));
  const { stderr } = await tryProgram('systemd-analyze', ['verify', '--man=no', file]);
  return stderr.split('\n').filter((line) => line.includes(name) && !NEWER_KEYS.test(line));
}

describe('the systemd unit', () => {
  it('is understood by systemd', async () => {
    expect(await complaints(UNIT)).toEqual([]);
    expect(await complaints(FILTER, 'dgrid-engine-filter')).toEqual([]);
    expect(await complaints(UNIT.replace('\nProtectHome=', '\nProtectHouse='))).toEqual([
      expect.stringContaining('ProtectHouse'),
    ]);
  });

  it('leaves the worker alone with its own shutdown, and long enough', () => {
    expect(valuesOf('KillMode')).toEqual(['mixed']);
    const [, seconds] = /^(\d+)s$/.exec(valuesOf('TimeoutStopSec')[0] ?? '') ?? [];
    expect(Number(seconds)).toBeGreaterThan(LONGEST_STOP_SECONDS);
  });

  it('starts it again for ever, but not a wrong configuration', () => {
    expect(valuesOf('Restart')).toEqual(['always']);
    expect(valuesOf('StartLimitIntervalSec')).toEqual(['0']);
    expect(valuesOf('RestartPreventExitStatus')).toEqual(['2']);
  });

  // Of 100, the lower the better.
  it.each([
    ['the worker', UNIT, 14],
    ['the filter', FILTER, 5],
  ])('exposes little of the system, by the count of systemd: %s', async (_, text, threshold) => {
    using directory = makeTempDir('unit');
    const file = directory.sub('dgrid-worker.service');
    writeFileSync(file, text);
    const args = ['security', '--offline=yes', `--threshold=${threshold}`, '--no-pager', file];
    const { code, stdout, stderr } = await tryProgram('systemd-analyze', args);
    expect(code, stdout + stderr).toBe(0);
  });
});

describe("the filter's unit", () => {
  it("is another user's than the worker's, in the worker's group", () => {
    expect(valuesOf('User', FILTER)).not.toEqual(valuesOf('User'));
    expect(valuesOf('Group', FILTER)).toEqual(valuesOf('Group'));
    expect(valuesOf('StateDirectoryMode', FILTER)).toEqual(['0700']);
  });

  it('starts it with arguments that it understands', async () => {
    const [line = ''] = valuesOf('ExecStart', FILTER);
    const flags = line.match(/--[a-z-]+/g) ?? [];
    const { stdout } = await tryProgram(PROGRAM, ['engine-filter', '--help']);
    expect(flags).toHaveLength(3);
    for (const flag of flags) expect(stdout).toContain(`${flag} <`);
  });
});
