/** The filter in front of a real engine: a worker gets on with it as with the engine itself, and nobody gets anything else. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ContainerSpec, containerSpec } from '../../src/executor/docker/container-spec.ts';
import { DOCKER_QUIRKS } from '../../src/executor/docker/engine-quirks.ts';
import { gridIdOf } from '../../src/executor/docker/grid-id.ts';
import { LABEL } from '../../src/executor/docker/labels.ts';
import { CORE_SCENARIOS, prepareSite, SITE_REPO } from '../support/core-scenarios.ts';
import { dockerSettings, finish, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { EngineProxy } from '../support/engine-proxy.ts';
import { type FilterSite, filterSite } from '../support/filter-site.ts';
import { rawRequest, sendRaw } from '../support/raw-http.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';

const GRID = gridIdOf(SITE_REPO);

let engine: PrivateEngine;
let directory: TempDir;
let watched: EngineProxy;
let filter: FilterSite;
/** What has come through to the engine, since it was last emptied. */
let through: string[] = [];

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await prepareSite(engine);
  directory = makeTempDir('watched');
  watched = await EngineProxy.start(directory.sub('s'), engine.socketPath);
  watched.onCall = ({ method, path }) => void through.push(`${method} ${path}`);
  filter = await filterSite(watched.host);
});

afterAll(async () => {
  await filter[Symbol.asyncDispose]();
  await watched.stop();
  directory.remove();
  await engine.stop();
});

describe('a worker behind it', () => {
  it.each(CORE_SCENARIOS.map((scenario) => [scenario.name, scenario] as const))('%s', async (_, scenario) => {
    await scenario.run({ engine, host: filter.host });
  });

  it('was never refused anything', () => {
    expect(filter.events.named('filter.refused')).toEqual([]);
  });

  it('sees the engine go and come back as without it', async () => {
    await using test = await testExecutor(filter.host, {}, { gridId: GRID });
    const job = testJob('echo before; sleep 3; exit 7');
    const run = await test.executor.start(job);
    await engine.printed(job.key.taskId, 'before');
    watched.swallow();
    watched.cut();
    await expect(test.executor.probe(AbortSignal.timeout(1_500))).rejects.toThrow();
    watched.release();
    expect((await finish(run)).verdict).toMatchObject({ kind: 'exited', exitCode: 7 });
    await engine.restart('SIGKILL');
    await expect(test.executor.probe()).resolves.toMatchObject({ dataRoot: engine.dataRoot });
  });

  it('is told of an engine that is not there as of one', async () => {
    await using nowhere = await filterSite(`unix://${directory.sub('nobody')}`);
    await using test = await testExecutor(nowhere.host, {}, { gridId: GRID });
    await expect(test.executor.probe()).rejects.toMatchObject({ kind: 'engine-unavailable' });
    await expect(test.executor.probe()).rejects.toMatchObject({ kind: 'engine-unavailable' });
    expect(nowhere.events.named('filter.engine-lost')).toHaveLength(1);
  });

  it('is refused what the filter has not been told of, by name', async () => {
    await using test = await testExecutor(
      filter.host,
      { memoryBytes: 2 ** 30, workDirBytes: 2 ** 20 },
      { gridId: GRID },
    );
    const big = testJob('true', { memoryBytes: 2 ** 29 });
    await expect(test.executor.start(big)).rejects.toThrow("above the operator's limit");
    const [refusal] = filter.events.named('filter.refused').slice(-1);
    expect(refusal).toMatchObject({ method: 'POST', status: 403 });
  });
});

describe('somebody else at its socket', () => {
  let own: ContainerSpec;
  let ids: Record<'others' | 'otherNode' | 'ours', string>;

  beforeAll(async () => {
    const { body: image } = await engine.api<{ Id: string }>('GET', '/images/busybox:stable/json');
    const context = {
      gridId: GRID,
      nonce: 'ab'.repeat(16),
      maxOutputBytes: 2 ** 20,
      engineCpus: null,
      imageId: image.Id,
      imageDigest: null,
      imageVolumes: [],
      networkMode: 'none',
      quirks: DOCKER_QUIRKS,
    };
    own = containerSpec(testJob('echo'), dockerSettings(filter.host), context);
    const labels = { ...own.Labels, [LABEL.node]: 'node-2' };
    ids = {
      others: await make('dgrid-others', { Image: 'busybox:stable', Cmd: ['sleep', '1000'] }),
      otherNode: await make('dgrid-other-node', { ...own, Labels: labels }),
      ours: await make('dgrid-ours', own),
    };
    await engine.api('POST', `/containers/${ids.others}/start`);
  });

  afterAll(async () => {
    for (const id of Object.values(ids)) await engine.api('DELETE', `/containers/${id}?force=true`);
  });

  async function make(name: string, spec: object): Promise<string> {
    const { body } = await engine.api<{ Id: string }>('POST', `/containers/create?name=${name}`, spec);
    return body.Id;
  }

  const create = (body: string): Buffer => rawRequest('POST', '/containers/create?name=dgrid-attack', body);
  const withHost = (fields: object): Buffer =>
    create(JSON.stringify({ ...own, HostConfig: { ...own.HostConfig, ...fields } }));
  const text = (): string => JSON.stringify(own);

  /** Everything that is to be refused, by what it would do. */
  const attacks: Record<string, () => string | Buffer> = {
    'a privileged container': () => withHost({ Privileged: true }),
    'a privileged container, in another case': () => withHost({ privileged: true }),
    'the root directory of the machine': () => withHost({ Binds: ['/:/host'] }),
    'the root directory, as a mount': () => withHost({ Mounts: [{ Type: 'bind', Source: '/', Target: '/host' }] }),
    "the engine's socket": () => withHost({ Binds: ['/var/run/docker.sock:/s'] }),
    "the host's network": () => withHost({ NetworkMode: 'host' }),
    "the host's processes": () => withHost({ PidMode: 'host' }),
    "another container's processes": () => withHost({ PidMode: `container:${ids.others}` }),
    'a device': () =>
      withHost({ Devices: [{ PathOnHost: '/dev/sda', PathInContainer: '/dev/sda', CgroupPermissions: 'rwm' }] }),
    'a capability': () => withHost({ CapAdd: ['SYS_ADMIN'] }),
    'no seccomp': () => withHost({ SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'] }),
    "another container's volumes": () => withHost({ VolumesFrom: ['dgrid-others'] }),
    'HostConfig in another case': () => create(text().replace('"HostConfig"', '"hostconfig"')),
    'a second HostConfig in another case': () => create(text().replace(/}$/, ',"hostConfig":{"Privileged":true}}')),
    'a second HostConfig': () => create(text().replace(/}$/, ',"HostConfig":{"Privileged":true}}')),
    'a second HostConfig, before': () => create(text().replace(/^{/, '{"HostConfig":{"Privileged":true},')),
    'an escaped name': () => create(text().replace(/}$/, ',"\\u0048ostConfig":{"Privileged":true}}')),
    root: () => create(JSON.stringify({ ...own, User: '0' })),
    'an image that is not on the list': () =>
      create(JSON.stringify({ ...own, Image: 'docker.io/library/other:latest' })),
    'labels of others': () => create(JSON.stringify({ ...own, Labels: { ...own.Labels, [LABEL.grid]: 'other' } })),
    'a create without a body': () => rawRequest('POST', '/containers/create?name=dgrid-attack'),
    'a body that is none': () => create('x'),
    'a body that is too long': () =>
      rawRequest('POST', '/containers/create?name=dgrid-attack', Buffer.alloc(9 * 2 ** 20, 0x20)),
    'a command in a container': () => rawRequest('POST', `/containers/${ids.ours}/exec`, '{"Cmd":["id"]}'),
    "files of a container's": () => rawRequest('GET', `/containers/${ids.ours}/archive?path=/etc`),
    'files into a container': () => rawRequest('PUT', `/containers/${ids.ours}/archive?path=/`, 'x'),
    'a change of limits': () => rawRequest('POST', `/containers/${ids.ours}/update`, '{"Memory":0}'),
    'a build': () => rawRequest('POST', '/build', 'x'),
    'a build session': () => rawRequest('POST', '/session', '', ['Upgrade: h2c', 'Connection: Upgrade']),
    'a version in front': () => rawRequest('GET', '/v1.41/info'),
    'a version and back again': () => rawRequest('POST', `/v1.41/../containers/${ids.others}/kill?signal=KILL`),
    'two slashes': () => rawRequest('GET', '//containers/json'),
    'an escaped slash': () => rawRequest('POST', `/containers/${ids.ours}%2Fexec`),
    'the whole address': () => rawRequest('GET', 'http://docker/containers/json'),
    'start of a container of others': () => rawRequest('POST', `/containers/${ids.others}/start`),
    'kill of a container of others': () => rawRequest('POST', `/containers/${ids.others}/kill?signal=KILL`),
    'removal of a container of others': () => rawRequest('DELETE', `/containers/${ids.others}?force=true&v=true`),
    'removal of a container of others, by name': () =>
      rawRequest('DELETE', '/containers/dgrid-others?force=true&v=true'),
    'inspection of a container of others': () => rawRequest('GET', `/containers/${ids.others}/json`),
    'output of a container of others': () =>
      rawRequest('GET', `/containers/${ids.others}/logs?stdout=1&stderr=1&follow=0&tail=all`),
    'figures of a container of others': () => rawRequest('GET', `/containers/${ids.others}/stats?stream=true`),
    'waiting for a container of others': () =>
      rawRequest('POST', `/containers/${ids.others}/wait?condition=not-running`),
    'attaching to a container of others': () =>
      rawRequest('POST', `/containers/${ids.others}/attach?stream=1&stdout=1&stderr=1&stdin=1`, '', ['Upgrade: tcp'])
        .toString()
        .replace('Connection: close', 'Connection: Upgrade'),
    'events of a container of others': () =>
      rawRequest(
        'GET',
        `/events?since=0&until=1&filters=${encodeURIComponent(JSON.stringify({ container: [ids.others], event: ['start', 'die'] }))}`,
      ),
    'a container of another node': () => rawRequest('DELETE', `/containers/${ids.otherNode}?force=true&v=true`),
    'an id cut short': () => rawRequest('DELETE', `/containers/${ids.others.slice(0, 12)}?force=true&v=true`),
    'all events': () => rawRequest('GET', '/events'),
    'all containers that run': () => rawRequest('GET', '/containers/json'),
    'all containers by a filter': () =>
      rawRequest('GET', `/containers/json?all=true&filters=${encodeURIComponent('{"status":["running"]}')}`),
    'all networks': () => rawRequest('GET', '/networks'),
    'a network that is not on the list': () =>
      rawRequest('GET', `/networks?filters=${encodeURIComponent('{"name":["bridge"]}')}`),
    'a container in a network by its name': () => withHost({ NetworkMode: 'builds' }),
    'a container in a network that is not there': () => withHost({ NetworkMode: 'f'.repeat(64) }),
    'credentials that are none': () =>
      rawRequest('POST', '/images/create?fromImage=docker.io%2Flibrary%2Fbusybox&tag=stable', '', [
        'X-Registry-Auth: not base64!',
      ]),
    'pulling what is not on the list': () =>
      rawRequest('POST', '/images/create?fromImage=docker.io%2Flibrary%2Fother&tag=latest'),
    'importing under another name': () =>
      rawRequest('POST', '/images/create?fromSrc=-&repo=docker.io%2Flibrary%2Fbusybox%3Astable', 'x'),
    'importing from an address': () =>
      rawRequest('POST', '/images/create?fromSrc=http%3A%2F%2Fx&repo=docker.io%2Flibrary%2Fa%3Ab'),
    'removal of an image of others': () =>
      rawRequest('DELETE', '/images/docker.io/library/busybox:stable?force=false&noprune=true'),
    'a list of images without a name': () =>
      rawRequest('GET', `/images/json?filters=${encodeURIComponent('{"dangling":["true"]}')}`),
    'the build cache': () => rawRequest('POST', '/build/prune'),
    'a volume': () => rawRequest('POST', '/volumes/create', '{}'),
    'a network': () => rawRequest('POST', '/networks/create', '{"Name":"x"}'),
    'a plugin': () => rawRequest('POST', '/plugins/pull?remote=x', '[]'),
    'a length and chunks': () =>
      `POST /containers/create?name=dgrid-a HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST /build HTTP/1.1\r\nHost: d\r\n\r\n`,
    chunks: () =>
      'POST /containers/create?name=dgrid-a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    'an odd coding': () =>
      'POST /containers/create?name=dgrid-a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    'two lengths': () =>
      `POST /containers/create?name=dgrid-a HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\nGET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n`,
    'a length with a sign': () =>
      'POST /containers/create?name=dgrid-a HTTP/1.1\r\nHost: d\r\nContent-Length: +2\r\n\r\n{}',
    'a body behind a call without one': () =>
      rawRequest('GET', '/info', 'GET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n'),
    'a header twice': () => rawRequest('GET', '/info', '', ['X-A: 1', 'x-a: 2']),
    'a header over two lines': () => 'GET /info HTTP/1.1\r\nHost: d\r\nX-A: 1\r\n b\r\nConnection: close\r\n\r\n',
    'lines that end in one character': () => 'GET /info HTTP/1.1\nHost: d\nConnection: close\n\n',
    'no host': () => 'GET /info HTTP/1.1\r\nConnection: close\r\n\r\n',
    'an older HTTP': () => 'GET /info HTTP/1.0\r\nHost: d\r\n\r\n',
    'a tunnel': () => 'CONNECT docker:80 HTTP/1.1\r\nHost: docker\r\n\r\n',
    'an upgrade to something else': () =>
      'GET /info HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    'something expected': () =>
      'POST /containers/create?name=dgrid-a HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}',
    'a head without an end': () => `GET /info HTTP/1.1\r\nHost: d\r\nX-A: ${'x'.repeat(100_000)}\r\n\r\n`,
    'no HTTP at all': () => '\u0016\u0003\u0001\u0000\u0000',
  };

  it.each(Object.keys(attacks))('does not get: %s', async (name) => {
    through = [];
    const before = filter.events.all.length;
    const { statuses, text: answer } = await sendRaw(filter.socketPath, attacks[name]?.() ?? '');
    expect(statuses, answer).not.toEqual([]);
    for (const status of statuses) expect(status, answer).toBeGreaterThanOrEqual(400);
    // The filter may have looked for itself whose a thing is. Nothing else.
    const looks = /^GET \/(?:(?:containers|images)\/[^?]*\/json|networks\/[0-9a-f]{64})(?:\?|$)/;
    expect(through.filter((call) => !looks.test(call))).toEqual([]);
    if (!statuses.includes(409)) {
      expect(filter.events.all.slice(before).map((event) => event.name)).toContain('filter.refused');
    }
  });

  it('gets one call of a connection, and what is behind it is judged by itself', async () => {
    through = [];
    const two = Buffer.concat([rawRequest('GET', '/version'), rawRequest('POST', '/containers/prune')]);
    const { statuses } = await sendRaw(filter.socketPath, two.toString().replace('Connection: close\r\n', ''));
    expect(statuses[0]).toBe(200);
    expect(statuses.slice(1).every((status) => status >= 400)).toBe(true);
    expect(through.map((call) => call.replace(/\?$/, ''))).toEqual(['GET /version']);
  });

  it('learns of the containers of others only which images are in use', async () => {
    const { text: answer } = await sendRaw(filter.socketPath, rawRequest('GET', '/containers/json?all=true'));
    expect(answer).toContain('"ImageID":"sha256:');
    for (const word of [ids.others, 'dgrid-others', 'sleep']) expect(answer).not.toContain(word);
  });

  it('may ask what the engine is, and learns what a worker needs', async () => {
    const { statuses, text: answer } = await sendRaw(filter.socketPath, rawRequest('GET', '/info'));
    expect(statuses).toEqual([200]);
    expect(Object.keys(JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as object)).not.toContain('RegistryConfig');
  });

  it('sees of all containers those of this grid and node', async () => {
    const filters = encodeURIComponent(JSON.stringify({ label: [LABEL.task] }));
    const { text: answer } = await sendRaw(
      filter.socketPath,
      rawRequest('GET', `/containers/json?all=true&filters=${filters}`),
    );
    expect(answer).toContain(ids.ours);
    expect(answer).not.toContain(ids.otherNode);
    expect(answer).not.toContain(ids.others);
  });

  it('left everything as it was', async () => {
    const { body } = await engine.api<{ Id: string; State: string }[]>('GET', '/containers/json?all=true');
    expect(new Set(body.map(({ Id }) => Id))).toEqual(new Set(Object.values(ids)));
    expect(body.find(({ Id }) => Id === ids.others)?.State).toBe('running');
  });
});

describe('streams', () => {
  it('flow no faster than they are read, and stop when the reader leaves', async () => {
    await using test = await testExecutor(filter.host, {}, { gridId: GRID });
    const run = await test.executor.start(
      testJob('while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done'),
    );
    const { body } = await engine.api<{ Id: string }[]>('GET', '/containers/json');
    const id = body[0]?.Id ?? '';
    const before = process.memoryUsage().rss;
    const slow = createConnection(filter.socketPath);
    slow.pause();
    await once(slow, 'connect');
    slow.write(rawRequest('GET', `/containers/${id}/logs?stdout=1&stderr=1&follow=1&tail=all`));
    await delay(3_000);
    // Hundreds of megabytes are written in that time; a filter that took them all would hold them.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
    slow.destroy();
    run.stop('cancelled');
    await finish(run);
  });

  it('close at the engine with the connection of the worker', async () => {
    await using test = await testExecutor(
      filter.host,
      { warmPoolSize: 1, cpus: 1, memoryBytes: 64 * 2 ** 20 },
      { gridId: GRID },
    );
    test.executor.prepare('fill');
    await until('a container to wait', () => (test.executor.poolStats()?.waiting ?? 0) > 0, 30_000);
    // Its standard input ends with the worker, as without a filter; the pool is not asked to remove it first.
    await filter[Symbol.asyncDispose]();
    const ended = async () => {
      const { body } = await engine.api<{ State: string }[]>('GET', '/containers/json?all=true');
      return body.length > 0 && body.every(({ State }) => State === 'exited');
    };
    await until('the container that waited to end', ended, 15_000);
    filter = await filterSite(watched.host);
    for (const { Id } of (await engine.api<{ Id: string }[]>('GET', '/containers/json?all=true')).body) {
      await engine.api('DELETE', `/containers/${Id}?force=true`);
    }
  });

  it('are many at a time', async () => {
    await using test = await testExecutor(filter.host, {}, { gridId: GRID });
    const runs = await Promise.all(
      Array.from({ length: 8 }, () => test.executor.start(testJob('sleep 1; echo $DGRID_TASK_ID'))),
    );
    const ends = await Promise.all(runs.map(finish));
    expect(ends.map(({ stdout }) => stdout.trim())).toEqual(runs.map(({ key }) => key.taskId));
  });
});
