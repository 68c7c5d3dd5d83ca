/**
 * `dgrid logs --follow` beside real workers and a real container engine: what is seen while a task runs, that each byte comes
 * once, what becomes of it when a worker dies, and that no secret shows in anything that was ever pushed.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodedShapes } from '../../src/secrets/shapes.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { startClient } from '../support/client-program.ts';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const SECRET = 'canary-58be/2f0+91ac-74';
const WAIT_MS = 60_000;
/** Each printed before the next, with pauses that are longer than those between batches. */
const TEN_LINES = 'for i in 0 1 2 3 4 5 6 7 8 9; do echo "line $i"; sleep 0.4; done';
const TEN = Array.from({ length: 10 }, (_, line) => `line ${line}\n`).join('');

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;
let secretsDir: string;
let policyFile: string;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('e2e-follow');
  secretsDir = directory.sub('secrets');
  mkdirSync(secretsDir, { mode: 0o700, recursive: true });
  writeFileSync(join(secretsDir, 'deploy'), SECRET, { mode: 0o600 });
  policyFile = directory.sub('policy.json');
  writeFileSync(policyFile, JSON.stringify({ secrets: { deploy: { labels: ['trusted'] } } }), { mode: 0o644 });
});

afterAll(async () => {
  await server.stop();
  const leftovers = await engine.countLeftovers();
  await engine.stop();
  directory.remove();
  expect(leftovers).toBe(0);
});

function start(name: string, repoUrl: string, env: Record<string, string> = {}, args: string[] = []): WorkerProcess {
  return WorkerProcess.start({
    directory: directory.path,
    name,
    repoUrl,
    dockerHost: engine.host,
    env: {
      NODE_LABELS: 'trusted',
      SECRETS_DIR: secretsDir,
      SECRETS_POLICY_FILE: policyFile,
      MAX_PARALLEL_TASKS: '6',
      FOLLOW_INTERVAL: '0.2',
      PULL_INTERVAL: '0.5',
      HEARTBEAT_INTERVAL: '1',
      NODE_TTL: '5',
      ...env,
    },
    args,
  });
}

class Following {
  readonly child: ChildProcess;
  readonly out: Buffer[] = [];
  err = '';

  constructor(url: string, args: readonly string[]) {
    const home = directory.sub('user');
    mkdirSync(home, { recursive: true });
    this.child = startClient(args, { home, env: { DGRID_REPO_URL: url } });
    this.child.stdout?.on('data', (bytes: Buffer) => this.out.push(bytes));
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.err += bytes.toString();
    });
  }

  get text(): string {
    return Buffer.concat(this.out).toString('latin1');
  }

  shows(text: string): Promise<void> {
    return until(`${JSON.stringify(text)} to be shown: ${this.err}`, () => this.text.includes(text), WAIT_MS);
  }

  async code(): Promise<number | null> {
    const [code] = (await once(this.child, 'close')) as [number | null];
    return code;
  }
}

async function expectNowhere(path: string): Promise<void> {
  const everything = await git(path, ['cat-file', '--batch-all-objects', '--batch', '--buffer']);
  const flat = everything.replaceAll('\n', '').replaceAll('\\n', '');
  // Not even the half of it that could stand at the end of a batch.
  const shapes = [SECRET, SECRET.slice(0, 12), ...encodedShapes(Buffer.from(SECRET))];
  expectNoViolations(
    shapes.filter((shape) => flat.includes(shape)),
    `in ${path}`,
  );
}

describe('following', () => {
  it('shows what tasks write while they run, over HTTP: lines, bytes, much, and no secret', async () => {
    const path = await server.createRepository('shown');
    const url = server.url('shown');
    await git(path, ['config', 'gc.auto', '0']);
    await using worker = start('shown', url);
    // Long enough that a busy machine has seen some of it before its end.
    const slowly = TEN_LINES.replaceAll('0.4', '2');
    const lines = new Following(url, ['submit', '--script', slowly, '--id', 'lines', '--follow']);
    const repo = new TaskRepository(path);
    await until('the task to be queued', async () => (await repo.queued()).length > 0, WAIT_MS);
    const secret = '"$DGRID_SECRETS_DIR/deploy"';
    const half = `head -c 12 ${secret}; sleep 1; tail -c +13 ${secret}; sleep 1; echo; echo after`;
    await repo.queue({
      secret: { script: `${half}; exit 4`, requires: ['trusted'], secrets: ['deploy'], follow: true },
      bytes: { script: "printf '\\377\\000\\303'; sleep 1; printf '\\274no end'; sleep 1", follow: true },
      // More than is told before the result, and more than a result holds.
      much: { script: 'yes 0123456789abcde | head -c 1500000; echo; sleep 2; echo the end', follow: true },
      quiet: { script: TEN_LINES },
    });
    const others = Object.fromEntries(
      ['secret', 'bytes', 'much', 'quiet'].map((id) => [
        id,
        new Following(url, ['logs', id, '--follow', '--interval', '0.3']),
      ]),
    );
    const codes = Promise.all([lines, ...Object.values(others)].map((following) => following.code()));
    await lines.shows('line 2\n');
    expect(await repo.record('lines')).toBe(null);
    expect(lines.text).not.toContain('line 9');
    expect(await codes).toEqual([0, 3, 0, 0, 0]);
    expect(lines.text).toBe(`queued lines\n${TEN}`);
    expect(lines.err).toContain('lines runs on shown, attempt 1\n');
    expect(others['secret']?.text).toBe(`${'*'.repeat(SECRET.length)}\nafter\n`);
    expect(others['secret']?.err).toContain('secret failed (exit-code)');
    expect(Buffer.concat(others['bytes']?.out ?? []).equals(Buffer.from('\u00ff\0\u00c3\u00bcno end', 'latin1'))).toBe(
      true,
    );
    const much = others['much'];
    expect(much?.text.startsWith('0123456789abcde\n'.repeat(16_000))).toBe(true);
    expect(much?.text).toMatch(/\n\[\.\.\. \d+ bytes left out \.\.\.\]\n/);
    expect(much?.text.endsWith('\nthe end\n')).toBe(true);
    expect(much?.err).toContain('MAX_FOLLOW_BYTES');
    expect(others['quiet']?.text).toBe(TEN);
    expect(others['quiet']?.err).toContain('does not say "follow": true');
    expect(await worker.stop()).toBe(0);
    expect(await repo.refs('refs/dgrid-output/')).toEqual([]);
    await expectNowhere(path);
  });

  it('goes on with the same run when its worker is killed and comes back, and ends at once when asked to', async () => {
    await server.createRepository('killed');
    const url = server.url('killed');
    const repo = new TaskRepository(server.repositoryPath('killed'));
    await repo.queue({ lines: { script: TEN_LINES, follow: true }, long: { script: 'sleep 60', follow: true } });
    const first = start('killed', url);
    const following = new Following(url, ['logs', 'lines', '--follow', '--interval', '0.3']);
    await following.shows('line 1\n');
    const interrupted = new Following(url, ['logs', 'long', '--follow']);
    await until('it to wait', () => interrupted.err.includes('long runs on'), WAIT_MS);
    const askedMs = performance.now();
    interrupted.child.kill('SIGINT');
    expect(await interrupted.code()).toBe(130);
    expect(performance.now() - askedMs).toBeLessThan(3_000);
    await first.stop('SIGKILL');
    await using second = start('killed', url);
    expect(await following.code()).toBe(0);
    expect(second.entries('task.adopted')).toHaveLength(2);
    expect(following.text).toBe(TEN);
    expect(following.err.match(/runs on/g)).toHaveLength(1);
    await repo.commit({ 'tasks/queue/long.json': null });
    await until('the other to end', async () => (await repo.record('long')) !== null, WAIT_MS);
    expect(await second.stop()).toBe(0);
    expect(await repo.refs('refs/dgrid-output/')).toEqual([]);
  });

  it('begins anew, and says so, when another node takes the task over; also where the repository is a directory', async () => {
    const path = await server.createRepository('over');
    const repo = new TaskRepository(path);
    await repo.queue({ lines: { script: TEN_LINES.replaceAll('0.4', '1'), follow: true } });
    const first = start('over-a', path);
    const following = new Following(path, ['logs', 'lines', '--follow', '--interval', '0.3']);
    await following.shows('line 1\n');
    await first.stop('SIGKILL');
    const second = start('over-b', path, {}, ['--until-idle']);
    expect(await following.code()).toBe(0);
    expect(await second.exit()).toBe(0);
    expect(await repo.record('lines')).toMatchObject({ node_id: 'over-b', attempt: 2, stdout: TEN });
    expect(following.text.endsWith(TEN)).toBe(true);
    expect(following.text.length).toBeGreaterThan(TEN.length);
    expect(following.err).toContain('lines begins anew on over-b, attempt 2');
    expect(await repo.refs('refs/dgrid-output/')).toEqual([]);
    // It removes what it had left when it comes back.
    expect(await start('over-a', path, {}, ['--until-idle']).exit()).toBe(0);
  });
});
