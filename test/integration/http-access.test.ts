/** Who may read the pages, over real sockets: tokens, names, guesses, and those who send slowly or too much. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { keptSecret } from '../../src/observe/http/kept-secret.ts';
import { MAX_WRONG_TRIES } from '../../src/observe/http/wrong-tries.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { servePages } from '../support/pages-server.ts';
import { sendRaw } from '../support/raw-http.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';

const TOKEN = 'a-token-for-the-tests';
const BEARER = { authorization: `Bearer ${TOKEN}` };
const REASONS = [{ reason: 'disk', text: '/secret/path is full' }];
const withToken = { token: async () => TOKEN };

function basic(user: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

describe('pages with a token', () => {
  it('show everything to whoever has it, as a program or in a browser', async () => {
    const { base } = await servePages({ access: withToken });
    for (const headers of [BEARER, { authorization: `bearer  ${TOKEN}` }, basic('anybody', TOKEN), basic('', TOKEN)]) {
      for (const path of ['/health', '/metrics', '/livez', '/startupz', '/readyz']) {
        expect((await fetch(base + path, { headers })).status, `${path} with ${headers.authorization}`).toBe(200);
      }
    }
  });

  it('show nothing without it, whatever is asked for in whichever way', async () => {
    const { base, port } = await servePages({ access: withToken });
    const wrong: Record<string, string>[] = [
      {},
      { authorization: TOKEN },
      { authorization: 'Bearer' },
      { authorization: `Token ${TOKEN}` },
      { authorization: `Bearer ${TOKEN}x` },
      { authorization: `Bearer ${TOKEN.slice(0, -1)}` },
      basic(TOKEN, ''),
      { authorization: `Basic ${Buffer.from(TOKEN).toString('base64')}` },
      { authorization: 'Basic !!!' },
    ];
    for (const headers of wrong) {
      const answer = await fetch(`${base}/health`, { headers });
      expect(answer.status, JSON.stringify(headers)).toBe(401);
      expect(answer.headers.get('www-authenticate')).toBe('Basic realm="dgrid"');
      expect(await answer.text()).not.toContain('pi');
    }
    // What does not exist, or is only written like something open, is no way in, and no way to find out what is there.
    for (const path of [
      '/nothing',
      '/livez/../health',
      '//health',
      '/livez%2f..%2fhealth',
      '/health?/livez',
      '/%zz',
      '*',
    ]) {
      const { statuses } = await sendRaw({ port }, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(statuses, path).toHaveLength(1);
      expect([400, 401], path).toContain(statuses[0]);
    }
    for (const method of ['POST', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE']) {
      const { statuses } = await sendRaw(
        { port },
        `${method} /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      );
      expect(statuses, method).toEqual([401]);
    }
  });

  it('let probes ask without, and tell them no texts', async () => {
    const { base } = await servePages({
      access: withToken,
      source: { hasJoined: () => false, reasons: () => REASONS, details: async () => ({}) },
    });
    expect((await fetch(`${base}/livez`)).status).toBe(200);
    const probe = await fetch(`${base}/readyz`);
    expect([probe.status, await probe.json()]).toEqual([503, { status: 'not ready', reasons: [{ reason: 'disk' }] }]);
    const wrong = await fetch(`${base}/readyz`, { headers: basic('x', 'wrong') });
    expect(await wrong.json()).toEqual({ status: 'not ready', reasons: [{ reason: 'disk' }] });
    const known = await fetch(`${base}/readyz`, { headers: BEARER });
    expect(await known.json()).toEqual({ status: 'not ready', reasons: REASONS });
  });

  it('compare only so many wrong tokens of an address in a minute, on open pages too', async () => {
    const clock = new ManualClock();
    const { base, events } = await servePages({ access: { ...withToken, clock } });
    const guess = (path: string, token: string): Promise<number> =>
      fetch(base + path, { headers: { authorization: `Bearer ${token}` } }).then(({ status }) => status);
    // All at once: what comes at the same time is counted too.
    const guesses = Array.from({ length: MAX_WRONG_TRIES - 1 }, (_, at) =>
      guess(at % 2 ? '/health' : '/readyz', `${at}`),
    );
    expect(new Set(await Promise.all(guesses))).toEqual(new Set([200, 401]));
    expect(await guess('/health', TOKEN)).toBe(200);
    expect(await guess('/health', 'the last one')).toBe(401);
    const refused = await fetch(`${base}/health`, { headers: BEARER });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60']);
    expect(await guess('/livez', TOKEN)).toBe(200);
    clock.advance(59_999);
    expect(await guess('/health', TOKEN)).toBe(429);
    clock.advance(1);
    expect(await guess('/health', TOKEN)).toBe(200);
    // At most one entry a minute, and it says how many there were.
    expect(events.named('http.refused')).toMatchObject([{ requests: 1, reason: 'wrong-token', from: '127.0.0.1' }]);
    clock.advance(1_000);
    expect(await guess('/health', 'once more')).toBe(401);
    expect(events.named('http.refused')[1]).toMatchObject({ requests: MAX_WRONG_TRIES + 3 });
  });

  it('take it from a file that may be replaced, and believe nobody while that cannot be used', async () => {
    const file = join(await temporaryDirectory(), 'token');
    const clock = new ManualClock();
    const learnt: string[] = [];
    const learn = (secret: string): void => void learnt.push(secret);
    const token = keptSecret({ secret: null, file, minLength: 16, clock, learn });
    const { base, events } = await servePages({ access: { token, clock } });
    const ask = async (shown: string): Promise<number> => {
      clock.advance(1_000);
      return (await fetch(`${base}/health`, { headers: { authorization: `Bearer ${shown}` } })).status;
    };
    expect(await ask('')).toBe(401);
    expect(await ask('undefined')).toBe(401);
    expect(events.named('http.refused')).toMatchObject([{ reason: 'token-unavailable' }]);
    for (const text of ['the first token of two', 'the second token of two']) {
      await writeFile(file, `${text}\n`);
      expect(await ask(text)).toBe(200);
    }
    expect(await ask('the first token of two')).toBe(401);
    await writeFile(file, 'short\n');
    expect(await ask('short')).toBe(401);
    expect([...new Set(learnt)]).toEqual(['the first token of two', 'the second token of two']);
  });
});

describe('pages without a token', () => {
  const ask = async (port: number, host: string): Promise<number | undefined> => {
    const { statuses } = await sendRaw({ port }, `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    return statuses[0];
  };

  it('are shown under names of this machine alone', async () => {
    const { port, events } = await servePages({ access: { host: 'pages.localdomain' } });
    const own = [
      'localhost',
      'LOCALHOST:8000',
      '127.0.0.1',
      `127.0.0.1:${port}`,
      '127.1.2.3',
      '[::1]',
      '[::1]:80',
      'box.localhost',
      'pages.localdomain:1',
    ];
    for (const host of own) expect(await ask(port, host), host).toBe(200);
    const foreign = [
      'evil.example.com',
      'localhost.evil.example.com',
      '127.0.0.1.evil.example.com',
      '192.0.2.1',
      '[::2]',
      'localhost:x',
      'a b',
      '@',
      '127.0.0.1@evil',
    ];
    for (const host of foreign) expect([400, 403], host).toContain(await ask(port, host));
    expect(await ask(port, 'evil.example.com')).toBe(403);
    expect(events.named('http.refused')).toMatchObject([{ reason: 'foreign-host' }]);
    // With a token it is the token that counts: a proxy may keep the name that it was asked by.
    const guarded = await servePages({ access: withToken });
    const request = `GET /health HTTP/1.1\r\nHost: box.example.com\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\n\r\n`;
    expect((await sendRaw({ port: guarded.port }, request)).statuses).toEqual([200]);
  });
});

describe('the server', () => {
  async function connect(port: number): Promise<Socket> {
    const socket = createConnection({ host: '127.0.0.1', port });
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  it('reads no long addresses, headers or bodies', async () => {
    const { port } = await servePages({ access: withToken });
    const long = 'x'.repeat(17 * 1024);
    const requests = [
      [`GET /${long} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
      [`GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ${long}\r\n\r\n`, 431],
      [`GET /livez?${'y='.repeat(4_000)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 200],
      // Refused before its body is read, and the connection with it.
      ['POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nxx', 401],
      ['GET /livez HTTP/1.1\r\n\r\n', 400],
      ['NONSENSE\r\n\r\n', 400],
    ] as const;
    for (const [request, status] of requests) {
      expect((await sendRaw({ port }, request)).statuses, request.slice(0, 40)).toEqual([status]);
    }
  });

  it('cuts off whoever sends slowly, or nothing', async () => {
    const { base, port } = await servePages();
    await (await fetch(`${base}/livez`)).text();
    const drop = await connect(port);
    const silent = await connect(port);
    const ended = Promise.all([once(drop, 'close'), once(silent, 'close')]);
    drop.resume();
    silent.resume();
    drop.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    const began = performance.now();
    const dripping = setInterval(() => drop.write('x'), 300);
    onTestFinished(() => clearInterval(dripping));
    await ended;
    expect(performance.now() - began).toBeLessThan(15_000);
  });

  it('takes so many connections at a time, and is there again when they are gone', async () => {
    const { base, port } = await servePages();
    const open = await Promise.all(Array.from({ length: 64 }, () => connect(port)));
    const extra = createConnection({ host: '127.0.0.1', port });
    extra.on('error', () => {});
    extra.resume();
    await once(extra, 'close');
    for (const socket of open) socket.destroy();
    await until('an answer', () =>
      fetch(`${base}/livez`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  });
});
