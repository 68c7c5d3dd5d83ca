import { readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HealthSource } from '../../src/observe/http/app.ts';
import { startHttpServer } from '../../src/observe/http/server.ts';
import { appOptions, servePages } from '../support/pages-server.ts';

async function serve(source: Partial<HealthSource> = {}): Promise<string> {
  const served = await servePages({
    source: { hasJoined: () => true, reasons: () => [], details: async () => ({ node: 'pi' }), ...source },
  });
  return served.base;
}

describe('health over HTTP', () => {
  it('is alive whatever else is the matter', async () => {
    const base = await serve({ reasons: () => [{ reason: 'engine', text: 'gone' }] });
    const answer = await fetch(`${base}/livez`);
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'alive' }]);
  });

  it('has started once it has taken its place, and names the process that says so', async () => {
    let hasJoined = false;
    const base = await serve({ hasJoined: () => hasJoined });
    expect((await fetch(`${base}/startupz`)).status).toBe(503);
    hasJoined = true;
    const answer = await fetch(`${base}/startupz`);
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'started' }]);
    expect(answer.headers.get('dgrid-process-namespace')).toBe(readlinkSync('/proc/self/ns/pid'));
  });

  it('is ready only when it would take a task, and says why not', async () => {
    const reasons: { reason: string; text: string }[] = [];
    const base = await serve({ reasons: () => reasons });
    expect((await fetch(`${base}/readyz`)).status).toBe(200);
    reasons.push({ reason: 'disk', text: '/ is full' });
    const answer = await fetch(`${base}/readyz`);
    expect([answer.status, await answer.json()]).toEqual([503, { status: 'not ready', reasons }]);
  });

  it('tells the details, and nothing to those who ask for something else', async () => {
    const base = await serve();
    expect(await (await fetch(`${base}/health`)).json()).toEqual({ node: 'pi', paused: [] });
    expect((await fetch(`${base}/etc/passwd`)).status).toBe(404);
    expect((await fetch(`${base}/health`, { method: 'POST', body: 'x'.repeat(5_000) })).status).toBeGreaterThanOrEqual(
      400,
    );
  });

  it('says so when the address is taken', async () => {
    const base = await serve();
    const port = Number(new URL(base).port);
    await expect(startHttpServer({ ...appOptions(), port })).rejects.toThrow(/EADDRINUSE/);
  });
});
