import { describe, expect, it } from 'vitest';
import { decideVerdict, type RunFacts, tellsOfDiskTrouble } from '../../../../src/executor/docker/verdict.ts';
import type { RunVerdict } from '../../../../src/executor/executor.ts';

const PLAIN: RunFacts = {
  stopReason: null,
  exitCode: 0,
  oomKilled: false,
  startError: null,
  missing: null,
  bootstrapFailure: null,
  initFailure: null,
  engineRestarted: false,
  interrupted: false,
  adopted: false,
  ranMs: 10,
  timeoutMs: 1000,
};
const startError = { exitCode: 127, message: 'no such file' };

const exited = (exitCode: number, outOfMemory = false): RunVerdict => ({ kind: 'exited', exitCode, outOfMemory });
const vanished = { kind: 'vanished' } as const;

const TABLE: [string, Partial<RunFacts>, Partial<RunVerdict>][] = [
  ['success', {}, exited(0)],
  ['an exit code', { exitCode: 3 }, exited(3)],
  ['137 without a reason is an exit code', { exitCode: 137 }, exited(137)],
  ['137 and the engine saw memory run out', { exitCode: 137, oomKilled: true }, exited(137, true)],
  ['another code and memory ran out', { exitCode: 1, oomKilled: true }, exited(1, true)],
  ['a child ran out of memory', { oomKilled: true }, { ...exited(0), childOutOfMemory: true } as RunVerdict],
  ['our reason', { stopReason: 'timeout', exitCode: 137 }, { kind: 'stopped', reason: 'timeout', exitCode: 137 }],
  ['our reason, and it ended well', { stopReason: 'cancelled' }, { kind: 'stopped', reason: 'cancelled', exitCode: 0 }],
  ['our reason beats memory', { stopReason: 'timeout', exitCode: 137, oomKilled: true }, { kind: 'stopped' }],
  [
    'our reason beats a container that is gone',
    { stopReason: 'fenced', exitCode: null, missing: 'gone' },
    { kind: 'stopped', exitCode: null },
  ],
  ['not started', { startError, exitCode: null }, { kind: 'unstartable', ...startError }],
  [
    'init could not start it',
    { exitCode: 127, initFailure: 'exec x failed' },
    { kind: 'unstartable', exitCode: 127, message: 'exec x failed' },
  ],
  ['gone', { missing: 'gone', exitCode: null }, { kind: 'vanished', message: 'gone' }],
  ['no exit code at all', { exitCode: null }, vanished],
  ['half a script', { exitCode: 125, bootstrapFailure: 'incomplete' }, vanished],
  ['a script without room', { exitCode: 125, bootstrapFailure: 'no-room' }, { kind: 'unstartable', exitCode: 125 }],
  ['an image without tools', { exitCode: 125, bootstrapFailure: 'no-tools' }, { kind: 'unstartable', exitCode: 125 }],
  ['the engine restarted, killed it', { engineRestarted: true, interrupted: true, exitCode: 137 }, vanished],
  ['the engine restarted, it tidied up', { engineRestarted: true, interrupted: true, exitCode: 0 }, vanished],
  ['out of reach for a while', { interrupted: true, exitCode: 143 }, exited(143)],
  ['out of reach, and its end not seen', { interrupted: true, exitCode: 255 }, vanished],
  ['255 of its own', { exitCode: 255 }, exited(255)],
  ['taken up, ended by itself', { adopted: true, exitCode: 4 }, exited(4)],
  ['taken up, killed by nobody knows whom', { adopted: true, exitCode: 143 }, vanished],
  [
    'taken up, killed past its limit',
    { adopted: true, exitCode: 143, ranMs: 1000 },
    { kind: 'stopped', reason: 'timeout' },
  ],
  ['taken up, out of memory', { adopted: true, exitCode: 137, oomKilled: true }, exited(137, true)],
];

describe('decideVerdict', () => {
  it.each(TABLE)('%s', (_name, facts, expected) => {
    expect(decideVerdict({ ...PLAIN, ...facts })).toMatchObject(expected);
  });

  it('says nothing of children where none ran out of memory', () => {
    expect(decideVerdict(PLAIN)).not.toHaveProperty('childOutOfMemory');
  });
});

describe('the disk under the engine', () => {
  it('is told from what a task or its image did', () => {
    expect(tellsOfDiskTrouble('mkdir /var/lib/docker/overlay2/x-init: no space left on device')).toBe(true);
    expect(tellsOfDiskTrouble('write /x: read-only file system')).toBe(true);
    expect(tellsOfDiskTrouble('exec: "x": executable file not found in $PATH')).toBe(false);
    expect(tellsOfDiskTrouble('container init was OOM-killed (memory limit too low?)')).toBe(false);
  });
});
