/** scripts/install.sh on a box that boots with systemd: real units, a real worker, tasks on a real engine. */
import { once } from 'node:events';
import { createReadStream, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { LABEL } from '../../src/executor/docker/labels.ts';
import { type Box, BoxImage } from '../support/box.ts';
import { PrivateEngine } from '../support/engine.ts';
import { GitServer } from '../support/git-server.ts';
import { installMissing, type ProgramEnd, tryProgram } from '../support/programs.ts';
import { makeRelease, type Release } from '../support/release.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';

const SCRIPTS = join(import.meta.dirname, '../../scripts');
/** debootstrap, when its result is not there yet, and making the executable. */
const SET_UP_BOUND_MS = 400_000;
const TASK_BOUND_MS = 60_000;
/** What the script writes to, and whatever else it may have left. */
const TRACES =
  'find /etc/dgrid /var/lib/dgrid* /usr/local/bin/* /usr/local/bin/.[!.]* /etc/systemd/system/dgrid* 2>/dev/null; ' +
  'getent passwd dgrid dgrid-engine';

let directory: TempDir;
let server: GitServer;
let engine: PrivateEngine;
let release: Release;
let box: Box;
let repository: TaskRepository;

beforeAll(async () => {
  directory = makeTempDir('install');
  release = await makeRelease(directory.sub('release'));
  server = await GitServer.start();
  repository = new TaskRepository(await server.createRepository('tasks'));
  engine = await PrivateEngine.start();
  const image = await BoxImage.make(engine, directory.sub('home'), { boots: true });
  box = await image.start({ boots: true, volumes: { [release.directory]: '/release:ro' } });
  await box.sh(`groupadd --non-unique --gid ${image.socketGroup} docker`);
}, SET_UP_BOUND_MS);

afterAll(async () => {
  await server?.stop();
  await engine?.stop();
  directory.remove();
});

const install = (...args: string[]): Promise<ProgramEnd> => box.try(['sh', '/release/install.sh', ...args]);

async function installed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await install(...args);
  expect(code, stdout + stderr).toBe(0);
  return stdout;
}

/** No waiting beyond the needed, and nothing that a figure of a busy machine may change. */
const BRISK = {
  PULL_INTERVAL: '0.5',
  PULL_INTERVAL_MAX: '0',
  RECORD_DELAY: '0.3',
  HTTP_PORT: '0',
  MAX_TASKS_PER_HOUR: '0',
  MAX_CPU_PERCENT: '100',
  MAX_MEMORY_PERCENT: '100',
  MAX_DISK_PERCENT: '100',
  MAX_MEMORY_PRESSURE: '0',
};

function settings(): string[] {
  const more = Object.entries(BRISK).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
  return ['--repo', server.url('tasks'), '--node-id', 'box', '--profile', 'edge', ...more];
}

const mainPid = async (): Promise<string> =>
  (await box.sh('systemctl show --property MainPID --value dgrid-worker')).trim();

async function recorded(id: string): Promise<{ status: string; attempt: number; node_id: string }> {
  await until(`${id} has a record`, async () => (await repository.record(id)) !== null, TASK_BOUND_MS);
  const record = await repository.record(id);
  if (record === null) throw new Error(`the record of ${id} is gone`);
  return { status: record.status, attempt: record.attempt, node_id: String(record.node_id) };
}

async function runs(id: string): Promise<boolean> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${LABEL.task}=${id}`], status: ['running'] }));
  return (await engine.api<object[]>('GET', `/containers/json?filters=${filters}`)).body.length > 0;
}

describe('the scripts', () => {
  beforeAll(() => installMissing({ shellcheck: 'shellcheck' }));

  it.each(['install.sh', 'install-steps.sh'])('%s has nothing that shellcheck knows better', async (name) => {
    const { code, stdout } = await tryProgram('shellcheck', ['--external-sources', join(SCRIPTS, name)], {
      cwd: join(SCRIPTS, '..'),
    });
    expect(code, stdout).toBe(0);
  });
});

describe('before anything is changed', () => {
  it.each([
    ['an unknown option', ['--bogus'], 2, 'unknown option --bogus'],
    ['an option without its value', ['--repo'], 2, '--repo needs a value'],
    ['quotation marks', ['--set', 'NODE_NAME="a"'], 2, 'NODE_NAME: no quotation marks'],
    ['a setting that is none', ['--set', 'node=a'], 2, '--set node'],
    [
      'a file that is not there',
      ['--repo', 'https://git.example.com/a.git', '--from', '/nowhere'],
      1,
      '/nowhere is not a file',
    ],
    [
      'a token that is not there',
      ['--repo', 'https://git.example.com/a.git', '--token-file', '/nowhere'],
      1,
      '/nowhere cannot be read',
    ],
    [
      'a group that is not there',
      ['--repo', 'https://git.example.com/a.git', '--engine-group', 'engines'],
      1,
      '--engine-group',
    ],
    [
      'another sum',
      ['--repo', 'https://git.example.com/a.git', '--sha256', '0'.repeat(64)],
      1,
      'is not what it should be',
    ],
    ['no repository', [], 2, 'DGRID_REPO_URL is not set'],
    ['wrong settings', ['--repo', 'https://git.example.com/a.git', '--node-id', 'a b'], 2, 'NODE_ID must be'],
    ['--upgrade of nothing', ['--upgrade'], 1, 'nothing is installed'],
  ])('%s is told, with the remedy', async (_, args, code, text) => {
    const before = await box.sh(`${TRACES} || :`);
    const end = await install(...args);
    expect(end.stderr).toContain(text);
    expect(end.code).toBe(code);
    expect(await box.sh(`${TRACES} || :`)).toBe(before);
  });

  it('a damaged copy is told by its sum', async () => {
    await box.sh(`mkdir /copy && cp /release/* /copy/ && truncate --size=-1 /copy/${release.name}.gz`);
    const { code, stderr } = await install('--from', `/copy/${release.name}.gz`, '--repo', server.url('tasks'));
    expect(code).toBe(1);
    expect(stderr).toContain('is not what it should be');
    await box.sh('rm -r /copy');
  });

  it('what npm installed is not written over', async () => {
    await box.sh('ln -s ../lib/node_modules/d-grid/bin/dgrid /usr/local/bin/dgrid');
    const { code, stderr } = await install('--repo', server.url('tasks'));
    await box.sh('rm /usr/local/bin/dgrid');
    expect(code).toBe(1);
    expect(stderr).toContain('npm uninstall --global d-grid');
  });

  it('an address is fetched, and refused where nothing says what it has to be', async () => {
    const files = createServer((request, response) => {
      const path = join(release.directory, basename(request.url ?? ''));
      if (existsSync(path)) createReadStream(path).pipe(response);
      else response.writeHead(404).end();
    });
    files.listen(0, '127.0.0.1');
    await once(files, 'listening');
    onTestFinished(() => void files.close());
    const from = `http://127.0.0.1:${(files.address() as AddressInfo).port}/${release.name}.gz`;
    const args = ['--dry-run', '--repo', server.url('tasks'), '--from'];
    expect((await install(...args, from)).stderr).toContain('neither curl nor wget');
    await box.sh('ln -s /bin/busybox /usr/local/sbin/wget');
    expect(await installed(...args, from)).toContain('would write /etc/dgrid/worker.env');
    const sums = readFileSync(join(release.directory, 'SHA256SUMS'));
    rmSync(join(release.directory, 'SHA256SUMS'));
    onTestFinished(() => writeFileSync(join(release.directory, 'SHA256SUMS'), sums));
    expect((await install(...args, from)).stderr).toContain('there is no SHA256SUMS');
  });

  it('what the program needs of the system is named', async () => {
    await box.sh('mv /usr/lib/*-linux-gnu/libatomic.so.1 /root/');
    const { code, stderr } = await install('--repo', server.url('tasks'));
    await box.sh('mv /root/libatomic.so.1 /usr/lib/*-linux-gnu/');
    expect(code).toBe(1);
    expect(stderr).toContain('apt-get install libstdc++6 libatomic1');
  });

  it('--dry-run only says what would be done', async () => {
    const before = await box.sh(`${TRACES} || :`);
    const said = await installed('--dry-run', ...settings());
    for (const part of [
      'useradd --system',
      '/usr/local/bin/dgrid',
      '/etc/dgrid/worker.env',
      'systemctl start dgrid-worker',
    ])
      expect(said).toContain(part);
    expect(await box.sh(`${TRACES} || :`)).toBe(before);
  });
});

describe('a box', () => {
  it('is set up, and its worker runs tasks', async () => {
    await box.sh('printf secret > /root/token && chmod 600 /root/token');
    await installed(...settings(), '--token-file', '/root/token');
    expect(await box.sh('stat --format "%n %U:%G %a" /etc/dgrid/* /var/lib/dgrid')).toBe(
      '/etc/dgrid/git-token dgrid:dgrid 400\n/etc/dgrid/worker.env root:dgrid 640\n/var/lib/dgrid dgrid:dgrid 700\n',
    );
    expect((await box.try(['systemctl', 'is-enabled', 'dgrid-worker'])).stdout).toBe('enabled\n');
    await repository.queue({ first: { script: 'echo first' } });
    expect(await recorded('first')).toEqual({ status: 'success', attempt: 1, node_id: 'box' });
  });

  it('is left alone by a second run, and restarted by one that changes a setting', async () => {
    const before = await mainPid();
    await installed(...settings());
    expect(await mainPid()).toBe(before);
    await installed('--set', 'NODE_NAME=corner');
    expect(await mainPid()).not.toBe(before);
    const file = await box.sh('cat /etc/dgrid/worker.env');
    expect(file.match(/^NODE_NAME=.*$/gm)).toEqual(['NODE_NAME=corner']);
    expect(file).toContain('GIT_TOKEN_FILE=/etc/dgrid/git-token');
    expect(file.match(/^NODE_ID=.*$/gm)).toEqual(['NODE_ID=box']);
  });

  it('gets another version while a task runs, which is not lost', async () => {
    // An executable with something after its end is another file, and runs like the first.
    await box.sh(`cp /release/${release.name} /root/next && printf x >> /root/next`);
    const before = await mainPid();
    await repository.queue({ long: { script: 'sleep 5; echo done' } });
    await until('the task runs', () => runs('long'), TASK_BOUND_MS);
    await installed('--upgrade', '--from', '/root/next');
    expect(await mainPid()).not.toBe(before);
    await box.sh('cmp /root/next /usr/local/bin/dgrid');
    expect(await recorded('long')).toEqual({ status: 'success', attempt: 1, node_id: 'box' });
    await repository.queue({ after: { script: 'echo after' } });
    expect((await recorded('after')).status).toBe('success');
    expect(await box.sh('ls -A /usr/local/bin')).toBe('dgrid\ndgrid-worker\n');
  });

  it('keeps the version that it has where the new one does not stay up', async () => {
    const broken = '#!/bin/sh\ncase $1 in --version) echo 9.9.9 ;; config) ;; *) exit 1 ;; esac\n';
    await box.sh(`printf %s '${broken}' > /root/broken`);
    const { code, stderr } = await install('--upgrade', '--from', '/root/broken');
    expect(code).toBe(1);
    expect(stderr).toContain('version 9.9.9 does not stay up, so the earlier one runs again');
    await repository.queue({ still: { script: 'echo still' } });
    expect((await recorded('still')).status).toBe('success');
  });

  it('gets the engine filter, and its worker no way around it', async () => {
    await installed('--filter');
    expect(await box.sh('stat --format "%U:%G" /run/dgrid-engine/engine.sock')).toBe('dgrid-engine:dgrid\n');
    expect(await box.sh('systemctl show --property SupplementaryGroups --value dgrid-worker')).toBe('\n');
    await repository.queue({ filtered: { script: 'echo filtered' } });
    expect((await recorded('filtered')).status).toBe('success');
    // Said once: it stays so.
    await installed();
    expect((await box.try(['systemctl', 'is-active', 'dgrid-engine-filter'])).stdout).toBe('active\n');
  });

  it('is rid of it again, of settings and state only when asked', async () => {
    await installed('--uninstall');
    expect(await box.sh('ls -A /usr/local/bin; ls /etc/systemd/system/dgrid* 2>/dev/null || :')).toBe('');
    expect(await box.sh('ls /etc/dgrid/worker.env /var/lib/dgrid/*')).toContain('worker.env');
    await box.sh('mkdir -p /var/lib/dgrid/outbox && touch /var/lib/dgrid/outbox/entry');
    expect((await install('--uninstall', '--purge')).stderr).toContain('not yet published');
    await box.sh('rm /var/lib/dgrid/outbox/entry');
    await installed('--uninstall', '--purge');
    expect(await box.sh(`${TRACES} || :`)).toBe('');
  });
});
