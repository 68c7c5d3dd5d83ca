/** The hook in front of every route: also of those that are added after it, in whichever way. */
import fastify, { type FastifyInstance } from 'fastify';
import { describe, expect, it } from 'vitest';
import { addAccess } from '../../../../src/observe/http/access.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { recordEvents } from '../../../support/recorded-events.ts';

const TOKEN = 'a-token-for-the-tests';

function guarded(token: string | null): FastifyInstance {
  const app = fastify();
  addAccess(app, {
    token: token === null ? null : async () => token,
    host: '127.0.0.1',
    clock: new ManualClock(),
    emit: recordEvents().emit,
  });
  app.get('/later', async () => 'shown');
  void app.register(async (scope) => {
    scope.get('/scoped', async () => 'shown');
    scope.get('/tasks/:id', async () => 'shown');
    scope.post('/hooks/pushed', async () => 'shown');
  });
  void app.register(async (scope) => void scope.get('/livez', async () => 'shown'), { prefix: '/deeper' });
  app.setNotFoundHandler(async (_request, reply) => reply.code(404).send('nothing'));
  return app;
}

describe('a guarded server', () => {
  it('asks for the token whatever is added to it, and whatever is not there', async () => {
    const app = guarded(TOKEN);
    const urls = ['/later', '/scoped', '/tasks/livez', '/deeper/livez', '/nothing', '/livez', '/'];
    for (const url of urls) {
      expect((await app.inject({ url })).statusCode, url).toBe(401);
      const known = await app.inject({ url, headers: { authorization: `Bearer ${TOKEN}` } });
      expect([200, 404], url).toContain(known.statusCode);
    }
    expect((await app.inject({ method: 'POST', url: '/hooks/pushed' })).statusCode).toBe(401);
    expect((await app.inject({ method: 'HEAD', url: '/later' })).statusCode).toBe(401);
    expect((await app.inject({ url: '/later', headers: { authorization: `Bearer ${TOKEN}` } })).body).toBe('shown');
  });

  it('without a token looks at the name that it is asked by, there too', async () => {
    const app = guarded(null);
    for (const url of ['/later', '/scoped', '/tasks/a', '/nothing']) {
      expect((await app.inject({ url, headers: { host: 'elsewhere.example.com' } })).statusCode, url).toBe(403);
      expect([200, 404], url).toContain((await app.inject({ url, headers: { host: 'localhost:8000' } })).statusCode);
    }
  });
});
