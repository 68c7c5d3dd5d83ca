/** The worker's image, built on a plain Debian and run on a real engine. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { demoTasks } from '../../src/cli/client/demo-tasks.ts';
import { PrivateEngine } from '../support/engine.ts';
import { freePort } from '../support/free-port.ts';
import { GitServer } from '../support/git-server.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { ROOT, WORKER_IMAGE, WorkerImage } from '../support/worker-image.ts';

/** 351 MB were measured: the base 117, git, ssh and perl 103, Node.js 116, the worker with its dependencies 16. */
const MAX_IMAGE_BYTES = 400_000_000;
/** debootstrap, when its result is not there yet, and the build itself. */
const SET_UP_BOUND_MS = 900_000;
const USER = '10001';
const { dependencies: DEPENDENCIES } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
};

interface ImageFacts {
  Size: number;
  Config: {
    User: string;
    Env: string[];
    Volumes: Record<string, object>;
    StopSignal: string;
    Labels: Record<string, string>;
  };
}

let directory: TempDir;
let server: GitServer;
let engine: PrivateEngine;
let image: WorkerImage;

beforeAll(async () => {
  directory = makeTempDir('image');
  server = await GitServer.start();
  engine = await PrivateEngine.start();
  image = await WorkerImage.build(engine, directory.sub('home'));
}, SET_UP_BOUND_MS);

afterAll(async () => {
  await server?.stop();
  await engine?.stop();
  directory.remove();
});

async function repository(name: string): Promise<TaskRepository> {
  return new TaskRepository(await server.createRepository(name));
}

/** What no figure of a busy machine may change. */
const UNHURRIED = { MAX_CPU_PERCENT: '100', MAX_MEMORY_PERCENT: '100', MAX_DISK_PERCENT: '100' };

describe('the image', () => {
  it('is small, and says what it is', async () => {
    const { Size, Config } = await image.inspect<ImageFacts>('image', WORKER_IMAGE);
    expect(Size).toBeLessThan(MAX_IMAGE_BYTES);
    expect(Config).toMatchObject({ User: 'dgrid', StopSignal: 'SIGTERM' });
    expect(Object.keys(Config.Volumes)).toEqual(['/var/lib/dgrid']);
    expect(Config.Labels).toMatchObject({
      'org.opencontainers.image.title': 'D-GRID worker',
      'org.opencontainers.image.version': '0.0.0-test',
    });
    // How it was built is nobody's business.
    expect(Config.Env.map((line) => line.replace(/=.*/s, '')).toSorted()).toEqual([
      'DGRID_STATE_DIR',
      'NODE_ENV',
      'PATH',
    ]);
  });

  it('can list what is in it', async () => {
    const { stdout } = await image.run([], { entrypoint: '/opt/dgrid/docker/sbom' });
    const { bomFormat, specVersion, metadata, components } = JSON.parse(stdout) as {
      bomFormat: string;
      specVersion: string;
      metadata: { component: { name: string } };
      components: { name: string; version: string; purl: string; 'bom-ref': string }[];
    };
    expect([bomFormat, specVersion, metadata.component.name]).toEqual(['CycloneDX', '1.5', 'd-grid']);
    const refs = components.map((component) => component['bom-ref']);
    expect(new Set(refs).size).toBe(refs.length);
    const purls = components.map(({ purl }) => purl.replace(/@[^@]*$/, ''));
    for (const name of Object.keys(DEPENDENCIES)) expect(purls).toContain(`pkg:npm/${name}`);
    for (const name of ['git', 'openssh-client', 'tini']) expect(purls).toContain(`pkg:deb/debian/${name}`);
    expect(components.find(({ name }) => name === 'node')?.version).toBe(process.versions.node);
    // Nothing that only builds and tests need.
    expect(purls).not.toContain('pkg:npm/vitest');
  });

  it('runs as a user that can write nothing but its state', async () => {
    const places = '! -path "/proc/*" ! -path "/tmp" ! -path "/dev/*"';
    const script = `id -u; stat -c "%u %a" "$DGRID_STATE_DIR"; find / -xdev -writable ! -type l ${places} 2>/dev/null`;
    const { stdout } = await image.run(['-c', script], { entrypoint: 'sh' });
    const [user, state, ...writable] = stdout.trim().split('\n');
    expect({ user, state }).toEqual({ user: USER, state: `${USER} 700` });
    expect(writable.toSorted()).toEqual(['/run/docker.sock', '/var/lib/dgrid']);
  });

  it('takes tasks to their records under the edge profile, locked down, and ends with 0', async () => {
    const repo = await repository('tasks');
    const tasks = demoTasks();
    await repo.commit(
      Object.fromEntries(tasks.map(({ taskId, content }) => [`tasks/queue/${taskId}.json`, Buffer.from(content)])),
    );
    const env = { DGRID_REPO_URL: server.url('tasks'), NODE_ID: 'box', HTTP_PORT: '0', ...UNHURRIED };
    const { code, stdout, stderr } = await image.run(['start', '--until-idle'], { env });
    expect(code, stdout + stderr).toBe(0);
    for (const { taskId, expected } of tasks) {
      const record = await repo.record(taskId);
      expect({ taskId, reason: record?.reason, node: record?.node_id }).toEqual({
        taskId,
        reason: expected,
        node: 'box',
      });
    }
    expect((await repo.record('hello'))?.stdout).toBe('hello from Linux, as user 65534\n');
    expect(await repo.queued()).toEqual([]);
    // No registry, no network: the image for tasks was packed from the busybox in the worker's image.
    expect(stdout).toContain('"event":"image.built"');
    expect(stdout).toContain('"from":"/bin/busybox"');
    expect(await engine.countLeftovers()).toBe(0);
  });

  it('finds nothing broken by doctor', async () => {
    const repo = await repository('examined');
    await repo.queue({ one: { script: 'true' } });
    const env = { DGRID_REPO_URL: server.url('examined'), NODE_ID: 'box', ...UNHURRIED };
    const { code, stdout, stderr } = await image.run(['doctor', '--json'], { env });
    expect(code, stdout + stderr).toBe(0);
    const { checks } = JSON.parse(stdout) as { checks: { check: string; outcome: string }[] };
    expect(checks.filter(({ outcome }) => outcome === 'broken')).toEqual([]);
    expect(checks.find(({ check }) => check === 'container engine')).toMatchObject({ outcome: 'ok' });
  });

  it('has the client beside the worker', async () => {
    const { code, stdout } = await image.run(['--version'], { entrypoint: 'dgrid' });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+/) });
  });

  it('names what is missing and ends with 2 when it is not configured', async () => {
    const { code, stderr } = await image.run(['start']);
    expect(code).toBe(2);
    expect(stderr).toContain('DGRID_REPO_URL');
  });
});

describe('the health check', () => {
  async function check(env: Record<string, string>): Promise<number | null> {
    return (await image.run([], { entrypoint: '/opt/dgrid/docker/healthcheck', env })).code;
  }

  it('asks /startupz of the address that the worker was given, past any proxy', async () => {
    const asked: string[] = [];
    let status = 200;
    const pages = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(status).end('{}');
    });
    pages.listen(0, '127.0.0.1');
    await once(pages, 'listening');
    onTestFinished(() => void pages.close());
    const { port } = pages.address() as AddressInfo;
    const HTTP_PORT = String(port);
    expect(await check({ HTTP_PORT })).toBe(0);
    expect(await check({ HTTP_PORT, HTTP_HOST: '0.0.0.0', http_proxy: 'http://127.0.0.1:9' })).toBe(0);
    expect(asked).toEqual(['/startupz', '/startupz']);
    status = 500;
    expect(await check({ HTTP_PORT })).not.toBe(0);
  });

  it('takes no other container for its own, which may answer on the same network', async () => {
    let process: string | null = 'pid:[1]';
    const pages = createServer((_request, response) => {
      if (process !== null) response.setHeader('Dgrid-Process-Namespace', process);
      response.end('{}');
    });
    pages.listen(0, '127.0.0.1');
    await once(pages, 'listening');
    onTestFinished(() => void pages.close());
    const { port } = pages.address() as AddressInfo;
    const env = { HTTP_PORT: String(port) };
    expect(await check(env)).toBe(1);
    // As a worker of before this answers.
    process = null;
    expect(await check(env)).toBe(0);
  });

  it('fails when nobody answers, and asks nobody when nothing is served', async () => {
    expect(await check({ HTTP_PORT: String(await freePort()) })).not.toBe(0);
    expect(await check({ HTTP_PORT: '0' })).toBe(0);
  });
});

describe.each(['compose.yaml', 'compose.filtered.yaml'])('docker/%s', (file) => {
  const path = join(ROOT, 'docker', file);
  const name = file.replaceAll('.', '-');

  it('names the settings that it cannot do without', async () => {
    const { code, stderr } = await image.compose([path], {}, ['config']);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/DGRID_REPO_URL|NODE_ID|DOCKER_GID/);
  });

  it('runs a worker that becomes healthy, works, and signs off when it is stopped', async () => {
    const repo = await repository(name);
    await repo.queue({ before: { script: 'echo before' } });
    // The engine has no network for containers, and nobody wants to wait half a minute for a first look.
    const override = directory.sub(`override-${file}`);
    const port = await freePort();
    const HTTP_TOKEN = 'the-token-of-the-pages';
    const worker = {
      network_mode: 'host',
      environment: { HTTP_PORT: String(port), HTTP_TOKEN, PULL_INTERVAL: '1', RECORD_DELAY: '1', ...UNHURRIED },
      healthcheck: { interval: '1s' },
    };
    // JSON is YAML too.
    writeFileSync(override, JSON.stringify({ services: { worker } }));
    const files = [path, override];
    const env = {
      DGRID_VERSION: 'test',
      DGRID_REPO_URL: server.url(name),
      NODE_ID: name,
      DOCKER_GID: image.socketGroup,
      DOCKER_SOCKET: engine.socketPath,
    };
    const compose = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await image.compose(files, env, args);
      expect(code, stdout + stderr).toBe(0);
      return stdout;
    };
    const config = await compose('config');
    expect(config).toMatch(/stop_grace_period: ("?150s"?|2m30s)/);
    expect(config).toMatch(/PULL_INTERVAL: ['"]?1\b/); // the service's settings beat the profile's
    await compose('up', '--detach', '--no-build');
    const container = (await compose('ps', '--quiet', 'worker')).trim();
    // The health check has no token, and needs none; everybody else does.
    await image.untilHealthy(container);
    const pages = `http://127.0.0.1:${port}`;
    expect((await fetch(`${pages}/metrics`)).status).toBe(401);
    const headers = { authorization: `Bearer ${HTTP_TOKEN}` };
    expect(await (await fetch(`${pages}/metrics`, { headers })).text()).toContain('\ndgrid_build_info{');
    const isRecorded = async () => (await repo.record('before')) !== null;
    await until('the task has its record', isRecorded, 30_000).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await compose('logs', '--no-color')}`, { cause: error });
    });
    expect(await repo.record('before')).toMatchObject({ status: 'success', node_id: name });
    const { Mounts } = await image.inspect<{ Mounts: { Source: string }[] }>('container', container);
    const hasSocket = Mounts.some(({ Source }) => Source === engine.socketPath);
    expect(hasSocket).toBe(file === 'compose.yaml');
    await compose('stop');
    const { State } = await image.inspect<{ State: { ExitCode: number } }>('container', container);
    expect(State.ExitCode).toBe(0);
    expect(await image.logs(container)).toContain('"event":"node.goodbye"');
    await compose('down', '--volumes');
  });
});
