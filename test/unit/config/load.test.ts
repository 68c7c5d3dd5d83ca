import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { settingsInForce } from '../../../src/config/describe.ts';
import {
  defaultMaxTaskBytes,
  type LoadInput,
  loadClientSettings,
  loadFilterSettings,
  loadPolicySettings,
  loadSettings,
  type Problem,
} from '../../../src/config/load.ts';
import type { Machine } from '../../../src/config/machine.ts';
import { OPTION_NAMES, OPTIONS, optionOf } from '../../../src/config/options.ts';
import { PROFILE_NAMES, PROFILES } from '../../../src/config/profiles.ts';
import { knownSecrets } from '../../../src/config/secrets.ts';
import type { Settings } from '../../../src/config/settings.ts';

const REPO = { DGRID_REPO_URL: 'https://git.example.com/team/tasks.git' };
const SECRET = 'hunter22-hunter22';
const root = mkdtempSync(join(tmpdir(), 'dgrid-load-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let cwd = '';
let machine: Machine;
let count = 0;
beforeEach(() => {
  cwd = join(root, String(count++));
  mkdirSync(cwd);
  machine = { cwd, hostName: 'Box-1', homeDir: '/home/me', isRoot: false, xdgStateHome: null };
});

function input(env: Record<string, string>, more: Partial<LoadInput> = {}): LoadInput {
  return { env, flags: {}, envFile: null, machine, ...more };
}

function settings(env: Record<string, string>, more: Partial<LoadInput> = {}): Settings {
  const loaded = loadSettings(input({ ...REPO, ...env }, more));
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.settings;
}

function problems(env: Record<string, string>, more: Partial<LoadInput> = {}): Problem[] {
  const loaded = loadSettings(input({ ...REPO, ...env }, more));
  return loaded.ok ? [] : loaded.problems;
}

function names(env: Record<string, string>): string[] {
  return problems(env).map((problem) => problem.name);
}

describe('defaults', () => {
  test('with nothing but a repository', () => {
    const all = settings({});
    expect(all).toMatchObject({
      nodeId: 'box-1',
      nodeName: 'worker-box-1',
      nodeLabels: [],
      stateDir: '/home/me/.local/state/dgrid',
      repoPath: '/home/me/.local/state/dgrid/repository.git',
      pullIntervalMs: 10_000,
      maxPullIntervalMs: 60_000,
      webhookSecret: null,
      webhookSecretFile: null,
      httpToken: null,
      httpTokenFile: null,
      heartbeatIntervalMs: 60_000,
      nodeTtlMs: 300_000,
      maxParallelTasks: 1,
      maxTasksPerHour: 0,
      maxTaskBytes: 256 * 1024,
      maxOutputBytes: 1024 * 1024,
      maxTakeovers: 3,
      recordBatchSize: 50,
      recordDelayMs: 5000,
      refNamespace: 'auto',
      httpHost: '127.0.0.1',
      httpPort: 8000,
      logFile: null,
      logFormat: 'auto',
    });
    expect(all.git).toMatchObject({
      branch: null,
      userName: 'D-GRID Worker',
      userEmail: 'worker+box-1@d-grid.local',
      token: null,
      commandTimeoutMs: 120_000,
      useShallowClone: true,
      retryAttempts: 5,
      retryBaseMs: 2000,
    });
    expect(all.docker).toMatchObject({
      host: null,
      image: 'busybox:stable',
      allowedImages: ['busybox:stable'],
      memoryBytes: 512 * 1024 ** 2,
      workDirBytes: 64 * 1024 ** 2,
      network: 'none',
      runtime: null,
      callTimeoutMs: 30_000,
    });
  });

  test('that follow another setting', () => {
    const all = settings({
      NODE_ID: 'a',
      HEARTBEAT_INTERVAL: '0.1',
      DOCKER_IMAGE: 'alpine:3',
      DGRID_STATE_DIR: 'state',
    });
    expect(all).toMatchObject({ nodeName: 'worker-a', nodeTtlMs: 500, stateDir: join(cwd, 'state') });
    expect(all.git.userEmail).toBe('worker+a@d-grid.local');
    expect(all.docker.allowedImages).toEqual(['alpine:3']);
    expect(all.repoPath).toBe(join(cwd, 'state', 'repository.git'));
  });

  test('of the longest polling interval: six of the set ones, a minute at most, and never less than one', () => {
    const seconds = (PULL_INTERVAL: string): number => settings({ PULL_INTERVAL }).maxPullIntervalMs / 1000;
    expect(['0.1', '2', '10', '45', '300'].map(seconds)).toEqual([0.6, 12, 60, 60, 300]);
    expect(settings({ PULL_INTERVAL_MAX: '0' }).maxPullIntervalMs).toBe(0);
    expect(settings({ DGRID_PROFILE: 'edge' }).maxPullIntervalMs).toBe(300_000);
  });

  test('of the state directory', () => {
    machine = { ...machine, xdgStateHome: '/xdg' };
    expect(settings({}).stateDir).toBe('/xdg/dgrid');
    machine = { ...machine, isRoot: true };
    expect(settings({}).stateDir).toBe('/var/lib/dgrid');
    machine = { ...machine, isRoot: false, xdgStateHome: null, homeDir: null };
    expect(names({})).toContain('DGRID_STATE_DIR');
    expect(names({ DGRID_STATE_DIR: '/tmp/x' })).toEqual([]);
  });

  test('of the node id, where the host name gives none', () => {
    machine = { ...machine, hostName: '---' };
    expect(problems({}).map((problem) => problem.name)).toEqual(['NODE_ID']);
  });

  test('are all valid, and written back they mean the same', () => {
    const loaded = loadSettings(input(REPO));
    expect(loaded.ok).toBe(true);
    for (const name of OPTION_NAMES) {
      const { kind } = optionOf(name);
      const value: unknown = loaded.values[name];
      if (value === null) continue;
      expect(kind.parse(kind.format(value), machine), name).toEqual({ ok: true, value });
    }
  });
});

describe('precedence', () => {
  test('flag > environment > file > profile > default', () => {
    const load = (env: Record<string, string>, flags = {}): [number, string | undefined] => {
      const loaded = loadSettings(input({ ...REPO, ...env }, { flags }));
      if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
      return [loaded.settings.pullIntervalMs / 1000, loaded.origins.PULL_INTERVAL?.source];
    };
    expect(load({})).toEqual([10, 'default']);
    expect(load({ DGRID_PROFILE: 'edge' })).toEqual([60, 'profile']);
    writeFileSync(join(cwd, '.env'), 'PULL_INTERVAL=7 # often\n');
    expect(load({ DGRID_PROFILE: 'edge' })).toEqual([7, 'env-file']);
    expect(load({ DGRID_PROFILE: 'edge', PULL_INTERVAL: '8' })).toEqual([8, 'environment']);
    expect(load({ PULL_INTERVAL: '8' }, { PULL_INTERVAL: '9' })).toEqual([9, 'flag']);
  });

  test('an empty value counts as unset', () => {
    writeFileSync(join(cwd, '.env'), 'PULL_INTERVAL=7\n');
    expect(settings({ PULL_INTERVAL: ' ' }).pullIntervalMs).toBe(7000);
  });

  test('a profile may be named in the file; a flag beats that', () => {
    writeFileSync(join(cwd, '.env'), 'DGRID_PROFILE="low-resource"\n');
    expect(settings({}).docker.cpus).toBe(0.5);
    expect(settings({}, { flags: { DGRID_PROFILE: 'edge' } }).docker.cpus).toBe(1);
  });

  test('a named file takes the place of .env, and has to be there', () => {
    writeFileSync(join(cwd, '.env'), 'PULL_INTERVAL=7\n');
    writeFileSync(join(cwd, 'other.env'), 'HEARTBEAT_INTERVAL=20\n');
    const all = settings({}, { envFile: 'other.env' });
    expect([all.pullIntervalMs, all.heartbeatIntervalMs]).toEqual([10_000, 20_000]);
    expect(problems({}, { envFile: 'missing.env' })).toEqual([
      { name: '--env-file', message: expect.stringContaining('missing.env cannot be read: there is no such file') },
    ]);
  });

  test('a directory called .env is none of our business', () => {
    mkdirSync(join(cwd, '.env'));
    expect(problems({})).toEqual([]);
  });

  test('process.env stays as it is', () => {
    const before = { ...process.env };
    writeFileSync(join(cwd, '.env'), 'NODE_NAME=from-file\nSOMETHING_ELSE=1\n');
    expect(settings({}).nodeName).toBe('from-file');
    expect(process.env).toEqual(before);
  });
});

describe('profiles', () => {
  test.each(PROFILE_NAMES)('%s consists of settings and is valid', (name) => {
    expect(Object.keys(PROFILES[name].settings).filter((key) => !Object.hasOwn(OPTIONS, key))).toEqual([]);
    expect(problems({ DGRID_PROFILE: name })).toEqual([]);
  });
  test('what they promise', () => {
    const facts = PROFILE_NAMES.map((name) => {
      const all = settings({ DGRID_PROFILE: name });
      const megabytes = all.docker.memoryBytes / 1024 ** 2;
      return [all.pullIntervalMs / 1000, all.maxTasksPerHour, all.docker.cpus, megabytes, all.maxCpuPercent];
    });
    expect(facts).toEqual([
      [5, 500, 2, 1024, 80],
      [30, 20, 0.5, 256, 60],
      [60, 10, 1, 512, 80],
    ]);
  });
  test('an unknown one', () => {
    expect(problems({ DGRID_PROFILE: 'egde' })).toEqual([
      { name: 'DGRID_PROFILE', message: expect.stringContaining('did you mean edge?') },
    ]);
  });
});

describe('problems', () => {
  test('all at once, in the order of the table', () => {
    expect(
      names({ DGRID_REPO_URL: '', PULL_INTERVAL: 'soon', DOCKER_MEMORY: '1', HTTP_PORT: '70000', LOG_LEVEL: 'loud' }),
    ).toEqual(['DGRID_REPO_URL', 'PULL_INTERVAL', 'DOCKER_MEMORY', 'HTTP_PORT', 'LOG_LEVEL']);
  });

  test('say where the value was set', () => {
    writeFileSync(join(cwd, '.env'), 'PULL_INTERVAL=soon\n');
    expect(problems({ HTTP_PORT: 'x' }, { flags: { LOG_LEVEL: 'loud' } }).map(({ message }) => message)).toEqual([
      expect.stringContaining('(set by file .env)'),
      expect.stringContaining('(set in the environment)'),
      expect.stringContaining('(set by flag --log-level)'),
    ]);
  });

  test('one wrong value causes no others', () => {
    expect(names({ NODE_ID: 'No!', HEARTBEAT_INTERVAL: 'x', DOCKER_IMAGE: 'NO', DOCKER_WORK_SIZE: 'big' })).toEqual([
      'NODE_ID',
      'HEARTBEAT_INTERVAL',
      'DOCKER_IMAGE',
      'DOCKER_WORK_SIZE',
    ]);
  });

  test('quotation marks that came along', () => {
    expect(problems({ DGRID_REPO_URL: '"https://git.example.com/x"' })[0]?.message).toContain('quotation marks');
  });

  test.each([
    ['DGRID_REPO_ULR', 'DGRID_REPO_URL'],
    ['DGRID_STATEDIR', 'DGRID_STATE_DIR'],
    ['DGRID_PULL_INTERVAL', 'PULL_INTERVAL'],
    ['DGRID_GIT_TOKEN', 'GIT_TOKEN'],
    ['DGRID_PULL_INTERVALL', 'PULL_INTERVAL'],
  ])('%s: did you mean %s?', (wrong, right) => {
    expect(problems({ [wrong]: SECRET })).toEqual([{ name: wrong, message: `is no setting: did you mean ${right}?` }]);
  });

  test('an unknown name that is near to none; what orchestrators inject', () => {
    expect(problems({ DGRID_FLUX_CAPACITOR: '1' })).toEqual([
      { name: 'DGRID_FLUX_CAPACITOR', message: 'is no setting: remove it' },
    ]);
    expect(
      problems({
        DGRID_SERVICE_HOST: '10.0.0.1',
        DGRID_WORKER_SERVICE_PORT_HTTP: '80',
        DGRID_PORT: 'tcp://10.0.0.1:80',
        DGRID_PORT_80_TCP_ADDR: '10.0.0.1',
      }),
    ).toEqual([]);
  });
});

describe('rules', () => {
  test('node ttl and heartbeat', () => {
    expect(names({ HEARTBEAT_INTERVAL: '60', NODE_TTL: '119' })).toEqual(['NODE_TTL']);
    expect(names({ HEARTBEAT_INTERVAL: '60', NODE_TTL: '120' })).toEqual([]);
  });
  test('push budget and heartbeat', () => {
    expect(names({ HEARTBEAT_INTERVAL: '5', GIT_PUSHES_PER_MINUTE: '6' })).toEqual(['GIT_PUSHES_PER_MINUTE']);
    expect(names({ HEARTBEAT_INTERVAL: '10', GIT_PUSHES_PER_MINUTE: '6' })).toEqual([]);
  });
  test('work directory and memory', () => {
    expect(names({ DOCKER_MEMORY: '64m' })).toEqual(['DOCKER_WORK_SIZE']);
    expect(names({ DOCKER_MEMORY: '64m', DOCKER_WORK_SIZE: '32m' })).toEqual([]);
  });
  test('one token at most', () => {
    writeFileSync(join(cwd, 'token'), SECRET);
    expect(names({ GIT_TOKEN: SECRET, GIT_TOKEN_FILE: 'token' })).toEqual(['GIT_TOKEN']);
    expect(settings({ GIT_TOKEN_FILE: 'token' }).git.tokenFile).toBe(join(cwd, 'token'));
  });
  test('files have to be there, and be files', () => {
    expect(
      names({ GIT_TOKEN_FILE: 'no', GIT_SSH_KEY_FILE: '.', GIT_SSH_KNOWN_HOSTS_FILE: '/no', DOCKER_CERT_PATH: 'no' }),
    ).toEqual(['GIT_TOKEN_FILE', 'GIT_SSH_KEY_FILE', 'GIT_SSH_KNOWN_HOSTS_FILE', 'DOCKER_CERT_PATH']);
    writeFileSync(join(cwd, 'log'), '');
    expect(names({ DOCKER_CERT_PATH: 'log', LOG_FILE: '.' })).toEqual(['DOCKER_CERT_PATH', 'LOG_FILE']);
    expect(settings({ LOG_FILE: 'logs/new/worker.log' }).logFile).toBe(join(cwd, 'logs/new/worker.log'));
    expect(settings({ LOG_FILE: '-' }).logFile).toBeNull();
  });
  test('signing needs to know whom to trust', () => {
    writeFileSync(join(cwd, 'keys'), '');
    expect(problems({ ENABLE_TASK_SIGNING: 'true' })).toEqual([
      { name: 'ENABLE_TASK_SIGNING', message: expect.stringContaining('TRUSTED_KEYS_FILE') },
    ]);
    expect(names({ TRUSTED_KEYS_FILE: 'gone' })).toEqual(['TRUSTED_KEYS_FILE']);
    expect(names({ REVOKED_KEYS_FILE: 'keys' })).toEqual(['REVOKED_KEYS_FILE']);
    expect(names({ ENABLE_TASK_SIGNING: 'no', TRUSTED_KEYS_FILE: '' })).toEqual([]);
    const keys = join(cwd, 'keys');
    expect(settings({ ENABLE_TASK_SIGNING: 'yes', TRUSTED_KEYS_FILE: 'keys' }).signing).toMatchObject({
      isRequired: true,
      trustedKeysFile: keys,
      revokedKeysFile: null,
      nodeKeyFile: null,
      maxLifetimeMs: 30 * 86_400_000,
    });
  });
  test('a grid is named by its repository, however it is reached', () => {
    const addresses = [
      'https://git.example.com/team/tasks.git',
      'https://me@Git.Example.com:8443/team/tasks/',
      'ssh://git@git.example.com:2222/team/tasks.git',
      'git@git.example.com:team/tasks.git',
      'git.example.com:/team/tasks',
    ];
    for (const DGRID_REPO_URL of addresses) {
      expect(settings({ DGRID_REPO_URL }).signing.grid, DGRID_REPO_URL).toBe('git.example.com/team/tasks');
    }
    expect(settings({ DGRID_REPO_URL: 'file:///srv/tasks.git' }).signing.grid).toBe('/srv/tasks');
    expect(settings({ GRID_NAME: 'the grid' }).signing.grid).toBe('the grid');
    expect(names({ GRID_NAME: '"quoted' })).toEqual(['GRID_NAME']);
  });
  test('the clone is deleted when damaged, so it may hold nothing else', () => {
    expect(names({ DGRID_STATE_DIR: '/a/b', DGRID_REPO_PATH: '/a/b' })).toEqual(['DGRID_REPO_PATH']);
    expect(names({ DGRID_STATE_DIR: '/a/b', DGRID_REPO_PATH: '/a' })).toEqual(['DGRID_REPO_PATH']);
    expect(names({ DGRID_STATE_DIR: '/a/b', DGRID_REPO_PATH: '/a/bc' })).toEqual([]);
    expect(names({ DGRID_REPO_URL: '/srv/t.git', DGRID_REPO_PATH: '/srv/t.git' })).toEqual(['DGRID_REPO_PATH']);
    expect(names({ DGRID_REPO_URL: 'file:///srv/t%20x', DGRID_REPO_PATH: '/srv/t x' })).toEqual(['DGRID_REPO_PATH']);
    expect(names({ DGRID_REPO_PATH: '/' })).toContain('DGRID_REPO_PATH');
  });
});

describe('webhook', () => {
  test('has one secret, long enough, and a port to come in by', () => {
    writeFileSync(join(cwd, 'hook'), 'from a file\n');
    const both = { WEBHOOK_SECRET: 'It is a secret', WEBHOOK_SECRET_FILE: 'hook' };
    expect(settings({ WEBHOOK_SECRET: 'It is a secret' }).webhookSecret).toBe('It is a secret');
    expect(settings({ WEBHOOK_SECRET_FILE: 'hook' }).webhookSecretFile).toBe(join(cwd, 'hook'));
    expect(names(both)).toEqual(['WEBHOOK_SECRET']);
    expect(names({ WEBHOOK_SECRET: 'short' })).toEqual(['WEBHOOK_SECRET']);
    expect(names({ WEBHOOK_SECRET: 'It is a secret', HTTP_PORT: '0' })).toEqual(['HTTP_PORT']);
    expect(names({ WEBHOOK_SECRET_FILE: 'gone' })).toEqual(['WEBHOOK_SECRET_FILE']);
  });
});

describe('the token of the pages', () => {
  const TOKEN = 'a-token-of-the-tests';

  test('is one, long enough, of characters that a header can carry', () => {
    writeFileSync(join(cwd, 'http-token'), `${TOKEN}\n`);
    expect(settings({ HTTP_TOKEN: TOKEN }).httpToken).toBe(TOKEN);
    expect(settings({ HTTP_TOKEN_FILE: 'http-token' }).httpTokenFile).toBe(join(cwd, 'http-token'));
    expect(names({ HTTP_TOKEN: TOKEN, HTTP_TOKEN_FILE: 'http-token' })).toEqual(['HTTP_TOKEN']);
    expect(names({ HTTP_TOKEN: TOKEN.slice(0, 15) })).toEqual(['HTTP_TOKEN']);
    expect(names({ HTTP_TOKEN: 'with blanks and more' })).toEqual(['HTTP_TOKEN']);
    expect(names({ HTTP_TOKEN_FILE: 'gone' })).toEqual(['HTTP_TOKEN_FILE']);
    for (const content of ['', 'short\n', `${TOKEN}\n${TOKEN}\n`, 'with blanks and more', 'x'.repeat(5_000)]) {
      writeFileSync(join(cwd, 'http-token'), content);
      const [problem] = problems({ HTTP_TOKEN_FILE: 'http-token' });
      expect(problem?.name, content.slice(0, 30)).toBe('HTTP_TOKEN_FILE');
      expect(problem?.message).toMatch(/put (?:one line of at least 16|nothing but the token)/);
    }
    expect(problems({ HTTP_TOKEN_FILE: '/dev/zero' })[0]?.message).toMatch(/something else than a file/);
  });

  test('is asked for wherever other machines can reach the pages', () => {
    for (const HTTP_HOST of ['0.0.0.0', '::', '192.0.2.1', 'box-1.example.com', '2001:db8::1']) {
      const [problem] = problems({ HTTP_HOST });
      expect(problem?.name, HTTP_HOST).toBe('HTTP_HOST');
      expect(problem?.message).toMatch(/HTTP_TOKEN_FILE.*HTTP_HOST=127\.0\.0\.1.*HTTP_PORT=0/);
      expect(names({ HTTP_HOST, HTTP_TOKEN: TOKEN })).toEqual([]);
      expect(names({ HTTP_HOST, HTTP_PORT: '0' })).toEqual([]);
    }
    for (const HTTP_HOST of ['127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', 'localhost', 'Box.LOCALHOST']) {
      expect(names({ HTTP_HOST }), HTTP_HOST).toEqual([]);
    }
    // Of names that only look like it nothing is believed.
    for (const HTTP_HOST of ['localhost.example.com', 'mylocalhost', '127.0.0.1.example.com', '127.1']) {
      expect(names({ HTTP_HOST }), HTTP_HOST).toEqual(['HTTP_HOST']);
    }
  });
});

describe('secrets for tasks', () => {
  test('are looked through at the start, and need a directory to be in', () => {
    const dir = join(cwd, 'task-secrets');
    mkdirSync(dir, { mode: 0o700 });
    writeFileSync(join(dir, 'key'), 'long enough\n', { mode: 0o600 });
    writeFileSync(join(cwd, 'policy.json'), '{"secrets": {"key": {"labels": ["x"]}}}', { mode: 0o600 });
    expect(settings({ SECRETS_DIR: dir })).toMatchObject({ secretsDir: dir, secretsPolicyFile: null });
    const both = { SECRETS_DIR: dir, SECRETS_POLICY_FILE: 'policy.json' };
    expect(settings(both).secretsPolicyFile).toBe(join(cwd, 'policy.json'));
    expect(names({ SECRETS_POLICY_FILE: 'policy.json' })).toEqual(['SECRETS_POLICY_FILE']);
    writeFileSync(join(dir, 'pin'), '1234', { mode: 0o600 });
    writeFileSync(join(cwd, 'policy.json'), '{"secrets": {"key": {}}}');
    expect(names(both).toSorted()).toEqual(['SECRETS_DIR', 'SECRETS_POLICY_FILE']);
    expect(JSON.stringify(problems(both))).not.toContain('1234');
  });
});

describe('secrets', () => {
  test('never in problems', () => {
    const wrong: Record<string, string> = { DGRID_REPO_URL: `https://u:${SECRET}@git.example.com/x` };
    for (const name of OPTION_NAMES) wrong[name] ??= `"${SECRET}\u0007"`;
    const found = problems(wrong);
    expect(found.length).toBeGreaterThan(OPTION_NAMES.length - 3);
    expect(JSON.stringify(found)).not.toContain(SECRET);
  });

  test('never among the settings in force', () => {
    const loaded = loadSettings(input({ ...REPO, GIT_TOKEN: SECRET, WEBHOOK_SECRET: SECRET }));
    expect(loaded.ok && loaded.settings.git.token).toBe(SECRET);
    expect(loaded.ok && loaded.settings.webhookSecret).toBe(SECRET);
    const shown = settingsInForce(loaded);
    expect(JSON.stringify(shown)).not.toContain(SECRET);
    expect(shown.find((one) => one.name === 'GIT_TOKEN')).toMatchObject({ value: '***', text: '***', secret: true });
  });

  test('known for masking: token, webhook secret, their files, proxy password', () => {
    writeFileSync(join(cwd, 'token'), `${SECRET}\n`);
    const none = {
      git: { token: null, tokenFile: null },
      webhookSecret: null,
      webhookSecretFile: null,
      httpToken: null,
      httpTokenFile: null,
    };
    const file = join(cwd, 'token');
    expect(knownSecrets({ ...none, git: { token: null, tokenFile: file } }, {})).toEqual([SECRET]);
    expect(knownSecrets({ ...none, webhookSecretFile: file }, {})).toEqual([SECRET]);
    expect(knownSecrets({ ...none, httpTokenFile: file }, {})).toEqual([SECRET]);
    expect(knownSecrets({ ...none, httpToken: SECRET }, {})).toEqual([SECRET]);
    expect(
      knownSecrets(
        { ...none, git: { token: 'abcd', tokenFile: join(cwd, 'gone') }, webhookSecret: 'hook-secret' },
        { https_proxy: 'http://u:p%40ss@proxy:1' },
      ),
    ).toEqual(['abcd', 'hook-secret', 'p%40ss', 'p@ss']);
  });
});

test('settings in force: units, sources, what is wrong', () => {
  const loaded = loadSettings(input({ ...REPO, PULL_INTERVAL: '2.5', HTTP_PORT: 'x', NODE_LABELS: 'a,b' }));
  const shown = new Map(settingsInForce(loaded).map((one) => [one.name, one]));
  expect(shown.size).toBe(OPTION_NAMES.length);
  expect(shown.get('PULL_INTERVAL')).toMatchObject({ value: 2.5, text: '2.5', unit: 'seconds', source: 'environment' });
  expect(shown.get('DOCKER_MEMORY')).toMatchObject({
    value: 536_870_912,
    text: '512m',
    unit: 'bytes',
    source: 'default',
  });
  expect(shown.get('NODE_LABELS')).toMatchObject({ value: ['a', 'b'], text: 'a,b', valid: true });
  expect(shown.get('HTTP_PORT')).toMatchObject({ value: null, valid: false });
});

describe('the client', () => {
  test('needs the repository alone, and minds no setting of the worker', () => {
    const env = { ...REPO, NODE_ID: 'NO!', DOCKER_MEMORY: 'x', ENABLE_TASK_SIGNING: 'true', NODE_TTL: '1' };
    const loaded = loadClientSettings(input(env, { flags: { DGRID_REPO_URL: '/srv/tasks.git' } }));
    expect(loaded).toMatchObject({ ok: true, settings: { git: { repoUrl: '/srv/tasks.git' }, refNamespace: 'auto' } });
  });
  test('still checks what it reads', () => {
    const loaded = loadClientSettings(input({ GIT_COMMAND_TIMEOUT: 'x', DGRID_REPO_ULR: 'x' }));
    expect(loaded.ok ? [] : loaded.problems.map((problem) => problem.name)).toEqual([
      'DGRID_REPO_ULR',
      'DGRID_REPO_URL',
      'GIT_COMMAND_TIMEOUT',
    ]);
  });
});

describe('the filter in front of the engine', () => {
  // One file for both, of which each may read what it needs.
  const shared = { ...REPO, GIT_TOKEN_FILE: '/nowhere/token', WEBHOOK_SECRET: 'x', HTTP_PORT: '0', NODE_TTL: '1' };

  test('reads the rules for containers as the worker does, and no secrets of its', () => {
    expect(loadSettings(input(shared)).ok).toBe(false);
    const loaded = loadFilterSettings(
      input({ ...shared, DOCKER_MEMORY: '64m', DOCKER_WORK_SIZE: '1m' }, { flags: { DGRID_STATE_DIR: '/filter' } }),
    );
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    expect(loaded.settings).toMatchObject({ repoUrl: REPO.DGRID_REPO_URL, nodeId: 'box-1', stateDir: '/filter' });
    expect(loaded.settings.docker).toEqual(settings({ DOCKER_MEMORY: '64m', DOCKER_WORK_SIZE: '1m' }).docker);
    expect(loaded.settings).not.toHaveProperty('git');
  });

  test('takes the limits of a profile', () => {
    const loaded = loadFilterSettings(input({ ...REPO, DGRID_PROFILE: 'low-resource' }));
    expect(loaded.ok && loaded.settings.docker.memoryBytes).toBe(256 * 1024 ** 2);
  });

  test.each([
    [{ DOCKER_CPUS: 'many' }, 'DOCKER_CPUS'],
    [{ DOCKER_WORK_SIZE: '1g' }, 'DOCKER_WORK_SIZE'],
    [{ NODE_ID: 'A B' }, 'NODE_ID'],
    [{ DGRID_NO_SUCH: '1' }, 'DGRID_NO_SUCH'],
  ])('refuses %j', (env, name) => {
    const loaded = loadFilterSettings(input({ ...REPO, ...env }));
    expect(loaded.ok ? [] : loaded.problems.map((problem) => problem.name)).toEqual([name]);
  });
});

describe('what an operator allows', () => {
  test('is read for checking on any machine, whatever else the file says', () => {
    writeFileSync(
      join(cwd, 'worker.env'),
      'DGRID_PROFILE=low-resource\nALLOWED_IMAGES=busybox:*\nDOCKER_CPUS=2\nDOCKER_CERT_PATH=/not/here\nNODE_ID=A B\n',
    );
    const loaded = loadPolicySettings(input({}, { envFile: 'worker.env' }));
    expect(loaded).toMatchObject({
      ok: true,
      settings: {
        allowedImages: ['busybox:*'],
        network: 'none',
        allowedNetworks: [],
        cpus: 2,
        memoryBytes: 256 * 1024 ** 2,
        maxTaskBytes: defaultMaxTaskBytes(machine),
      },
    });
    expect(defaultMaxTaskBytes(machine)).toBe(256 * 1024);
  });

  test('is refused where it cannot be read', () => {
    const problems = (env: Record<string, string>) => {
      const loaded = loadPolicySettings(input(env));
      return loaded.ok ? [] : loaded.problems.map(({ name }) => name);
    };
    expect(problems({ DOCKER_CPUS: 'many', DGRID_NO_SUCH: '1' })).toEqual(['DGRID_NO_SUCH', 'DOCKER_CPUS']);
  });
});
