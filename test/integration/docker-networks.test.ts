/** Networks that tasks ask for, on a real engine: who gets which, and what one without a way out really shuts off. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finish, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { statsOf, untilWaiting, WARM_LIMITS } from '../support/warm-pool.ts';

let engine: PrivateEngine;
let host: Server;

interface Listed {
  HostConfig: { NetworkMode: string };
  NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
}
/** By name. An engine that cannot make any says why. */
const ids = new Map<string, string>();
const whyNot = new Map<string, string>();

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  for (const name of ['builds', 'builds-2', 'other', 'builds-walled']) {
    const wanted = { Name: name, Driver: name === 'builds-walled' ? 'macvlan' : 'bridge', Internal: true };
    const { status, body } = await engine.api<{ Id: string; message?: string }>('POST', '/networks/create', wanted);
    if (status === 201) ids.set(name, body.Id);
    else whyNot.set(name, `the engine cannot make such a network here: ${body.message}`);
  }
  host = createServer((_request, response) => response.end('the host'));
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  host.close();
  for (const id of ids.values()) await engine.api('DELETE', `/networks/${id}`);
  await engine.stop();
});

const LOOK = 'for i in /sys/class/net/*; do echo "${i##*/}"; done; echo routes; tail -n +2 /proc/net/route | cut -f1,2';

async function withNetworks(changes: Parameters<typeof testExecutor>[1] = {}): Promise<TestExecutor> {
  return await testExecutor(engine.host, { allowedNetworks: ['builds*'], ...WARM_LIMITS, ...changes });
}

describe('a network', () => {
  it('is none by default, and none can always be asked for', async () => {
    await using test = await withNetworks();
    for (const changes of [{}, { network: 'none' }]) {
      const end = await finish(await test.executor.start(testJob(LOOK, changes)));
      expect(end.stdout).toBe('lo\nroutes\n');
    }
  });

  it.for([
    // Of the engine's own rules, which these tests do without, nothing is expected here.
    { name: 'builds', kind: 'a bridge', routes: null },
    { name: 'builds-walled', kind: 'a macvlan without a parent: no route but to the network itself', routes: 1 },
  ])('that is on the list is given, by its id, and joins those on it ($kind)', async ({ name, routes }, context) => {
    context.skip(!ids.has(name), whyNot.get(name) ?? '');
    await using test = await withNetworks();
    const server = testJob('echo up; while :; do echo pong | nc -l -p 7000; done', { network: name });
    const running = await test.executor.start(server);
    try {
      await engine.printed(server.key.taskId, 'up');
      const { body } = await engine.api<Listed[]>('GET', '/containers/json');
      expect(body[0]?.HostConfig.NetworkMode).toBe(ids.get(name));
      const address = Object.values(body[0]?.NetworkSettings.Networks ?? {})[0]?.IPAddress ?? '';
      expect(address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
      const call = `nc -w 2 ${address} 7000 </dev/null || echo no answer`;
      const ownHost = `nc -w 2 127.0.0.1 ${(host.address() as AddressInfo).port} </dev/null || echo no host`;
      const joined = await finish(
        await test.executor.start(testJob(`${call}; ${ownHost}; ${LOOK}`, { network: name })),
      );
      expect(joined.stdout).toMatch(/^pong\nno host\neth0\n/);
      const seen = joined.stdout
        .slice(joined.stdout.indexOf('routes\n') + 7)
        .trimEnd()
        .split('\n');
      if (routes !== null) {
        expect(seen).toHaveLength(routes);
        expect(seen.filter((line) => line.endsWith('\t00000000'))).toEqual([]);
      }
      const apart = await finish(await test.executor.start(testJob(call, { network: 'none' })));
      expect(apart.stdout).toBe('no answer\n');
    } finally {
      await running.dispose();
    }
  });

  it.each(['other', 'bridge', 'host', 'default', 'container:x', 'ns:/proc/1/ns/net'])(
    'that is not on the list is refused: %s',
    async (network) => {
      await using test = await withNetworks();
      await expect(test.executor.start(testJob('true', { network }))).rejects.toMatchObject({ kind: 'rejected' });
    },
  );

  it('that is not there is refused, and not taken for another whose id begins like that', async (context) => {
    context.skip(whyNot.has('other'), whyNot.get('other') ?? '');
    await using test = await withNetworks({ allowedNetworks: ['*'] });
    const other = ids.get('other') ?? '';
    for (const network of ['absent', other.slice(0, 12), other.slice(0, 4), other]) {
      await expect(test.executor.start(testJob('true', { network }))).rejects.toMatchObject({ kind: 'rejected' });
    }
    expect(await engine.countLeftovers()).toBe(0);
  });

  it('that is set for all and not there stops claiming, and is no fault of a task', async () => {
    await using test = await withNetworks({ network: 'absent' });
    await expect(test.executor.probe()).rejects.toMatchObject({
      kind: 'engine-unavailable',
      message: expect.stringContaining('docker network create'),
    });
    await expect(test.executor.start(testJob('true'))).rejects.toMatchObject({ kind: 'engine-unavailable' });
  });

  it('keeps containers apart that wait for a task', async (context) => {
    context.skip(whyNot.has('builds'), whyNot.get('builds') ?? '');
    await using test = await withNetworks({ warmPoolSize: 2, network: 'builds' });
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    const run = async (network?: string) =>
      (await finish(await test.executor.start(testJob(LOOK, network ? { network } : {})))).stdout;
    expect(await run('builds-2')).toContain('eth0');
    expect(await run('none')).toBe('lo\nroutes\n');
    expect(statsOf(test.executor)).toMatchObject({ hits: 0, misses: 2 });
    // The one that is set for all can be named too.
    expect(await run('builds')).toContain('eth0');
    expect(statsOf(test.executor)).toMatchObject({ hits: 1, misses: 2 });
    await untilWaiting(test.executor, 2);
    expect(new Set(statsOf(test.executor).kinds.map(({ network }) => network))).toEqual(
      new Set([ids.get('builds'), ids.get('builds-2'), 'none']),
    );
  });
});
