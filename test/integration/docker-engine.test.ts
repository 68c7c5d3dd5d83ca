/** The ways to an engine, and what is said when one is blocked. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type * as Util from 'node:util';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { finish, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';

let engine: PrivateEngine;
let directory: string;
const openSockets = new Set<Socket>();

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  directory = await mkdtemp(join(tmpdir(), 'dge-ways-'));
});

afterEach(() => {
  vi.unstubAllEnvs();
});

afterAll(async () => {
  for (const socket of openSockets) socket.destroy();
  await rm(directory, { recursive: true, force: true });
  await engine.stop();
});

function toEngine(socket: Socket): void {
  const behind = createConnection(engine.socketPath);
  for (const [from, to] of [
    [socket, behind],
    [behind, socket],
  ] as const) {
    openSockets.add(from);
    from.on('close', () => to.destroy()).on('error', () => to.destroy());
    from.pipe(to);
  }
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

async function runsATask(host: string, changes: Parameters<typeof testExecutor>[1] = {}): Promise<void> {
  await using test = await testExecutor(host, changes);
  const script = `echo ${'x'.repeat(100_000)}`;
  const end = await finish(await test.executor.start(testJob(script)));
  expect(end.verdict).toMatchObject({ kind: 'exited', exitCode: 0 });
  expect(end.stdout).toHaveLength(100_001);
}

describe('the way to the engine', () => {
  it('is the socket that was set, whatever the environment says', async () => {
    vi.stubEnv('DOCKER_HOST', 'tcp://127.0.0.1:9');
    await runsATask(engine.host);
  });

  it('is not written out with each call, all the way down, for a debug log that nobody reads', async () => {
    const util = createRequire(import.meta.url)('node:util') as typeof Util;
    const inspect = vi.spyOn(util, 'inspect');
    await runsATask(engine.host);
    const texts = inspect.mock.results.map(({ value }) => String(value)).filter((text) => text.includes('socketPath'));
    inspect.mockRestore();
    // Once docker-modem does without, the engine's agent need not be made opaque any more.
    expect(texts.length).toBeGreaterThan(0);
    expect(Math.max(...texts.map(({ length }) => length))).toBeLessThan(8_000);
  });

  it('may be a TCP port', async () => {
    const server = createServer(toEngine);
    const port = await listen(server);
    await runsATask(`tcp://127.0.0.1:${port}`);
    server.close();
  });

  it('may be TLS with certificates for both sides, and no other certificate', async () => {
    await makeCertificates(directory);
    const pem = async (name: string) => await readFile(join(directory, name));
    const options = { key: await pem('key.pem'), cert: await pem('cert.pem'), ca: await pem('ca.pem') };
    const server = createTlsServer({ ...options, requestCert: true, rejectUnauthorized: true }, toEngine);
    const port = await listen(server);
    await runsATask(`tcp://127.0.0.1:${port}`, { tlsVerify: true, certPath: directory });

    const others = join(directory, 'others');
    await promisify(execFile)('mkdir', [others]);
    await makeCertificates(others);
    await using stranger = await testExecutor(`tcp://127.0.0.1:${port}`, { tlsVerify: true, certPath: others });
    await expect(stranger.executor.probe()).rejects.toMatchObject({ kind: 'engine-unavailable' });
    await using without = await testExecutor(`tcp://127.0.0.1:${port}`, { tlsVerify: true, certPath: '/nowhere' });
    await expect(without.executor.probe()).rejects.toMatchObject({ kind: 'engine-unavailable' });
    server.close();
  });

  it('may be the ssh command', async () => {
    const log = join(directory, 'ssh-arguments');
    // In the place of ssh and the machine behind it: the command that would be run there.
    const command = `#!/bin/sh\necho "$@" >>${log}\nexec docker -H ${engine.host} system dial-stdio\n`;
    await writeFile(join(directory, 'ssh'), command);
    await chmod(join(directory, 'ssh'), 0o755);
    vi.stubEnv('PATH', `${directory}:${process.env['PATH']}`);
    await runsATask('ssh://someone@box:2222');
    const [first] = (await readFile(log, 'utf8')).split('\n');
    expect(first).toBe('-o BatchMode=yes -o ConnectTimeout=15 -l someone -p 2222 -- box docker system dial-stdio');
  });

  it('may be an ssh command that fails', async () => {
    await writeFile(join(directory, 'ssh'), '#!/bin/sh\necho "Host key verification failed." >&2\nexit 255\n');
    await chmod(join(directory, 'ssh'), 0o755);
    vi.stubEnv('PATH', `${directory}:${process.env['PATH']}`);
    await using test = await testExecutor('ssh://box');
    await expect(test.executor.probe()).rejects.toMatchObject({
      kind: 'engine-unavailable',
      message: expect.stringContaining('Host key verification failed'),
    });
  });
});

describe('an engine', () => {
  it('that is not there is unavailable', async () => {
    await using test = await testExecutor('unix:///nowhere/docker.sock');
    await expect(test.executor.probe()).rejects.toMatchObject({ kind: 'engine-unavailable' });
    await expect(test.executor.start(testJob('true'))).rejects.toMatchObject({ kind: 'engine-unavailable' });
    await using odd = await testExecutor('gopher://x');
    await expect(odd.executor.probe()).rejects.toMatchObject({ kind: 'engine-unavailable' });
  });

  it('that does not answer, or stops in the middle, is given up', async () => {
    const answers = ['', 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"half": '];
    for (const answer of answers) {
      const server = createServer((socket) => {
        openSockets.add(socket);
        socket.on('error', () => {});
        socket.write(answer);
      });
      const port = await listen(server);
      await using test = await testExecutor(`tcp://127.0.0.1:${port}`, { callTimeoutMs: 200 });
      await expect(test.executor.probe()).rejects.toMatchObject({ kind: 'engine-timeout' });
      server.close();
    }
  });

  it('whose answer breaks off is unavailable', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"half": ');
    });
    const port = await listen(server);
    await using test = await testExecutor(`tcp://127.0.0.1:${port}`);
    await expect(test.executor.probe()).rejects.toMatchObject({ kind: 'engine-unavailable' });
    server.close();
  });

  it('can be left by a caller who gives up, and by all at once', async () => {
    const server = createServer((socket) => {
      openSockets.add(socket);
      socket.on('error', () => {});
    });
    const port = await listen(server);
    await using test = await testExecutor(`tcp://127.0.0.1:${port}`);
    const giveUp = new AbortController();
    const one = test.executor.probe(giveUp.signal);
    giveUp.abort(new Error('gave up'));
    await expect(one).rejects.toThrow('gave up');
    const other = test.executor.probe().catch((error: unknown) => error);
    await test.executor.close();
    expect(await other).toMatchObject({ kind: 'engine-unavailable' });
    server.close();
  });

  /** Passes everything on, but cuts the connection when the engine answers a request that matches. */
  async function losingAnswers(to: RegExp): Promise<{ server: Server; host: string }> {
    const server = createServer((socket) => {
      const behind = createConnection(engine.socketPath);
      let isLost = false;
      openSockets.add(socket);
      socket.on('close', () => behind.destroy()).on('error', () => behind.destroy());
      behind.on('close', () => socket.destroy()).on('error', () => socket.destroy());
      socket.on('data', (chunk: Buffer) => {
        isLost ||= to.test(chunk.toString('latin1'));
        behind.write(chunk);
      });
      behind.on('data', (chunk: Buffer) => {
        if (isLost) socket.destroy();
        else socket.write(chunk);
      });
    });
    return { server, host: `tcp://127.0.0.1:${await listen(server)}` };
  }

  it('that starts a container and whose answer is lost still has its task run once', async () => {
    const { server, host } = await losingAnswers(/^POST \/containers\/[^ ]+\/start/);
    await using test = await testExecutor(host);
    const end = await finish(await test.executor.start(testJob('echo once')));
    expect(end.verdict).toEqual({ kind: 'exited', exitCode: 0, outOfMemory: false });
    expect(end.stdout).toBe('once\n');
    server.close();
  });

  it('that creates a container and whose answer is lost has it removed again', async () => {
    const { server, host } = await losingAnswers(/^POST \/containers\/create/);
    await using test = await testExecutor(host);
    await expect(test.executor.start(testJob('echo never'))).rejects.toMatchObject({ kind: 'engine-unavailable' });
    expect(await engine.countLeftovers()).toBe(0);
    server.close();
  });

  it('that loses the connection to a running task has its end and its output asked for again', async () => {
    const proxied = new Set<Socket>();
    const server = createServer((socket) => {
      proxied.add(socket);
      toEngine(socket);
    });
    const host = `tcp://127.0.0.1:${await listen(server)}`;
    await using test = await testExecutor(host);
    const run = await test.executor.start(testJob('echo first; sleep 3; echo last; exit 7'));
    await engine.printed(run.key.taskId, 'first');
    for (const socket of proxied) socket.destroy();
    const end = await finish(run);
    expect(end.verdict).toEqual({ kind: 'exited', exitCode: 7, outOfMemory: false });
    expect(end.stdout).toBe('first\nlast\n');
    server.close();
  });

  it('has nothing of ours left', async () => {
    expect(await engine.countLeftovers()).toBe(0);
  });
});

/** An authority, and one certificate that serves both sides. */
async function makeCertificates(into: string): Promise<void> {
  const openssl = async (...argv: string[]) => await promisify(execFile)('openssl', argv, { cwd: into });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca-key.pem',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test-ca',
    '-days',
    '2',
  );
  await openssl('req', ...key, '-keyout', 'key.pem', '-out', 'request.pem', '-subj', '/CN=test');
  await writeFile(join(into, 'extensions'), 'subjectAltName=IP:127.0.0.1\n');
  const sign = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-extfile', 'extensions', '-days', '2'];
  await openssl('x509', '-req', '-in', 'request.pem', '-out', 'cert.pem', ...sign);
}
