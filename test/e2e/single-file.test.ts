/** The single-file executable, made as a release is, on a plain Debian that has no Node.js. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoTasks } from '../../src/cli/client/demo-tasks.ts';
import { PAGE_FILES, PAGES_DIR } from '../../src/pages/page-files.ts';
import { type Box, BoxImage } from '../support/box.ts';
import { PrivateEngine } from '../support/engine.ts';
import { freePort } from '../support/free-port.ts';
import { runProgram } from '../support/programs.ts';
import { makeRelease, type Release } from '../support/release.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';

const ROOT = join(import.meta.dirname, '../..');
/** 122 MB were measured, of which Node.js without its symbols is 116. */
const MAX_BYTES = 135_000_000;
/** debootstrap, when its result is not there yet, and making the executable. */
const SET_UP_BOUND_MS = 400_000;
const { version: VERSION } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
/** What no figure of a busy machine may change. */
const UNHURRIED = {
  MAX_CPU_PERCENT: '100',
  MAX_MEMORY_PERCENT: '100',
  MAX_DISK_PERCENT: '100',
  MAX_MEMORY_PRESSURE: '0',
};

let directory: TempDir;
let engine: PrivateEngine;
let image: BoxImage;
let release: Release;
let box: Box;

beforeAll(async () => {
  directory = makeTempDir('single');
  release = await makeRelease(directory.sub('release'));
  engine = await PrivateEngine.start();
  image = await BoxImage.make(engine, directory.sub('home'));
  box = await image.start({ volumes: { [release.directory]: '/release:ro' } });
  await box.sh(`cp /release/${release.name} /usr/local/bin/dgrid && ln -s dgrid /usr/local/bin/dgrid-worker`);
}, SET_UP_BOUND_MS);

afterAll(async () => {
  await engine?.stop();
  directory.remove();
});

interface Listed {
  task_id: string;
  reason: string | null;
}

describe('a release', () => {
  it('has one executable of a bearable size, and the sums of all that belongs to it', async () => {
    const names = readdirSync(release.directory);
    expect(names.toSorted()).toEqual([
      'LICENSE',
      'SHA256SUMS',
      'THIRD-PARTY-NOTICES.txt',
      release.name,
      `${release.name}.gz`,
      'dgrid-engine-filter.service',
      'dgrid-worker.service',
      'install-steps.sh',
      'install.sh',
      'sbom.cdx.json',
    ]);
    expect(readFileSync(join(release.directory, release.name)).length).toBeLessThan(MAX_BYTES);
    const checked = await runProgram('sha256sum', ['--check', 'SHA256SUMS'], { cwd: release.directory });
    expect(checked.trim().split('\n')).toHaveLength(names.length - 1);
  });

  it('names the licence of all that is inside, in words and as a bill of materials', () => {
    const text = readFileSync(join(release.directory, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
    const { components } = JSON.parse(readFileSync(join(release.directory, 'sbom.cdx.json'), 'utf8')) as {
      components: { name: string; version: string; licenses?: unknown }[];
    };
    const names = components.map(({ name }) => name);
    for (const name of ['node', 'pino', 'zod', 'dockerode', 'fastify', 'simple-git']) expect(names).toContain(name);
    // Left out of it, and of no use to a worker.
    for (const name of ['ssh2', '@grpc/grpc-js', 'vitest', 'esbuild']) expect(names).not.toContain(name);
    for (const { name, version, licenses } of components.slice(1)) {
      expect(text).toContain(`\n${name} ${version} (`);
      expect(licenses, name).toBeDefined();
    }
    expect(text).toContain(`Node.js ${process.versions.node}\n`);
  });

  it('is made of the same bytes again', async () => {
    const again = await makeRelease(directory.sub('again'));
    const sums = (path: string): string => readFileSync(join(path, 'SHA256SUMS'), 'utf8');
    expect(sums(again.directory)).toBe(sums(release.directory));
  }, 120_000);
});

describe('on a box without Node.js', () => {
  it('is both programs, says its version, and complains of nothing', async () => {
    expect((await box.try(['sh', '-c', 'command -v node npm'])).code).not.toBe(0);
    for (const program of ['dgrid', 'dgrid-worker', `/release/${release.name}`]) {
      // What V8 compiled ahead is refused with a warning where it does not fit.
      expect(await box.try([program, '--version'])).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: '' });
    }
    expect((await box.try(['dgrid', '--help'])).stdout).toContain('Usage: dgrid ');
    expect((await box.try(['dgrid-worker', '--help'])).stdout).toContain('Usage: dgrid-worker ');
  });

  it('tells settings, and what is wrong with them', async () => {
    const right = await box.try(['dgrid-worker', 'config', '--repo', '/tmp/tasks.git', '--json']);
    expect(right.code, right.stderr).toBe(0);
    const { settings } = JSON.parse(right.stdout) as { settings: { name: string; value: unknown }[] };
    expect(settings.find(({ name }) => name === 'DGRID_REPO_URL')?.value).toBe('/tmp/tasks.git');
    const wrong = await box.try(['dgrid-worker', 'start'], { PULL_INTERVAL: 'x' });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('DGRID_REPO_URL');
    expect(wrong.stderr).toContain('PULL_INTERVAL');
  });

  it('shows the demo, with a worker that it starts out of itself', async () => {
    const { code, stdout, stderr } = await box.try(['dgrid', 'demo', '--json']);
    expect(code, stdout + stderr).toBe(0);
    const { tasks } = JSON.parse(stdout) as { tasks: Listed[] };
    const expected = demoTasks().map(({ taskId, expected }) => ({ task_id: taskId, reason: expected }));
    const byId = (a: Listed, b: Listed): number => (a.task_id < b.task_id ? -1 : 1);
    expect(tasks.map(({ task_id, reason }) => ({ task_id, reason })).toSorted(byId)).toEqual(expected.toSorted(byId));
    expect(await engine.countLeftovers()).toBe(0);
  });

  it('takes a task from the queue to its record, and serves its pages meanwhile', async () => {
    const port = await freePort();
    const env = {
      DGRID_REPO_URL: '/srv/tasks.git',
      DGRID_STATE_DIR: '/var/lib/dgrid',
      NODE_ID: 'box',
      HTTP_PORT: String(port),
      PULL_INTERVAL: '0.3',
      RECORD_DELAY: '0.3',
      ...UNHURRIED,
    };
    const dgrid = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await box.try(['dgrid', ...args], env);
      expect(code, stdout + stderr).toBe(0);
      return stdout;
    };
    await dgrid('init', '/srv/tasks.git');
    const worker = box.try(['dgrid-worker', 'start'], env);
    const base = `http://127.0.0.1:${port}`;
    const alive = async (): Promise<boolean> => (await fetch(`${base}/livez`).catch(() => null))?.ok === true;
    await until('the worker serves its pages', alive, 30_000);
    const outcome = await box.try(['dgrid', 'submit', '--script', 'echo alone; exit 3', '--id', 'one', '--wait'], env);
    expect(outcome.code, outcome.stdout + outcome.stderr).toBe(3);
    expect(await dgrid('logs', 'one')).toBe('alone\n');
    expect(await dgrid('status')).toContain('box');
    expect(await (await fetch(`${base}/health`)).json()).toMatchObject({ node: 'box' });
    for (const [path, { name }] of PAGE_FILES) {
      const built = await readFile(join(ROOT, PAGES_DIR, name));
      if (built === null) continue;
      const answer = await fetch(base + path);
      expect(Buffer.from(await answer.arrayBuffer()).equals(built), path).toBe(true);
    }
    const doctor = await box.try(['dgrid-worker', 'doctor', '--json'], env);
    const { checks } = JSON.parse(doctor.stdout) as { checks: { check: string; outcome: string }[] };
    expect(checks.find(({ check }) => check === 'container engine')?.outcome).toBe('ok');
    expect(checks.find(({ check }) => check === 'git')?.outcome).toBe('ok');
    await box.sh('kill -TERM $(pidof dgrid-worker)');
    expect((await worker).code).toBe(0);
  });

  it('says what to install where git is missing', async () => {
    const script = 'mkdir /alone && ln -s /usr/local/bin/dgrid /alone/ && PATH=/alone dgrid init /tmp/none.git';
    const { code, stderr } = await box.try(['sh', '-c', script]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('install git 2.31 or later');
  });
});

async function readFile(path: string): Promise<Buffer | null> {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
