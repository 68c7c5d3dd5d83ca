/**
 * Secrets of the operator's, by a real worker: who gets them, who does not and hears nothing of why, and that they show
 * nowhere, whatever the tasks and the worker do.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodedShapes } from '../../src/secrets/shapes.ts';
import { PrivateEngine } from '../support/engine.ts';
import { git, initBare } from '../support/git.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const CANARY = 'canary-58be/2f0+91ac-74';
const SHAPES = [CANARY, ...encodedShapes(Buffer.from(CANARY))];

let engine: PrivateEngine;
let directory: TempDir;
let secretsDir: string;
let policyFile: string;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  directory = makeTempDir('task-secrets');
  secretsDir = directory.sub('secrets');
  mkdirSync(secretsDir, { mode: 0o700, recursive: true });
  writeFileSync(join(secretsDir, 'deploy'), `${CANARY}\n`, { mode: 0o600 });
  writeFileSync(join(secretsDir, 'signed-only'), 'another-canary-1', { mode: 0o600 });
  writeFileSync(join(secretsDir, 'for-nobody'), 'another-canary-2', { mode: 0o600 });
  policyFile = directory.sub('policy.json');
  const secrets = { deploy: { labels: ['trusted'] }, 'signed-only': { signers: ['*'] }, gone: { labels: ['trusted'] } };
  writeFileSync(policyFile, JSON.stringify({ secrets }), { mode: 0o644 });
});

afterAll(async () => {
  await engine.stop();
  directory.remove();
});

async function newRepository(name: string): Promise<TaskRepository> {
  const path = directory.sub(`${name}.git`);
  await initBare(path);
  return new TaskRepository(path);
}

function expectAbsent(where: string, text: string): void {
  const flat = text.replaceAll('\n', '').replaceAll('\\n', '');
  for (const shape of [...SHAPES, 'another-canary']) {
    expect({ where, shape, found: flat.includes(shape) }).toEqual({ where, shape, found: false });
  }
}

function start(name: string, repo: TaskRepository, env: Record<string, string> = {}, args: string[] = []) {
  return WorkerProcess.start({
    directory: directory.path,
    name,
    repoUrl: repo.path,
    dockerHost: engine.host,
    env: {
      LOG_LEVEL: 'trace',
      NODE_LABELS: 'trusted',
      SECRETS_DIR: secretsDir,
      SECRETS_POLICY_FILE: policyFile,
      WARM_POOL_SIZE: '1',
      ...env,
    },
    args,
  });
}

async function expectNowhere(name: string, repo: TaskRepository, worker: WorkerProcess): Promise<void> {
  expectAbsent('log', worker.output);
  const everything = await git(repo.path, ['cat-file', '--batch-all-objects', '--batch', '--buffer']);
  expect(everything.length).toBeGreaterThan(1_000);
  expectAbsent('objects of the repository', everything);
  expectAbsent('refs', await git(repo.path, ['for-each-ref', '--format=%(refname) %(contents)']));
  for (const path of filesBelow(directory.sub(name, 'state'))) {
    expectAbsent(path, readFileSync(path).toString('latin1'));
  }
}

describe('secrets by name', () => {
  it('reach the tasks that may have them, and show nowhere', async () => {
    const repo = await newRepository('given');
    const requires = ['trusted'];
    const secrets = ['deploy'];
    const file = '"$DGRID_SECRETS_DIR/deploy"';
    await repo.queue({
      prints: { script: `cat ${file}; base64 ${file}; cat ${file} >&2; env; exit 0`, requires, secrets },
      fails: { script: `cat ${file}; exit 7`, requires, secrets, retries: 1 },
      floods: { script: `i=0; while [ $i -lt 2000 ]; do cat ${file}; i=$((i + 1)); done`, requires, secrets },
      has: { script: `[ "$(wc -c <${file})" -eq ${CANARY.length + 1} ]`, requires, secrets },
      unlabelled: { script: `cat ${file}`, secrets },
      unsigned: { script: 'true', requires, secrets: ['signed-only'] },
      denied: { script: 'true', requires, secrets: ['for-nobody'] },
      absent: { script: 'true', requires, secrets: ['no-such'] },
      gone: { script: 'true', requires, secrets: ['gone'] },
      program: { command: ['/bin/true'], requires, secrets },
      plain: { script: 'echo "${DGRID_SECRETS_DIR-unset}"; ls -A /dgrid-secrets' },
    });
    const worker = start('given', repo, {}, ['--until-idle']);
    expect(await worker.exit()).toBe(0);
    const mask = '*'.repeat(CANARY.length);
    const prints = await repo.record('prints');
    expect(prints).toMatchObject({ status: 'success', stderr: `${mask}\n`, stderr_bytes: CANARY.length + 1 });
    expect(prints?.stdout.startsWith(`${mask}\n***`)).toBe(true);
    expect(await repo.record('fails')).toMatchObject({
      reason: 'exit-code',
      exit_code: 7,
      stdout: `${mask}\n`,
      attempt: 2,
    });
    expect(await repo.record('floods')).toMatchObject({
      status: 'success',
      stdout_bytes: 2000 * (CANARY.length + 1),
      stdout_truncated: true,
    });
    expect(await repo.record('has')).toMatchObject({ status: 'success' });
    expect(await repo.record('plain')).toMatchObject({ stdout: 'unset\n' });
    expect(await repo.record('program')).toMatchObject({
      reason: 'rejected',
      message: expect.stringContaining('script'),
    });
    // Nobody learns from a record which secrets there are.
    const messages = new Set<string>();
    for (const id of ['unsigned', 'denied', 'absent', 'gone']) {
      const record = await repo.record(id);
      expect(record).toMatchObject({ reason: 'rejected', stdout: '' });
      messages.add(record?.message.replace(/"[^"]+"/, 'NAME') ?? '');
    }
    expect(messages.size).toBe(1);
    expect(await repo.record('unlabelled')).toMatchObject({ reason: 'rejected' });
    // The operator does.
    const why = Object.assign({}, ...worker.entries('secret.refused').map((entry) => entry['refused'])) as object;
    expect(why).toMatchObject({
      deploy: 'requires no label of it',
      'signed-only': 'not for an unsigned task',
      'for-nobody': 'not in the policy',
      'no-such': 'not in the policy',
      gone: expect.stringContaining('does not exist'),
    });
    expect(worker.entries('secret.granted').length).toBeGreaterThanOrEqual(5);
    await expectNowhere('given', repo, worker);
  });

  it('do not show when a worker dies, and the next one takes the task up without knowing them', async () => {
    const repo = await newRepository('adopted');
    const script = 'cat "$DGRID_SECRETS_DIR/deploy"; sleep 6; cat "$DGRID_SECRETS_DIR/deploy"; exit 3';
    await repo.queue({ long: { script, requires: ['trusted'], secrets: ['deploy'] } });
    const first = start('adopted', repo, { WARM_POOL_SIZE: '0' });
    await first.logged('task.started');
    await engine.printed('long', CANARY);
    await first.stop('SIGKILL');
    writeFileSync(join(secretsDir, 'deploy'), 'a-new-one-by-now', { mode: 0o600 });
    try {
      const second = start('adopted', repo, { WARM_POOL_SIZE: '0' }, ['--until-idle']);
      expect(await second.exit()).toBe(0);
      expect(second.entries('task.adopted')).toHaveLength(1);
      expect(await repo.record('long')).toMatchObject({
        reason: 'exit-code',
        exit_code: 3,
        attempt: 1,
        stdout: '',
        stdout_bytes: 2 * (CANARY.length + 1),
        stdout_truncated: true,
        message: expect.stringContaining('its output is left out'),
      });
      expectAbsent('log of the first', first.output);
      await expectNowhere('adopted', repo, second);
    } finally {
      writeFileSync(join(secretsDir, 'deploy'), `${CANARY}\n`, { mode: 0o600 });
    }
  });

  it('stop the start when they lie open or are too short, and are not repeated', async () => {
    const repo = await newRepository('open');
    const bad = directory.sub('bad-secrets');
    mkdirSync(bad, { mode: 0o700, recursive: true });
    writeFileSync(join(bad, 'open'), CANARY, { mode: 0o644 });
    writeFileSync(join(bad, 'short'), 'abc4567', { mode: 0o600 });
    writeFileSync(directory.sub('bad.json'), JSON.stringify({ secrets: { a: { signer: 'x' } } }), { mode: 0o600 });
    const worker = start('open', repo, { SECRETS_DIR: bad, SECRETS_POLICY_FILE: directory.sub('bad.json') });
    expect(await worker.exit()).toBe(2);
    for (const text of ['SECRETS_DIR', 'chmod go=', 'shorter than 8 characters', 'SECRETS_POLICY_FILE', '"signer"']) {
      expect(worker.output).toContain(text);
    }
    expect(worker.output).not.toContain('abc4567');
    expectAbsent('the error', worker.output);
  });
});

function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
