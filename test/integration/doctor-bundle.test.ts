/**
 * The bundle of `dgrid-worker doctor`, unpacked: a canary of every kind of secret is planted, in the places that the settings
 * name and in the log in every shape, and none may show in any byte. And it is made also when everything is broken.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodedShapes } from '../../src/secrets/shapes.ts';
import { freePort } from '../support/free-port.ts';
import { GitServer } from '../support/git-server.ts';
import { type ProgramEnd, tryProgram } from '../support/programs.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/dgrid-worker');
const LIMIT_MS = 120_000;

const CANARIES = {
  gitToken: 'Canary-git-token-51e7a8',
  webhook: 'Canary-webhook-secret-9f31',
  registry: 'Canary:registry password&more',
  taskSecret: 'Canary task secret "quoted"',
  taskSecretLine: 'Canary-second-line-of-a-secret',
  proxy: 'Canary%2Fproxy%20word',
  environment: 'Canary-environment-0b62',
  httpToken: 'Canary-http-token-77aa',
  inUrl: 'Canary-in-an-address-4411',
} as const;
const HOST = 'git-host-of-ours.example';

let directory: TempDir;
let server: GitServer;
let signingKey: string;
let count = 0;

beforeAll(async () => {
  directory = makeTempDir('doctor-bundle');
  server = await GitServer.start({ auth: { user: 'x-access-token', token: CANARIES.gitToken } });
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', directory.sub('node-key')]);
  signingKey = readFileSync(directory.sub('node-key'), 'utf8');
});
afterAll(async () => {
  await server.stop();
  directory.remove();
});

function plant(name: string, content: string, mode = 0o600): string {
  writeFileSync(directory.sub(name), content, { mode });
  return directory.sub(name);
}

/** Secrets everywhere where an operator may put them. */
function planted(): Record<string, string> {
  mkdirSync(directory.sub('secrets'), { recursive: true, mode: 0o700 });
  mkdirSync(directory.sub('docker'), { recursive: true });
  plant('secrets/npm', `${CANARIES.taskSecret}\n${CANARIES.taskSecretLine}\n`);
  const auth = Buffer.from(`robot:${CANARIES.registry}`).toString('base64');
  plant('docker/config.json', JSON.stringify({ auths: { 'registry.example': { auth } } }));
  return {
    GIT_TOKEN_FILE: plant('token', `${CANARIES.gitToken}\n`),
    WEBHOOK_SECRET: CANARIES.webhook,
    NODE_SIGNING_KEY_FILE: directory.sub('node-key'),
    SECRETS_DIR: directory.sub('secrets'),
    SECRETS_POLICY_FILE: plant('policy.json', '{"secrets":{"npm":{"labels":["x"]}}}'),
    DOCKER_CONFIG: directory.sub('docker'),
    http_proxy: `http://user:${CANARIES.proxy}@proxy.example:3128`,
    SOME_API_KEY: CANARIES.environment,
    HTTP_TOKEN_OF_ANOTHER: CANARIES.httpToken,
    NO_PROXY: '127.0.0.1,localhost',
  };
}

/** Every canary as it may slip into a log. */
function leakyLog(): string {
  const secrets = [
    ...Object.values(CANARIES).filter((canary) => canary !== CANARIES.inUrl),
    decodeURIComponent(CANARIES.proxy),
  ];
  const lines = secrets.flatMap((secret) => [
    JSON.stringify({ level: 'error', event: 'x', err: { message: `it said ${secret}`, stack: [secret] }, [secret]: 1 }),
    `plain ${secret} and ${encodeURIComponent(secret)}`,
    `Authorization: Basic ${Buffer.from(`x-access-token:${secret}`).toString('base64')}`,
    Buffer.from(secret).toString('hex'),
  ]);
  return [
    ...lines,
    `https://someone:${CANARIES.inUrl}@elsewhere.example/x`,
    signingKey,
    JSON.stringify({ event: 'task.started', task: 'customer-secret-project', node: 'box-of-ours', host: HOST }),
    `getaddrinfo ENOTFOUND ${HOST} from 192.0.2.77`,
    'the last line of the log',
  ].join('\n');
}

interface Bundled {
  end: ProgramEnd;
  path: string;
  files: Map<string, Buffer>;
  json: (name: string) => unknown;
}

async function bundle(env: Record<string, string>, ...args: string[]): Promise<Bundled> {
  const home = directory.sub(`home${(count += 1)}`);
  mkdirSync(home, { recursive: true });
  const path = join(home, 'b.tar.gz');
  const all = hermeticEnv(home, {
    DGRID_STATE_DIR: join(home, 'state'),
    NODE_ID: 'box-of-ours',
    DOCKER_HOST: 'unix:///nowhere',
    HTTP_PORT: '0',
    ENGINE_CALL_TIMEOUT: '1',
    RETRY_ATTEMPTS: '1',
    ...env,
  });
  const end = await tryProgram(PROGRAM, ['doctor', '--bundle', path, ...args], { cwd: home, env: all });
  const files = new Map<string, Buffer>();
  if (end.code === 0) {
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
    const into = join(home, 'unpacked');
    mkdirSync(into);
    execFileSync('tar', ['-xzf', path, '-C', into]);
    for (const name of readdirSync(join(into, 'dgrid-bundle')))
      files.set(name, readFileSync(join(into, 'dgrid-bundle', name)));
    expect([...files.keys()]).toContain('manifest.json');
  }
  return { end, path, files, json: (name) => JSON.parse(files.get(name)?.toString('utf8') ?? 'null') as unknown };
}

function expectNoCanary({ files, end }: Bundled): void {
  const keyLines = signingKey.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'));
  expect(keyLines.length).toBeGreaterThan(1);
  const secrets = [...Object.values(CANARIES), decodeURIComponent(CANARIES.proxy), ...keyLines];
  const all = [
    ...files,
    ['standard output', Buffer.from(end.stdout)],
    ['standard error', Buffer.from(end.stderr)],
  ] as const;
  for (const [name, bytes] of all) {
    for (const secret of secrets) {
      for (const shape of [secret, ...encodedShapes(Buffer.from(secret))]) {
        expect(bytes.includes(shape), `${shape} in ${name}`).toBe(false);
      }
    }
  }
}

describe('a bundle', () => {
  it('has what a maintainer asks for, and no secret of any kind in any byte', { timeout: LIMIT_MS }, async () => {
    const name = `b${count}`;
    const repo = new TaskRepository(await server.createRepository(name));
    await repo.queue({
      'customer-secret-project': { script: 'echo script-of-a-customer', env: { A: 'value-of-a-customer' } },
    });
    const log = plant('worker.log', leakyLog());
    const port = { HTTP_PORT: String(await freePort()) };
    const made = await bundle({ ...planted(), ...port, DGRID_REPO_URL: server.url(name), LOG_FILE: log });
    expect(made.end, made.end.stderr).toMatchObject({ code: 0 });
    expectNoCanary(made);

    const shown = made.files.get('log.txt')?.toString('utf8') ?? '';
    expect(shown).toContain('the last line of the log');
    expect(shown).toContain('it said ***');
    const text = Buffer.concat([...made.files.values()]).toString('utf8');
    // What tasks hold, and the names of those who are concerned.
    for (const hidden of [
      'of-a-customer',
      'customer-secret',
      'box-of-ours',
      HOST,
      '192.0.2.77',
      server.url(name),
      // Two letters stand in many words.
      ...(hostname().length > 2 ? [hostname()] : []),
    ]) {
      expect(text.includes(hidden), hidden).toBe(false);
    }
    expect(made.json('doctor.json')).toMatchObject({
      checks: expect.arrayContaining([
        expect.objectContaining({ check: 'compare-and-swap', outcome: 'ok' }),
      ]) as unknown,
    });
    expect(made.json('grid.json')).toMatchObject({ queue: { pending: 1 } });
    expect(made.json('git.json')).toMatchObject({ server: { fetch: { protocol: 2 } } });
    const settings = made.json('settings.json') as { settings: { name: string; text: string }[]; problems: unknown[] };
    expect(settings.problems).toEqual([]);
    expect(settings.settings.find((setting) => setting.name === 'WEBHOOK_SECRET')?.text).toBe('***');
    const manifest = made.json('manifest.json') as { files: { file: string; bytes: number; secrets_masked: number }[] };
    for (const { file, bytes } of manifest.files) expect(bytes, file).toBe(made.files.get(file)?.length ?? 0);
    expect(manifest.files.find(({ file }) => file === 'log.txt')?.secrets_masked).toBeGreaterThan(20);
    // To whoever made it, it says what stands for what.
    expect(made.end.stdout).toMatch(/node-\d+ {2}box-of-ours/);
  });

  it('leaves names as they are where that is wished, and secrets never', { timeout: LIMIT_MS }, async () => {
    const name = `b${count}`;
    await new TaskRepository(await server.createRepository(name)).commit({ 'README.md': 'x' });
    const log = plant('worker.log', leakyLog());
    const port = { HTTP_PORT: String(await freePort()) };
    const env = { ...planted(), ...port, DGRID_REPO_URL: server.url(name), LOG_FILE: log };
    const made = await bundle(env, '--keep-names', '--log-lines', '2', '--only', 'git');
    expect(made.end).toMatchObject({ code: 0 });
    expectNoCanary(made);
    expect(made.files.get('log.txt')?.toString()).toBe(
      `getaddrinfo ENOTFOUND ${HOST} from 192.0.2.77\nthe last line of the log\n`,
    );
    expect(made.files.get('settings.json')?.toString()).toContain(server.url(name));
  });

  it('is made when everything is broken, and says of each part why it is not there', {
    timeout: LIMIT_MS,
  }, async () => {
    const state = directory.sub('broken-state');
    mkdirSync(join(state, 'outbox'), { recursive: true });
    writeFileSync(join(state, 'outbox', `a.${'0'.repeat(40)}.result`), 'half of an en');
    writeFileSync(join(state, 'outbox', 'b.result.damaged'), CANARIES.gitToken);
    mkdirSync(join(state, 'quota.json'));
    const gone = await freePort();
    const made = await bundle({
      ...planted(),
      DGRID_REPO_URL: `http://127.0.0.1:${gone}/tasks.git`,
      DGRID_STATE_DIR: state,
      LOG_FILE: directory.sub('never-written.log'),
      HTTP_PORT: String(gone),
    });
    expect(made.end, made.end.stderr).toMatchObject({ code: 0 });
    expectNoCanary(made);
    const { files } = made.json('manifest.json') as { files: { file: string; problem: string | null }[] };
    const problems = new Map(files.map(({ file, problem }) => [file, problem]));
    for (const file of ['engine.json', 'containers.json', 'health.json', 'grid.json', 'log.txt'])
      expect(problems.get(file), file).toBeTruthy();
    for (const file of ['doctor.json', 'machine.json', 'disks.json', 'state-directory.json'])
      expect(problems.get(file), file).toBeNull();
    const { checks } = made.json('doctor.json') as { checks: { check: string; outcome: string; finding: string }[] };
    const outcome = (check: string): unknown => checks.find((found) => found.check === check)?.outcome;
    expect([outcome('repository'), outcome('container engine'), outcome('outbox')]).toEqual([
      'broken',
      'broken',
      'warning',
    ]);
  });

  it('is made of settings that are wrong, too', { timeout: LIMIT_MS }, async () => {
    const made = await bundle({ ...planted(), DGRID_REPO_URL: '', MAX_PARALLEL_TASKS: 'many', DGRID_TYPO: 'x' });
    expect(made.end, made.end.stderr).toMatchObject({ code: 0 });
    expectNoCanary(made);
    const { problems } = made.json('settings.json') as { problems: { name: string }[] };
    expect(problems.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['DGRID_REPO_URL', 'MAX_PARALLEL_TASKS', 'DGRID_TYPO']),
    );
    expect(made.json('machine.json')).toMatchObject({ cores: expect.any(Number) as number });
  });

  it('takes the place of nothing, and says so where it cannot be written', { timeout: LIMIT_MS }, async () => {
    const home = directory.sub('home-taken');
    mkdirSync(home);
    writeFileSync(join(home, 'b.tar.gz'), 'mine');
    const env = hermeticEnv(home, { DGRID_REPO_URL: '' });
    const run = (file: string) => tryProgram(PROGRAM, ['doctor', '--bundle', file], { cwd: home, env });
    expect(await run('b.tar.gz')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is not replaced') as string,
    });
    expect(readFileSync(join(home, 'b.tar.gz'), 'utf8')).toBe('mine');
    expect(await run('/nowhere/b.tar.gz')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('/nowhere/b.tar.gz') as string,
    });
    const usual = await tryProgram(PROGRAM, ['doctor', '--json', '--bundle'], {
      cwd: home,
      env: { ...env, NODE_ID: 'box-9' },
    });
    expect(usual.code).toBe(0);
    expect(readdirSync(home).filter((name) => /^dgrid-bundle-box-9-\d{8}T\d{6}Z\.tar\.gz$/.test(name))).toHaveLength(1);
    const wrong = ['--only', 'everything'];
    expect(await tryProgram(PROGRAM, ['doctor', ...wrong], { cwd: home, env })).toMatchObject({ code: 2 });
    expect(await tryProgram(PROGRAM, ['doctor', '--keep-names'], { cwd: home, env })).toMatchObject({ code: 2 });
  });

  it('and doctor itself say what the worker says that runs there', { timeout: LIMIT_MS }, async () => {
    server.auth = null;
    const name = `b${count}`;
    await new TaskRepository(await server.createRepository(name)).commit({ 'README.md': 'x' });
    const port = String(await freePort());
    // A day that today is not, and will not be while this runs.
    const otherDay = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][(new Date().getUTCDay() + 3) % 7];
    const env = { HTTP_PORT: port, ACTIVE_HOURS: `${otherDay} 00:00-24:00`, LOG_LEVEL: 'info' };
    await using worker = StubWorkerProcess.start({
      directory: directory.path,
      name: 'box-of-ours',
      repoUrl: server.url(name),
      env,
    });
    await worker.logged('worker.ready');
    const state = join(directory.path, 'box-of-ours', 'state');
    const made = await bundle({ ...env, DGRID_REPO_URL: server.url(name), DGRID_STATE_DIR: state }, '--json');
    expect(made.json('health.json')).toMatchObject({ state: 'running', paused: [{ reason: 'hours' }] });
    const { checks } = made.json('doctor.json') as { checks: { check: string; outcome: string; finding: string }[] };
    const found = new Map(checks.map((check) => [check.check, check]));
    expect(found.get('worker')?.finding).toContain(`process ${worker.pid}`);
    expect(found.get('running worker')).toMatchObject({
      outcome: 'warning',
      finding: expect.stringContaining('hours') as string,
    });
    expect(found.get('own id')).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('from this machine') as string,
    });
    // It was only looked at.
    expect(worker.ended).toBe(false);
    expect(await worker.stop()).toBe(0);
  });
});
