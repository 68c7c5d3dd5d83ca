/**
 * A real engine on a small disk of its own that is filled to 95 percent: by images and containers of the worker, and by
 * twenty things of others. The worker makes room in the order of least regret, only as far as it has to, touches nothing
 * of the others, and takes tasks again.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { busyboxRootTar, findBusybox } from '../../src/executor/docker/busybox-image.ts';
import { gridIdOf } from '../../src/executor/docker/grid-id.ts';
import { writeLabels } from '../../src/executor/docker/labels.ts';
import { buildTar } from '../../src/executor/docker/tar.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import { Bystanders } from '../support/bystanders.ts';
import { PrivateEngine } from '../support/engine.ts';
import { FillableDisk } from '../support/fillable-disk.ts';
import { initBare } from '../support/git.ts';
import { TestRegistry } from '../support/registry.ts';
import { smallExt4 } from '../support/small-file-system.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { type LogEntry, WorkerProcess } from '../support/worker-process.ts';

const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;

let directory: TempDir;
let registry: TestRegistry;
let base: Buffer;

beforeAll(async () => {
  directory = makeTempDir('healing');
  registry = await TestRegistry.start();
  const busybox = await findBusybox('amd64');
  if (busybox === null) throw new Error('no static busybox on this machine');
  base = busyboxRootTar(busybox);
});

afterAll(async () => {
  await registry.stop();
  directory.remove();
});

function layer(name: string, bytes: number): Buffer {
  return buildTar([{ kind: 'file', path: `data/${name}`, mode: 0o644, content: randomBytes(bytes) }]);
}

function manyFiles(name: string, count: number): Buffer {
  // Empty, so that nothing but their number tells of them.
  const content = Buffer.alloc(0);
  return buildTar(
    Array.from({ length: count }, (_, at) => ({ kind: 'file', path: `many/${name}-${at}`, mode: 0o644, content })),
  );
}

/** In the order of their last use, which the worker writes down; the test has no days to wait. */
interface OwnImage {
  name: string;
  usedHoursAgo: number;
}

interface Setting {
  name: string;
  disk: string;
  engine: PrivateEngine;
  repo: TaskRepository;
  state: string;
  start: (env?: Record<string, string>) => WorkerProcess;
}

async function setUp(name: string, disk: string, defaultImage: string): Promise<Setting> {
  const engine = await PrivateEngine.start({ dataRoot: join(disk, 'engine') });
  onTestFinished(() => engine.stop());
  const remote = directory.sub(`${name}.git`);
  await initBare(remote);
  const repo = new TaskRepository(remote);
  // So much that the clone is worth packing anew.
  await repo.commit({ 'large.bin': randomBytes(9 * MIB) }, 'begin');
  const state = join(disk, 'state');
  await mkdir(state);
  const start = (env: Record<string, string> = {}): WorkerProcess => {
    const worker = WorkerProcess.start({
      directory: directory.path,
      name,
      repoUrl: remote,
      dockerHost: engine.host,
      env: {
        DGRID_STATE_DIR: state,
        DOCKER_IMAGE: defaultImage,
        ALLOWED_IMAGES: '*',
        HEALTH_CHECK_EVERY: '1',
        MAX_DISK_PERCENT: '90',
        ...env,
      },
    });
    onTestFinished(async () => void (await worker.stop('SIGKILL')));
    return worker;
  };
  return { name, disk, engine, repo, state, start };
}

/** A first life brings the images, by tasks that need them. */
async function bring({ repo, start, state }: Setting, images: readonly OwnImage[]): Promise<void> {
  const worker = start();
  const tasks = images.map(({ name }, at) => [`bring-${at}`, { script: 'exit 0', image: name }] as const);
  await repo.queue(Object.fromEntries(tasks));
  await until('the images', async () => (await repo.queued()).length === 0, 90_000).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${worker.output.slice(-8_000)}`, { cause: error });
  });
  for (const [id] of tasks) expect(await repo.record(id)).toMatchObject({ status: 'success' });
  expect(await worker.stop()).toBe(0);
  const file = join(state, 'images.json');
  const known = JSON.parse(await readFile(file, 'utf8')) as { images: { name: string; used_ms: number }[] };
  expect(known.images.map(({ name }) => name).sort()).toEqual(images.map(({ name }) => name).sort());
  for (const image of known.images) {
    expect(Math.abs(Date.now() - image.used_ms)).toBeLessThan(HOUR_MS);
    image.used_ms -= (images.find(({ name }) => name === image.name)?.usedHoursAgo ?? 0) * HOUR_MS;
  }
  await writeFile(file, JSON.stringify(known));
}

/** What a crash leaves: an ended container of this node that nobody waits for, which has written that much. */
async function leaveContainer({ engine, name, repo }: Setting, image: string, megabytes: number): Promise<string> {
  const body = {
    Image: image,
    Cmd: ['sh', '-c', `dd if=/dev/zero of=/x bs=1M count=${megabytes}`],
    Labels: writeLabels({
      gridId: gridIdOf(repo.path),
      key: { nodeId: nodeId(name), incarnation: 'dead', taskId: taskId('old'), epoch: 1 },
      attempt: 1,
      program: 'script',
      nonce: '0123456789abcdef',
    }),
    HostConfig: { NetworkMode: 'none' },
  };
  const { body: made } = await engine.api<{ Id: string }>('POST', '/containers/create', body);
  await engine.api('POST', `/containers/${made.Id}/start`);
  await engine.api('POST', `/containers/${made.Id}/wait`);
  return made.Id;
}

const STEP_EVENTS = ['cleanup.completed', 'cleanup.files-completed', 'cleanup.failed'];
const stepsOf = (worker: WorkerProcess): LogEntry[] => worker.log.filter(({ event }) => STEP_EVENTS.includes(event));
const nameOf = (entry: LogEntry): string => [entry['step'], entry['image']].filter(Boolean).join(' ');

function tell(title: string, worker: WorkerProcess, path: string): void {
  const figure = (value: unknown): string => (typeof value === 'number' ? (value / MIB).toFixed(1) : 'unknown');
  const rows = stepsOf(worker).map((entry) => {
    const disks = (entry['disks'] ?? []) as Record<string, unknown>[];
    const disk = disks.find((one) => one['path'] === path) ?? {};
    return (
      `  ${nameOf(entry).replace(registry.address, 'registry')}: estimated ${figure(entry['estimated_bytes'])} MiB, ` +
      `freed ${figure(entry['freed_bytes'])} MiB and ${String(entry['freed_inodes'])} inodes, ` +
      `disk ${String(disk['used_percent_before'])} -> ${String(disk['used_percent_after'])} %, ` +
      `inodes ${String(disk['inodes_percent_before'])} -> ${String(disk['inodes_percent_after'])} %`
    );
  });
  console.info(`${title}\n${rows.join('\n')}`);
}

function msBetween(from: LogEntry, to: LogEntry): number {
  return Date.parse(to.time) - Date.parse(from.time);
}

async function imagesLeft(engine: PrivateEngine, images: readonly OwnImage[]): Promise<string[]> {
  const left: string[] = [];
  for (const { name } of images) {
    if ((await engine.api('GET', `/images/${name}/json`)).status === 200) left.push(name);
  }
  return left;
}

describe('a disk at 95 percent', () => {
  it('is freed in the order of least regret, as far as it has to be, of nothing that is not ours', {
    timeout: 180_000,
  }, async () => {
    const add = (name: string, ...layers: Buffer[]): string => registry.add(`own/${name}`, '1', ...layers).name;
    const shared = layer('shared', 24 * MIB);
    const usual = add('usual', base);
    const images: OwnImage[] = [
      { name: add('new', base, shared, layer('new', MIB)), usedHoursAgo: 1 },
      { name: add('oldest', base, layer('oldest', 30 * MIB)), usedHoursAgo: 72 },
      { name: add('middle', base, layer('middle', 30 * MIB)), usedHoursAgo: 24 },
      // All but a little of it stays, since a newer one shares it.
      { name: add('old', base, shared, layer('old', 2 * MIB)), usedHoursAgo: 48 },
      { name: add('held', base, layer('held', 20 * MIB)), usedHoursAgo: 99 },
      { name: usual, usedHoursAgo: 200 },
    ];
    const setting = await setUp('bytes', await smallExt4(512), usual);
    const { disk, engine, repo, start, state } = setting;
    await bring(setting, images);
    await engine.importBusybox();
    const bystanders = await Bystanders.make(engine, 'busybox:stable');
    expect(bystanders.count).toBe(20);
    // Somebody uses one of our images.
    const held = images[4]?.name ?? '';
    await engine.api('POST', '/containers/create', { Image: held, Cmd: ['true'] });

    const worker = start({ WARM_POOL_SIZE: '2' });
    const waiting = async (): Promise<number> =>
      (await engine.api<{ Names: string[] }[]>('GET', '/containers/json')).body.filter(({ Names }) =>
        Names[0]?.startsWith('/dgrid-warm-'),
      ).length;
    await until('two containers to wait', async () => (await waiting()) === 2, 30_000);
    // At its start it looks for what earlier lives left, and this is to come after that.
    await until('it to have looked around', () => worker.entries('poll.skipped').length >= 3, 30_000);
    const before = await bystanders.picture();
    const container = await leaveContainer(setting, 'busybox:stable', 20);
    const aside = join(state, 'repository.git.set-aside');
    await mkdir(aside);
    await writeFile(join(aside, 'pack'), randomBytes(6 * MIB));
    const { bavail, bfree, blocks, bsize } = await statfs(disk);
    // Of what an ordinary user could ever have; the file system keeps the rest for root.
    const reserved = bfree - bavail;
    await FillableDisk.on(disk).fill((reserved + 0.05 * (blocks - reserved)) * bsize);
    await repo.queue({ late: { script: 'echo late' } });

    const exceeded = await worker.logged('limit.resources', ({ resource }) => resource === 'disk', 60_000);
    const cleared = await worker.logged('limit.resources-cleared', ({ resource }) => resource === 'disk', 60_000);
    const claimed = await worker.logged('task.claimed', ({ task }) => task === 'late', 60_000);
    tell(
      `a disk of 512 MiB at 95 %: room after ${msBetween(exceeded, cleared)} ms, the next task claimed after ` +
        `${msBetween(exceeded, claimed)} ms`,
      worker,
      disk === state ? disk : state,
    );
    const [, oldest, , old] = images;
    expect(stepsOf(worker).map(nameOf)).toEqual([
      'leftovers',
      'own-containers',
      'waiting-containers',
      'clone-upkeep',
      `own-image ${oldest?.name}`,
      `own-image ${old?.name}`,
      `own-image ${images[2]?.name}`,
    ]);
    expect(await imagesLeft(engine, images)).toEqual([images[0]?.name, held, usual]);
    for (const entry of stepsOf(worker).filter(({ step }) => step === 'own-image')) {
      const freed = Number(entry['freed_bytes']);
      expect(Math.abs(freed - Number(entry['estimated_bytes'])), nameOf(entry)).toBeLessThan(2 * MIB);
    }
    expect((await engine.api('GET', `/containers/${container}/json`)).status).toBe(404);
    expect(await bystanders.picture()).toEqual(before);
    await until('the record', async () => (await repo.record('late')) !== null, 60_000);
    expect(await repo.record('late')).toMatchObject({ status: 'success', stdout: 'late\n' });
    expect(await bystanders.picture()).toEqual(before);
    expect(await worker.stop()).toBe(0);
  });
});

describe('a disk without inodes', () => {
  it('is freed of what has many files, however much room there is', { timeout: 180_000 }, async () => {
    const usual = registry.add('own/usual', '2', base).name;
    const images: OwnImage[] = [
      { name: registry.add('own/many', '1', base, manyFiles('many', 1_500)).name, usedHoursAgo: 48 },
      { name: registry.add('own/some', '1', base, manyFiles('some', 400)).name, usedHoursAgo: 2 },
      { name: usual, usedHoursAgo: 99 },
    ];
    const setting = await setUp('inodes', await smallExt4(256, 8_000), usual);
    const { disk, engine, repo, start, state } = setting;
    await bring(setting, images);
    await engine.importBusybox();
    const bystanders = await Bystanders.make(engine, 'busybox:stable');
    const worker = start();
    await until('it to have looked around', () => worker.entries('poll.skipped').length >= 3, 30_000);
    const before = await bystanders.picture();
    const { ffree, files } = await statfs(disk);
    const room = Math.round(0.05 * files);
    const ballast = join(disk, 'ballast');
    await mkdir(ballast);
    for (let number = 0; number < ffree - room; number += 1) await writeFile(join(ballast, String(number)), '');
    await repo.queue({ late: { script: 'echo late' } });
    const exceeded = await worker.logged('limit.resources', ({ resource }) => resource === 'inodes', 60_000);
    const cleared = await worker.logged('limit.resources-cleared', ({ resource }) => resource === 'inodes', 60_000);
    tell(`a disk of 8,000 inodes at 95 %: room after ${msBetween(exceeded, cleared)} ms`, worker, state);
    expect(stepsOf(worker).map(nameOf).at(-1)).toBe(`own-image ${images[0]?.name}`);
    expect(await imagesLeft(engine, images)).toEqual([images[1]?.name, usual]);
    expect(await bystanders.picture()).toEqual(before);
    await until('the record', async () => (await repo.record('late')) !== null, 60_000);
    expect(await worker.stop()).toBe(0);
  });
});
