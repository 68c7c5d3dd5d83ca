/** docker/dgrid-worker.service, as systemd itself reads it. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { installMissing, tryProgram } from '../support/programs.ts';
import { makeTempDir } from '../support/temp.ts';

const UNIT = readFileSync(join(import.meta.dirname, '../../docker/dgrid-worker.service'), 'utf8');
/** SHUTDOWN_GRACE_SECONDS by default, and what stopping containers, publishing and signing off may take on top. */
const LONGEST_STOP_SECONDS = 30 + 75;
/** Of systemd 254 and newer; an older one says that it ignores them, and the unit says so too. */
const NEWER_KEYS = /Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)'/;

beforeAll(() => installMissing({ 'systemd-analyze': 'systemd' }));

function valuesOf(key: string): string[] {
  return [...UNIT.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value ?? '');
}

/** What systemd complains about. */
async function complaints(unit: string): Promise<string[]> {
  using directory = makeTempDir('unit');
  // The unit finds the program by its name in the system's directories, where a checkout does not put it.
  const program = directory.sub('dgrid-worker');
  writeFileSync(program, '#!/bin/sh\n');
  chmodSync(program, 0o755);
  const file = directory.sub('dgrid-worker.service');
  writeFileSync(file, unit.replace('ExecStart=dgrid-worker ', `ExecStart=${program} `));
  const { stderr } = await tryProgram('systemd-analyze', ['verify', '--man=no', file]);
  return stderr.split('\n').filter((line) => line.includes('dgrid-worker') && !NEWER_KEYS.test(line));
}

describe('the systemd unit', () => {
  it('is understood by systemd', async () => {
    expect(await complaints(UNIT)).toEqual([]);
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

  it('exposes little of the system, by the count of systemd', async () => {
    using directory = makeTempDir('unit');
    const file = directory.sub('dgrid-worker.service');
    writeFileSync(file, UNIT);
    // Of 100, the lower the better.
    const args = ['security', '--offline=yes', '--threshold=25', '--no-pager', file];
    const { code, stdout, stderr } = await tryProgram('systemd-analyze', args);
    expect(code, stdout + stderr).toBe(0);
  });
});
