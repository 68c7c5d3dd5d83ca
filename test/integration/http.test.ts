import { describe, expect, it, onTestFinished } from 'vitest';
import type { HealthSource } from '../../src/observe/http/app.ts';
import { startHttpServer } from '../../src/observe/http/server.ts';

async function serve(source: Partial<HealthSource> = {}): Promise<string> {
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    hook: null,
    source: { reasons: () => [], details: () => ({ node: 'pi' }), ...source },
  });
  onTestFinished(() => server.close());
  return `http://127.0.0.1:${server.port}`;
}

describe('health over HTTP', () => {
  it('is alive whatever else is the matter', async () => {
    const base = await serve({ reasons: () => [{ reason: 'engine', text: 'gone' }] });
    const answer = await fetch(`${base}/livez`);
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'alive' }]);
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
    const source: HealthSource = { reasons: () => [], details: () => ({}) };
    await expect(startHttpServer({ host: '127.0.0.1', port, hook: null, source })).rejects.toThrow(/EADDRINUSE/);
  });
});
