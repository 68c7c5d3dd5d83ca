/** Networks that tasks ask for, on a real engine: who gets which, and what one without a way out really shuts off. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finish, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { statsOf, untilWaiting, WARM_LIMITS } from '../support/warm-pool.ts';

let engine: PrivateEngine;
let host: Server;
/** By name. An engine that cannot make any says why. */
const ids = new Map<string, string>();
let whyNot: string | null = null;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  for (const name of ['builds', 'builds-2', 'other', 'cafe']) {
    const wanted = { Name: name, Driver: 'bridge', Internal: true };
    const { status, body } = await engine.api<{ Id: string; message?: string }>('POST', '/networks/create', wanted);
    if (status === 201) ids.set(name, body.Id);
    else whyNot = `the engine cannot make an internal network here: ${body.message}`;
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

  it('that is on the list is given, by its id, and leads nowhere but to those on it', async (context) => {
    context.skip(whyNot !== null, whyNot ?? '');
    await using test = await withNetworks();
    const server = testJob('echo up; while :; do echo pong | nc -l -p 7000; done', { network: 'builds' });
    const running = await test.executor.start(server);
    try {
      await engine.printed(server.key.taskId, 'up');
      const { body } = await engine.api<
        {
          Id: string;
          HostConfig: { NetworkMode: string };
          NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
        }[]
      >('GET', '/containers/json');
      const inspected = body[0];
      expect(inspected?.HostConfig.NetworkMode).toBe(ids.get('builds'));
      const address = Object.values(inspected?.NetworkSettings.Networks ?? {})[0]?.IPAddress ?? '';
      expect(address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
      const script = [
        LOOK,
        // The engine's own rules are off in these tests, so what is seen is what the network itself does.
        `echo; nc -w 2 ${address} 7000 </dev/null || echo no answer`,
        `nc -w 2 127.0.0.1 ${(host.address() as AddressInfo).port} </dev/null || echo no host`,
        'nc -w 2 192.0.2.1 80 </dev/null 2>/dev/null || echo no way out',
      ].join('\n');
      const end = await finish(await test.executor.start(testJob(script, { network: 'builds' })));
      expect(end.stdout).toContain('eth0\n');
      // No route but that to the network itself.
      const routes = end.stdout.slice(end.stdout.indexOf('routes\n') + 7, end.stdout.indexOf('\n\n'));
      expect(routes.split('\n')).toHaveLength(1);
      expect(routes).not.toContain('\t00000000');
      expect(end.stdout).toMatch(/pong\nno host\nno way out\n$/);
      const apart = await finish(
        await test.executor.start(testJob(`nc -w 2 ${address} 7000 </dev/null || echo apart`, { network: 'none' })),
      );
      expect(apart.stdout).toBe('apart\n');
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
    context.skip(whyNot !== null, whyNot ?? '');
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
    context.skip(whyNot !== null, whyNot ?? '');
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
