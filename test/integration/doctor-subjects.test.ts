/** Subjects of doctor that need real programs: ssh-keygen, TLS, a host that does not answer. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load.ts';
import { readMachine } from '../../src/config/machine.ts';
import { examine, type SubjectResult } from '../../src/doctor/examine.ts';
import { type Clock, systemClock } from '../../src/runtime.ts';
import { GitServer } from '../support/git-server.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';

let dir: TempDir;

beforeAll(() => {
  dir = makeTempDir('doctor-subjects');
});
afterAll(() => dir.remove());

async function examined(
  env: Record<string, string>,
  only: readonly string[],
  clock: Clock = systemClock,
): Promise<Map<string, SubjectResult>> {
  const all = hermeticEnv(dir.path, {
    DGRID_REPO_URL: dir.sub('tasks.git'),
    DGRID_STATE_DIR: dir.sub('state'),
    NODE_ID: 'box',
    DOCKER_HOST: 'unix:///nowhere',
    RETRY_ATTEMPTS: '1',
    ...env,
  });
  const loaded = loadSettings({ env: all, machine: readMachine(all, dir.path), flags: {}, envFile: null });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const options = { settings: loaded.settings, version: '0.1.0', clock, emit: () => undefined, operatorEnv: all, only };
  const results = new Map<string, SubjectResult>();
  for await (const result of examine(options)) results.set(result.check, result);
  return results;
}

function generateKey(name: string): { path: string; publicKey: string } {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', dir.sub(name)]);
  return { path: dir.sub(name), publicKey: readFileSync(dir.sub(`${name}.pub`), 'utf8').trim() };
}

describe('signing', () => {
  it('is tried with the key of the node, and judged by the files of keys', async () => {
    const person = generateKey('person');
    const node = generateKey('node');
    const trusted = dir.sub('trusted');
    const revoked = dir.sub('revoked');
    writeFileSync(trusted, `alice namespaces="dgrid-task-v1" ${person.publicKey}\n`);
    writeFileSync(revoked, '');
    const env = {
      ENABLE_TASK_SIGNING: 'true',
      TRUSTED_KEYS_FILE: trusted,
      REVOKED_KEYS_FILE: revoked,
      NODE_SIGNING_KEY_FILE: node.path,
      GRID_NAME: 'git.example.org/team/tasks',
    };
    const look = () => examined(env, ['signing']);
    const first = await look();
    expect(Object.fromEntries([...first].map(([check, { outcome }]) => [check, outcome]))).toEqual({
      'ssh-keygen': 'ok',
      'trusted keys': 'ok',
      'grid name': 'ok',
      'revoked keys': 'ok',
      'node key': 'ok',
    });
    expect(first.get('grid name')?.finding).toContain('git.example.org/team/tasks');
    expect(first.get('node key')?.finding).toContain('does not list it');

    appendFileSync(trusted, `other namespaces="dgrid-result-v1" ${node.publicKey}\n`);
    expect((await look()).get('node key')).toMatchObject({
      outcome: 'warning',
      finding: expect.stringContaining('as other') as string,
    });
    writeFileSync(trusted, readFileSync(trusted, 'utf8').replace('\nother', '\nbox'));
    expect((await look()).get('node key')).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('listed for them as box') as string,
    });
    writeFileSync(revoked, `${node.publicKey}\n`);
    expect((await look()).get('node key')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('revoked') as string,
    });
    chmodSync(node.path, 0o644);
    chmodSync(trusted, 0o666);
    const bad = await look();
    expect(bad.get('node key')).toMatchObject({ outcome: 'broken', remedy: `chmod 600 ${node.path}` });
    expect(bad.get('trusted keys')).toMatchObject({ outcome: 'broken', remedy: `chmod o-w ${trusted}` });
  });

  it('without ssh-keygen says what to install', async () => {
    const { path } = generateKey('lonely');
    const before = process.env['PATH'];
    process.env['PATH'] = dir.sub('nowhere');
    try {
      const found = await examined({ NODE_SIGNING_KEY_FILE: path }, ['signing']);
      expect(found.get('ssh-keygen')).toMatchObject({
        outcome: 'broken',
        remedy: expect.stringContaining('openssh-client') as string,
      });
    } finally {
      process.env['PATH'] = before;
    }
  });

  it('that is off is told as such', async () => {
    expect((await examined({}, ['signing'])).get('signing')).toMatchObject({ outcome: 'ok' });
  });
});

describe('the way to the host', () => {
  it('shows a certificate that expires soon, whether it is trusted or not', async () => {
    const [key, cert] = [dir.sub('tls-key'), dir.sub('tls-cert')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '5', '-keyout', key, '-out', cert, ...subject],
      { stdio: 'ignore' },
    );
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) => {
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const found = await examined({ DGRID_REPO_URL: `https://localhost:${port}/t.git` }, ['host']);
      expect(found.get('host name')).toMatchObject({ outcome: 'ok' });
      expect(found.get('certificate')).toMatchObject({
        outcome: 'warning',
        finding: expect.stringMatching(/in [45] days/) as string,
      });
      expect(found.get('latency')?.outcome).toBe('warning');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('names a host that nobody knows', async () => {
    const found = await examined({ DGRID_REPO_URL: 'https://nobody.invalid/t.git' }, ['host']);
    expect(found.get('host name')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('nobody.invalid') as string,
    });
  });
});

describe('a host that does not answer', () => {
  it('costs no more than the deadline, and hides nothing of the other subjects', async () => {
    await using server = await GitServer.start();
    await new TaskRepository(await server.createRepository('hung')).commit({ 'README.md': 'x' });
    server.onRequest = () => ({ kind: 'hang' });
    // A hundred times as fast, for deadlines alone: what is done takes the time that it takes.
    const clock: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) };
    const beganMs = performance.now();
    const found = await examined({ DGRID_REPO_URL: server.url('hung') }, ['host', 'grid', 'secrets'], clock);
    expect(performance.now() - beganMs).toBeLessThan(20_000);
    for (const subject of ['host', 'grid']) {
      const late = [...found.values()].filter((result) => result.subject === subject && result.outcome !== 'ok');
      expect(late.length, subject).toBeGreaterThan(0);
    }
    expect(found.get('secrets')?.outcome).toBe('ok');
  });
});
