/** From a new key to a verified result, by the programs that people use, on a real container engine. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ProgramEnd, runClient } from '../support/client-program.ts';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const LIMIT_MS = 90_000;

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('e2e-signing');
});

afterAll(async () => {
  await server.stop();
  const leftovers = await engine.countLeftovers();
  await engine.stop();
  directory.remove();
  expect(leftovers).toBe(0);
});

it('signs tasks and results, and believes nothing else', { timeout: LIMIT_MS }, async () => {
  const repo = new TaskRepository(await server.createRepository('signing'));
  const url = server.url('signing');
  const home = directory.sub('user');
  mkdirSync(home, { recursive: true });
  const env = { DGRID_REPO_URL: url, TRUSTED_KEYS_FILE: join(home, 'nodes') };
  const dgrid = (args: readonly string[], more: object = env): Promise<ProgramEnd> =>
    runClient(args, { home, env: more as Record<string, string> });
  const ok = async (...args: string[]): Promise<string> => {
    const end = await dgrid(args, {});
    expect(end, args.join(' ')).toMatchObject({ code: 0, err: '' });
    return end.out;
  };

  expect(await ok('keys', 'generate', 'alice', '--comment', 'alice')).toContain('ssh-ed25519 ');
  await ok('keys', 'generate', 'new/dir/mallory');
  await ok('keys', 'generate', 'box');
  await ok('keys', 'trust', 'alice@example.com', 'alice.pub', '--file', 'people');
  await ok('keys', 'trust', 'mallory', 'new/dir/mallory.pub', '--file', 'people', '--until', '2090-01-01T00:00:00Z');
  await ok('keys', 'revoke', 'new/dir/mallory.pub', '--file', 'revoked');
  await ok('keys', 'generate', 'bob');
  await ok('keys', 'trust', 'bob@example.com', 'bob.pub', '--file', 'people');
  mkdirSync(join(home, 'secrets'), { mode: 0o700 });
  writeFileSync(join(home, 'secrets', 'token'), 'a-canary-that-is-secret', { mode: 0o600 });
  writeFileSync(join(home, 'policy.json'), '{"secrets":{"token":{"signers":["alice@*"]}}}', { mode: 0o600 });
  await ok('keys', 'trust', 'box', 'box.pub', '--for', 'results', '--file', 'nodes');
  const before = readFileSync(join(home, 'people'), 'utf8');
  expect(await ok('keys', 'trust', 'alice@example.com', 'alice.pub', '--file', 'people')).toContain('already');
  expect(readFileSync(join(home, 'people'), 'utf8')).toBe(before);
  const listed = JSON.parse(await ok('keys', 'list', '--file', 'people', '--revoked', 'revoked', '--json')) as object;
  expect(listed).toMatchObject({
    keys: [
      { names: 'alice@example.com', fingerprint: expect.stringMatching(/^SHA256:/) as string, revoked: false },
      { names: 'mallory', revoked: true, rules: expect.stringContaining('valid-before="20900101000000Z"') as string },
      { names: 'bob@example.com', revoked: false },
    ],
    problems: [],
  });
  // What is there stays as it is, and what is wrong has a name.
  const key = readFileSync(join(home, 'alice'), 'utf8');
  expect(await dgrid(['keys', 'generate', 'alice'])).toMatchObject({ code: 1 });
  expect(readFileSync(join(home, 'alice'), 'utf8')).toBe(key);
  expect(await dgrid(['keys', 'trust', 'a', 'alice', '--file', 'people'])).toMatchObject({ code: 2 });
  expect(await dgrid(['keys', 'trust', '*', 'alice.pub', '--file', 'people'])).toMatchObject({ code: 2 });
  expect(await dgrid(['keys', 'list'], {})).toMatchObject({
    code: 2,
    err: expect.stringContaining('--file') as string,
  });

  await using worker = WorkerProcess.start({
    directory: directory.path,
    name: 'box',
    repoUrl: url,
    dockerHost: engine.host,
    env: {
      PULL_INTERVAL: '0.3',
      ENABLE_TASK_SIGNING: 'true',
      TRUSTED_KEYS_FILE: join(home, 'people'),
      REVOKED_KEYS_FILE: join(home, 'revoked'),
      NODE_SIGNING_KEY_FILE: join(home, 'box'),
      SECRETS_DIR: join(home, 'secrets'),
      SECRETS_POLICY_FILE: join(home, 'policy.json'),
    },
  });
  const long = 'i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done';
  const submit = (id: string, ...args: string[]) => dgrid(['submit', '--id', id, '--script', long, ...args, '--wait']);
  expect(await submit('good', '--sign', 'alice', '--expires', '0.5')).toMatchObject({ code: 0 });
  expect(await submit('unsigned')).toMatchObject({ code: 3 });
  expect(await submit('revoked', '--sign', 'new/dir/mallory')).toMatchObject({ code: 3 });
  expect(await submit('early', '--sign', 'alice', '--not-before', '2090-01-01T00:00:00Z')).toMatchObject({ code: 3 });
  expect(await submit('nowhere', '--sign', 'no-such-key')).toMatchObject({
    code: 1,
    err: expect.stringContaining('nothing was queued') as string,
  });
  expect(await submit('when', '--expires', '3')).toMatchObject({ code: 2 });
  expect(worker.entries('task.started')).toHaveLength(1);
  // What somebody may have depends on whose signature it is.
  const asking = { script: 'wc -c <"$DGRID_SECRETS_DIR/token"; cat "$DGRID_SECRETS_DIR/token"', secrets: ['token'] };
  for (const [signer, code] of [
    ['alice', 0],
    ['bob', 3],
  ] as const) {
    const file = join(home, `asks-${signer}.json`);
    writeFileSync(file, JSON.stringify({ task_id: `asks-${signer}`, ...asking }));
    expect(await dgrid(['submit', file, '--sign', signer, '--wait']), signer).toMatchObject({ code });
  }
  expect(worker.entries('task.started')).toHaveLength(2);
  expect(existsSync(join(directory.path, 'box', 'state', 'signed-starts.jsonl'))).toBe(true);

  await until(
    'all to be recorded',
    async () =>
      (await repo.files()).filter((path) => /^tasks\/(completed|failed)\/.*\.json\.sig$/.test(path)).length === 6,
    LIMIT_MS,
  );
  expect(await repo.record('asks-alice')).toMatchObject({ stdout: `23\n${'*'.repeat(23)}`, status: 'success' });
  expect(await repo.record('asks-bob')).toMatchObject({ reason: 'rejected', signer: 'bob@example.com' });
  expect(await repo.record('good')).toMatchObject({ signer: 'alice@example.com', status: 'success' });
  const shown = await dgrid(['show', 'good', '--verify']);
  expect(shown).toMatchObject({ code: 0, out: expect.stringContaining('signature good, by box') as string });
  expect(JSON.parse((await dgrid(['show', 'unsigned', '--verify', '--json'])).out)).toMatchObject({
    signature: { good: true, signer: 'box' },
    result: { reason: 'rejected' },
  });
  expect(await dgrid(['show', 'good', '--verify'], { DGRID_REPO_URL: url })).toMatchObject({ code: 2 });

  // What somebody else writes into the repository is found out: the record, its log, a record of another node.
  const path = 'tasks/completed/good.json';
  const original = await git(repo.path, ['show', `main:${path}`]);
  const log = 'tasks/completed/good/stdout.log';
  const tampered: [Record<string, string | null>, string][] = [
    [{ [path]: original.replace('"line 0', '"LINE 0') }, 'signature is not accepted'],
    [{ [path]: `${original}\n`, [log]: 'nothing happened\n' }, 'stdout.log is not the one that was signed'],
    [{ [log]: null }, 'stdout.log is not the one that was signed'],
    [{ [`${path}.sig`]: null }, 'it is not signed'],
  ];
  for (const [files, why] of tampered) {
    await repo.commit(files, 'tamper');
    const end = await dgrid(['show', 'good', '--verify']);
    expect(end, why).toMatchObject({ code: 1, out: expect.stringContaining(`signature NOT good: `) as string });
    expect(end.out).toContain(why);
  }
  expect(await worker.stop()).toBe(0);
});
