/** What doctor makes of what it sees: each judgement by itself, from facts of every kind. */
import { describe, expect, it } from 'vitest';
import type { GridSummary, NodeSummary } from '../../src/client/grid-summary.ts';
import type { CheckResult } from '../../src/doctor/check.ts';
import { judgeClock } from '../../src/doctor/clock.ts';
import { judgeExpiry, judgeSecretFile, judgeSshKey } from '../../src/doctor/credentials.ts';
import { judgeDetails, judgeImage } from '../../src/doctor/engine.ts';
import { judgeGitVersion } from '../../src/doctor/git.ts';
import { checkTimeZone } from '../../src/doctor/governance.ts';
import { judgeOwnId, judgeQueue, judgeVersions } from '../../src/doctor/grid.ts';
import { judgeCertificate, judgeLatency, placeOf } from '../../src/doctor/host.ts';
import { checkTaskMemory } from '../../src/doctor/machine.ts';
import { judgeSecrets } from '../../src/doctor/secrets.ts';
import { judgeTrusted } from '../../src/doctor/signing.ts';
import { judgeOutbox, judgeRights, judgeRoom } from '../../src/doctor/state.ts';
import { SUBJECTS } from '../../src/doctor/subjects.ts';
import { judgeUnit } from '../../src/doctor/systemd.ts';
import { judgeHealth } from '../../src/doctor/worker.ts';
import type { EngineDetails } from '../../src/executor/docker/engine-facts.ts';
import { testSettings } from '../support/memory-grid.ts';

const settings = testSettings('/state', 'box');
const DAY_MS = 86_400_000;
/** Whatever is not well says what to do. */
const outcomeOf = (result: CheckResult | undefined): string => {
  if (result && result.outcome !== 'ok') expect(result.remedy, result.finding).not.toBeNull();
  return result?.outcome ?? 'none';
};
const outcomes = (results: Iterable<CheckResult>): Record<string, string> =>
  Object.fromEntries([...results].map((result) => [result.check, outcomeOf(result)]));

describe('subjects', () => {
  it('have a name, a deadline and a remedy each', () => {
    expect(new Set(SUBJECTS.map(({ name }) => name)).size).toBe(SUBJECTS.length);
    for (const { name, deadlineMs, lateRemedy } of SUBJECTS) {
      expect(name).toMatch(/^[a-z]+$/);
      expect(deadlineMs).toBeLessThanOrEqual(120_000);
      expect(lateRemedy).not.toBe('');
    }
  });
});

describe('the clock', () => {
  const seen = (theirMs: number) => ({ beganMs: 1_000_000, endedMs: 1_002_000, theirMs });
  const signing = { ...settings.signing, trustedKeysFile: '/keys' };

  it('counts for certain only beyond the time of the question and the host’s whole seconds', () => {
    expect(judgeClock(seen(999_000 - 119_000), settings).outcome).toBe('ok');
    expect(judgeClock(seen(999_000 - 121_000), settings)).toMatchObject({
      finding: expect.stringContaining('121 s ahead of'),
    });
    expect(judgeClock(seen(1_002_000 + 121_000), settings)).toMatchObject({
      finding: expect.stringContaining('121 s behind'),
    });
    expect(judgeClock(seen(Number.NaN), settings).outcome).toBe('ok');
  });

  it('is judged more strictly where signatures go by it', () => {
    expect(judgeClock(seen(1_002_000 + 40_000), settings).outcome).toBe('ok');
    const strict = judgeClock(seen(1_002_000 + 40_000), { signing });
    expect(strict).toMatchObject({ outcome: 'warning', finding: expect.stringContaining('signatures') });
  });
});

describe('the way to the host', () => {
  it('begins with its name, however the address is written', () => {
    expect(placeOf({ transport: 'ssh', url: 'git@git.example.org:team/t.git' })).toEqual({
      host: 'git.example.org',
      url: null,
    });
    expect(placeOf({ transport: 'ssh', url: 'ssh://git@git.example.org:2222/t.git' })?.host).toBe('git.example.org');
    expect(placeOf({ transport: 'http', url: 'https://[::1]:8443/t.git' })?.host).toBe('::1');
    expect(placeOf({ transport: 'file', url: '/srv/t.git' })).toBeNull();
  });

  it('tells of certificates before they expire, and of slow looks', () => {
    expect(outcomeOf(judgeCertificate(100 * DAY_MS, 0))).toBe('ok');
    expect(judgeCertificate(3.5 * DAY_MS, 0)).toMatchObject({
      outcome: 'warning',
      finding: expect.stringContaining('in 3 days'),
    });
    expect(outcomeOf(judgeCertificate(0, DAY_MS))).toBe('broken');
    expect(judgeCertificate(Number.NaN, 0).outcome).toBe('warning');
    expect(judgeLatency([900, 10, 20])).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('20 ms for a look'),
    });
    expect(outcomeOf(judgeLatency([9_000, 8_000, 7_000]))).toBe('warning');
  });
});

describe('credentials', () => {
  const jwt = (payload: object): string =>
    ['{"alg":"none"}', JSON.stringify(payload), 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');

  it('that say until when they are good are told of in time', () => {
    const nowMs = 1_800_000_000_000;
    const expiry = (afterMs: number) => outcomes(judgeExpiry(jwt({ exp: (nowMs + afterMs) / 1000 }), nowMs));
    expect(expiry(30 * DAY_MS)).toEqual({ 'token expiry': 'ok' });
    expect(expiry(DAY_MS)).toEqual({ 'token expiry': 'warning' });
    expect(expiry(-1)).toEqual({ 'token expiry': 'broken' });
    for (const other of ['ghp_0123456789abcdef', 'a.b.c', 'a.b', jwt({}), jwt({ exp: 'soon' }), jwt({ exp: 1e300 })]) {
      expect(outcomes(judgeExpiry(other, nowMs)), other).toEqual({});
    }
  });

  it('in files are for one user alone', () => {
    expect(outcomeOf(judgeSecretFile('c', 'GIT_TOKEN_FILE', '/t', 0o100600))).toBe('ok');
    expect(judgeSecretFile('c', 'GIT_TOKEN_FILE', '/t', 0o100640)).toMatchObject({ remedy: 'chmod go= /t' });
  });

  it('of ssh can be used by it without anybody to ask', () => {
    const key = (cipher: string): string => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(cipher.length);
      const body = Buffer.concat([Buffer.from('openssh-key-v1\0'), length, Buffer.from(cipher), Buffer.alloc(60)]);
      return `-----BEGIN OPENSSH PRIVATE KEY-----\n${body.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
    };
    expect(outcomeOf(judgeSshKey('/k', 0o100600, key('none')))).toBe('ok');
    expect(outcomeOf(judgeSshKey('/k', 0o100600, key('aes256-ctr')))).toBe('warning');
    expect(outcomeOf(judgeSshKey('/k', 0o100644, key('none')))).toBe('broken');
    expect(judgeSshKey('/k', 0o100600, 'ssh-ed25519 AAAA me').remedy).toContain('.pub');
    const legacy = '-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n';
    expect(outcomeOf(judgeSshKey('/k', 0o100600, legacy))).toBe('warning');
  });
});

describe('git', () => {
  it('is warned of only in versions, and with settings, that have the trouble', () => {
    const helper = { credentialHelper: 'store' };
    const judged = (version: string) => outcomes(judgeGitVersion(version, helper))['git version'] ?? 'ok';
    expect(judged('2.39.5')).toBe('warning');
    expect(judged('2.43.5')).toBe('warning');
    expect(judged('2.43.6')).toBe('ok');
    expect(judged('2.48.0')).toBe('warning');
    expect(judged('2.48.1')).toBe('ok');
    expect(judged('2.53.0.windows.1')).toBe('ok');
    expect(judged('3.0.0')).toBe('ok');
    expect([...judgeGitVersion('2.39.5', { credentialHelper: null })]).toEqual([]);
    expect([...judgeGitVersion('unknown', helper)]).toEqual([]);
  });
});

describe('the state directory', () => {
  it('belongs to this user alone', () => {
    expect(outcomeOf(judgeRights('/s', { uid: 5, mode: 0o40700 }, 5))).toBe('ok');
    expect(judgeRights('/s', { uid: 5, mode: 0o40755 }, 5)).toMatchObject({
      outcome: 'warning',
      remedy: 'chmod 700 /s',
    });
    expect(outcomeOf(judgeRights('/s', { uid: 5, mode: 0o40770 }, 5))).toBe('broken');
    expect(judgeRights('/s', { uid: 5, mode: 0o40700 }, 0)).toMatchObject({
      remedy: expect.stringContaining('as the user'),
    });
  });

  it('has room, in bytes and in files', () => {
    expect(outcomeOf(judgeRoom({ bytes: 2 ** 30, inodes: null }))).toBe('ok');
    expect(outcomeOf(judgeRoom({ bytes: 2 ** 20, inodes: 10_000 }))).toBe('warning');
    expect(outcomeOf(judgeRoom({ bytes: 2 ** 30, inodes: 10 }))).toBe('warning');
    expect(outcomeOf(judgeRoom({ bytes: 0, inodes: 10 }))).toBe('broken');
  });

  it('holds results, and damage is named', () => {
    expect(judgeOutbox({ entries: 2, damaged: [], setAside: [] }, '/s').finding).toContain('2 results wait');
    const bad = judgeOutbox({ entries: 0, damaged: ['a.result'], setAside: ['b.result.damaged'] }, '/s');
    expect(bad).toMatchObject({
      outcome: 'warning',
      finding: expect.stringMatching(/2 damaged.*a\.result, b\.result/),
    });
  });
});

describe('an engine', () => {
  const details: EngineDetails = {
    storageDriver: 'overlay2',
    cgroupDriver: 'systemd',
    loggingDriver: 'journald',
    securityOptions: ['name=apparmor', 'name=seccomp,profile=builtin', 'name=cgroupns'],
    rootless: false,
    liveRestore: false,
    kernel: '6.1',
    operatingSystem: 'Debian',
    nowMs: 0,
  };

  it('is all well as it comes', () => {
    expect(new Set(Object.values(outcomes(judgeDetails(details, 0))))).toEqual(new Set(['ok']));
  });

  it.each([
    [{ storageDriver: 'vfs' }, 'storage driver'],
    [{ storageDriver: 'devicemapper' }, 'storage driver'],
    [{ securityOptions: ['name=seccomp,profile=unconfined'] }, 'isolation'],
    [{ securityOptions: [] }, 'isolation'],
    [{ nowMs: 3_600_000 }, 'engine clock'],
  ])('with %j is warned of', (changed, check) => {
    const found = outcomes(judgeDetails({ ...details, ...changed }, 0));
    expect(Object.keys(found).filter((name) => found[name] === 'warning')).toEqual([check]);
  });

  it('that tells nothing is not blamed', () => {
    const silent = { ...details, storageDriver: null, loggingDriver: null, liveRestore: null, nowMs: null };
    expect(Object.values(outcomes(judgeDetails(silent, 0)))).not.toContain('warning');
  });

  it('has the image, or can come by it, or cannot', () => {
    expect(judgeImage('i', { kind: 'present', digest: 'sha256:1' }).outcome).toBe('ok');
    expect(judgeImage('i', { kind: 'pullable', digest: null }).outcome).toBe('ok');
    expect(judgeImage('i', { kind: 'untold', isThere: true }).outcome).toBe('ok');
    expect(outcomeOf(judgeImage('i', { kind: 'untold', isThere: false }))).toBe('warning');
    expect(judgeImage('i', { kind: 'buildable', why: 'no line' }).outcome).toBe('ok');
    expect(outcomeOf(judgeImage('i', { kind: 'stale', why: 'no line' }))).toBe('broken');
    expect(judgeImage('i', { kind: 'unavailable', why: 'denied' })).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('denied'),
    });
  });

  it('has memory for as many tasks as may run', () => {
    const memory = (memoryBytes: number) =>
      checkTaskMemory({ ...settings, maxParallelTasks: 4, memoryReserveBytes: 0 }, { memoryBytes });
    expect(outcomeOf(memory(4 * settings.docker.memoryBytes))).toBe('ok');
    expect(outcomeOf(memory(4 * settings.docker.memoryBytes - 1))).toBe('warning');
    expect(memory(0).outcome).toBe('ok');
  });
});

describe('signing', () => {
  const key = (options: string): string => `alice ${options} ssh-ed25519 ${'A'.repeat(60)} alice\n`;
  const judged = (text: string, isRequired: boolean): string => outcomeOf(judgeTrusted('/keys', text, { isRequired }));

  it('needs somebody who may sign tasks', () => {
    expect(judged(key('namespaces="dgrid-task-v1"'), true)).toBe('ok');
    expect(judged(key('valid-before="20900101Z"'), true)).toBe('ok');
    expect(judged(key('namespaces="dgrid-result-v1"'), true)).toBe('broken');
    expect(judged(key('namespaces="dgrid-result-v1"'), false)).toBe('warning');
    expect(judged('', true)).toBe('broken');
    expect(judgeTrusted('/keys', `# hi\nnonsense\n`, { isRequired: false })).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('line 2'),
    });
  });
});

describe('secrets', () => {
  const rule = { signers: null, labels: ['x'] };
  const both = { ...settings, secretsDir: '/s', secretsPolicyFile: '/p' };

  it('and the policy fit each other', () => {
    expect(outcomeOf(judgeSecrets(['a', 'b'], new Map([['a', rule]]), both))).toBe('ok');
    expect(judgeSecrets(['a'], new Map([['b', rule]]), both)).toMatchObject({
      finding: expect.stringContaining('lacks b'),
    });
    expect(outcomeOf(judgeSecrets(['a'], new Map(), { ...both, secretsPolicyFile: null }))).toBe('warning');
    expect(outcomeOf(judgeSecrets([], new Map([['a', rule]]), { ...both, secretsDir: null }))).toBe('warning');
    const signed = new Map([['a', { signers: ['*'], labels: null }]]);
    expect(judgeSecrets(['a'], signed, both)).toMatchObject({ remedy: expect.stringContaining('TRUSTED_KEYS_FILE') });
    const signing = { ...settings.signing, trustedKeysFile: '/keys' };
    expect(judgeSecrets(['a'], signed, { ...both, signing }).outcome).toBe('ok');
  });
});

describe('a time zone', () => {
  it('that is none is told', () => {
    expect(outcomeOf(checkTimeZone(settings, {}))).toBe('ok');
    expect(outcomeOf(checkTimeZone(settings, { TZ: 'Europe/Berlin' }))).toBe('ok');
    expect(checkTimeZone(settings, { TZ: 'Mars/Base' })).toMatchObject({
      outcome: 'warning',
      finding: expect.stringContaining('Mars/Base'),
    });
  });
});

describe('the grid', () => {
  const node = (id: string, version: string | null, state = 'alive'): NodeSummary =>
    ({ node_id: id, state, version }) as NodeSummary;
  const summary = {
    queue: { pending: 3, invalid: 0 },
    waiting: [],
    in_work: [],
    problems: [],
  } as unknown as GridSummary;

  it('has this id once', () => {
    expect(judgeOwnId('box', null, null).outcome).toBe('ok');
    expect(judgeOwnId('box', 'm1', 'm1').outcome).toBe('ok');
    expect(outcomeOf(judgeOwnId('box', 'm1', 'm2'))).toBe('warning');
    expect(outcomeOf(judgeOwnId('box', 'm1', null))).toBe('warning');
  });

  it('names what cannot run', () => {
    expect(judgeQueue(summary)).toMatchObject({ outcome: 'ok', finding: expect.stringContaining('3 queued') });
    const problems = [1, 2, 3, 4, 5].map((at) => ({ path: `p${at}`, problem: 'bad' }));
    expect(judgeQueue({ ...summary, problems })).toMatchObject({
      outcome: 'warning',
      finding: expect.stringMatching(/p1: bad; p2: bad; p3: bad; and 2 more/),
    });
    expect(judgeQueue({ ...summary, queue: { ...summary.queue, invalid: 2 } }).outcome).toBe('warning');
  });

  it('tells versions, the oldest first, and major ones apart', () => {
    const nodes = [node('a', '0.10.0'), node('b', '0.9.0'), node('c', '9.0.0', 'stopped')];
    expect(judgeVersions(nodes, '0.10.0')).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('0.9.0 (1), 0.10.0 (1)'),
    });
    expect(judgeVersions([...nodes, node('d', '1.0.0')], '0.10.0')).toMatchObject({
      outcome: 'warning',
      remedy: expect.stringContaining('d have'),
    });
    expect(judgeVersions([node('a', null)], '0.10.0').outcome).toBe('ok');
  });
});

describe('the service', () => {
  const unit = (fields: Record<string, string>): string =>
    Object.entries({ LoadState: 'loaded', ActiveState: 'active', SubState: 'running', NRestarts: '0', ...fields })
      .map(([name, value]) => `${name}=${value}\n`)
      .join('');

  it.each([
    [{}, 'ok'],
    [{ LoadState: 'not-found' }, 'ok'],
    [{ LoadState: 'error' }, 'broken'],
    [{ ActiveState: 'failed', SubState: 'failed', Result: 'exit-code', ExecMainStatus: '2' }, 'broken'],
    [{ ActiveState: 'activating', SubState: 'auto-restart', NRestarts: '9' }, 'broken'],
    [{ ActiveState: 'inactive', SubState: 'dead' }, 'warning'],
    [{ NRestarts: '4' }, 'warning'],
    [{ NRestarts: '3' }, 'ok'],
  ] as const)('%j: %s', (fields, outcome) => {
    expect(outcomeOf(judgeUnit(unit(fields)))).toBe(outcome);
  });
});

describe('a worker that runs', () => {
  const health = (fields: object): string =>
    JSON.stringify({ node: 'box', state: 'running', running: ['a'], paused: [], ...fields });

  it('says why it claims nothing', () => {
    expect(outcomes(judgeHealth(health({}), 'box', true))).toEqual({ 'running worker': 'ok' });
    const paused = [{ reason: 'engine', text: 'it is away' }];
    const [result] = judgeHealth(health({ paused }), 'box', true);
    expect(result).toMatchObject({ outcome: 'warning', finding: expect.stringContaining('engine: it is away') });
  });

  it.each(['', 'null', '[]', '{}', '<html>', '{"node":"other","paused":[]}', '{"node":"box","paused":5}'])(
    'is somebody else when it says %j',
    (body) => {
      expect(outcomes(judgeHealth(body, 'box', false))).toEqual({ 'health pages': 'warning' });
    },
  );
});
