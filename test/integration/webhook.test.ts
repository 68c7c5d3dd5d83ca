/** The webhook over real HTTP: who is believed, what is read, and what the answers are. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isWorthALook } from '../../src/agent/push-filter.ts';
import { refName } from '../../src/git/oid.ts';
import { keptSecret } from '../../src/observe/http/kept-secret.ts';
import type { HookCounts, PushHook } from '../../src/observe/http/push-hook.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { servePages } from '../support/pages-server.ts';
import { type RecordedEvents, recordEvents } from '../support/recorded-events.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { until } from '../support/until.ts';

const SECRET = 'a secret for hooks';
const TIP = '1'.repeat(40);
const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';
const LIMIT_BYTES = 4 * 1024 * 1024;

interface Served {
  port: number;
  looks: () => number;
  events: RecordedEvents;
  clock: ManualClock;
  counts: () => Promise<HookCounts>;
  call: (body: string, headers?: Record<string, string>) => Promise<{ code: number; answer: unknown }>;
}

async function serve(secret: PushHook['secret'] | null = async () => SECRET): Promise<Served> {
  const clock = new ManualClock();
  const events = recordEvents();
  let looks = 0;
  const hook: PushHook | null = secret && {
    secret,
    concerns: (push) => isWorthALook(push, { branch: refName('refs/heads/main'), tip: TIP }),
    lookNow: () => {
      looks += 1;
    },
    clock,
    emit: events.emit,
  };
  // In front of the pages stands a token; the webhook has a proof of its own.
  const token = 'the token of the pages';
  const { base, port } = await servePages({ hook, access: { token: async () => token } });
  const authorization = `Bearer ${token}`;
  return {
    port,
    looks: () => looks,
    events,
    clock,
    counts: async () =>
      ((await (await fetch(`${base}/health`, { headers: { authorization } })).json()) as { webhook: HookCounts })
        .webhook,
    call: async (body, headers = {}) => {
      const response = await fetch(`${base}/hooks/push`, {
        method: 'POST',
        body,
        headers: { 'content-type': JSON_TYPE, ...headers },
      });
      return { code: response.status, answer: await response.json() };
    },
  };
}

function hub(body: string, secret = SECRET): Record<string, string> {
  return { 'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}` };
}

const push = (ref = 'refs/heads/main', after = '2'.repeat(40)): string => JSON.stringify({ ref, after });

describe('the webhook', () => {
  it('makes the worker look when a host says that somebody pushed', async () => {
    const { call, counts, looks } = await serve();
    const body = push();
    const bare = hub(body)['x-hub-signature-256']!.slice('sha256='.length);
    const form = new URLSearchParams({ payload: body }).toString();
    const calls: [string, Record<string, string>][] = [
      [body, { ...hub(body), 'x-github-event': 'push' }],
      [form, { ...hub(form), 'x-github-event': 'push', 'content-type': FORM_TYPE }],
      [body, { 'x-gitea-signature': bare, 'x-gitea-event': 'push', 'content-type': 'application/json; charset=utf-8' }],
      [body, { 'x-forgejo-signature': bare, 'x-forgejo-event': 'push' }],
      [body, { 'x-gitlab-token': SECRET, 'x-gitlab-event': 'Push Hook' }],
    ];
    for (const [sent, headers] of calls) {
      expect(await call(sent, headers)).toEqual({ code: 202, answer: { status: 'looking' } });
    }
    expect(looks()).toBe(calls.length);
    expect(await counts()).toEqual({ accepted: calls.length, ignored: 0, refused: 0 });
  });

  it('ignores what is about something else, or known', async () => {
    const { call, counts, looks } = await serve();
    const bodies = [push('refs/heads/other'), push('refs/heads/dgrid/nodes/pi'), push('refs/heads/main', TIP)];
    for (const body of bodies) {
      expect(await call(body, hub(body))).toEqual({ code: 202, answer: { status: 'ignored' } });
    }
    const body = push();
    expect(await call(body, { ...hub(body), 'x-github-event': 'issues' })).toMatchObject({ code: 202 });
    expect(await call(body, { ...hub(body), 'x-github-event': 'ping' })).toEqual({
      code: 200,
      answer: { status: 'ready' },
    });
    expect(looks()).toBe(0);
    expect(await counts()).toEqual({ accepted: 0, ignored: 4, refused: 0 });
  });

  it('believes nobody else, and tells of them once a minute', async () => {
    const { call, clock, counts, events, looks } = await serve();
    const body = push();
    const refusedCalls = [
      {},
      hub(`${body} `),
      hub(body, 'another secret'),
      { 'x-gitlab-token': 'a guess' },
      { ...hub(body, 'another secret'), 'x-github-event': 'ping' },
    ];
    for (const headers of refusedCalls) expect((await call(body, headers)).code).toBe(401);
    expect(looks()).toBe(0);
    expect(await counts()).toEqual({ accepted: 0, ignored: 0, refused: 5 });
    expect(events.named('hook.refused')).toEqual([{ calls: 1, reason: 'unsigned', from: '127.0.0.1' }]);
    clock.advance(60_000);
    await call(body, hub(body, 'another secret'));
    expect(events.named('hook.refused').at(-1)).toEqual({ calls: 5, reason: 'wrong-signature', from: '127.0.0.1' });
    expect(JSON.stringify(events.all)).not.toContain(SECRET);
  });

  it('reads no body that is too large or of another kind', async () => {
    const { call, clock, counts, events, looks } = await serve();
    const large = 'x'.repeat(LIMIT_BYTES + 1);
    // A server that hangs up on a long body may do so before the answer is read.
    const code = await call(large, hub(large)).then(
      (answer) => answer.code,
      () => 413,
    );
    expect(code).toBe(413);
    clock.advance(60_000);
    expect((await call(push(), { ...hub(push()), 'content-type': 'text/xml' })).code).toBe(415);
    const most = `{"ref":"refs/heads/main","padding":"${'x'.repeat(LIMIT_BYTES - 100)}"}`;
    expect((await call(most, hub(most))).code).toBe(202);
    expect(looks()).toBe(1);
    expect(await counts()).toEqual({ accepted: 1, ignored: 0, refused: 2 });
    expect(events.named('hook.refused')).toMatchObject([{ reason: 'too-large' }, { reason: 'media-type' }]);
  });

  it('answers an unsigned call before its body has come', async () => {
    const { port } = await serve();
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(
      `POST /hooks/push HTTP/1.1\r\nhost: x\r\ncontent-type: ${JSON_TYPE}\r\ncontent-length: 1000000\r\n\r\n{`,
    );
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(chunk.toString()).toMatch(/^HTTP\/1\.1 401 /);
    await once(socket, 'close');
  });

  it('reads only so many bodies at a time, and has room again when their senders hang up', async () => {
    const { call, counts, port } = await serve();
    const head = [
      'POST /hooks/push HTTP/1.1',
      'host: x',
      `content-type: ${JSON_TYPE}`,
      'content-length: 1000',
      'x-gitlab-token: guess',
    ];
    const slow = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'));
    onTestFinished(() => slow.forEach((socket) => void socket.destroy()));
    for (const socket of slow) socket.write(`${head.join('\r\n')}\r\n\r\n{`);
    const body = push();
    await until('the places to be taken', async () => (await call(body, hub(body))).code === 503);
    expect((await counts()).refused).toBeGreaterThan(0);
    for (const socket of slow) socket.destroy();
    await until('a place to be free', async () => (await call(body, hub(body))).code === 202);
  });

  it('is not there without a secret, and only for calls of its kind', async () => {
    const without = await serve(null);
    expect((await without.call(push(), hub(push()))).code).toBe(401);
    const { port } = await serve();
    const headers = { authorization: 'Bearer the token of the pages' };
    expect((await fetch(`http://127.0.0.1:${port}/hooks/push`, { headers })).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${port}/hooks/pull`, { method: 'POST', headers })).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${port}/hooks/pull`, { method: 'POST' })).status).toBe(401);
  });

  it('takes its secret from a file, which may be replaced, and believes nobody while it is unusable', async () => {
    const file = join(await temporaryDirectory(), 'secret');
    const clock = new ManualClock();
    const { call, events } = await serve(keptSecret({ secret: null, file, minLength: 8, clock }));
    const body = push();
    expect((await call(body, hub(body))).code).toBe(401);
    expect(events.named('hook.refused')).toMatchObject([{ reason: 'no-secret' }]);
    for (const secret of ['the first one', 'the second one']) {
      await writeFile(file, `${secret}\n`);
      clock.advance(1_000);
      expect((await call(body, hub(body, secret))).code).toBe(202);
    }
    expect((await call(body, hub(body, 'the first one'))).code).toBe(401);
    await writeFile(file, '\n');
    clock.advance(1_000);
    expect((await call(body, hub(body, ''))).code).toBe(401);
    expect(keptSecret({ secret: null, file: null, minLength: 8, clock })).toBeNull();
  });
});
