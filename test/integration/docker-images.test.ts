/** Getting images and cleaning up, with a real engine and a registry on loopback. */
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUILT_IMAGE, busyboxRootTar, findBusybox } from '../../src/executor/docker/busybox-image.ts';
import { IMAGE_REST_MS } from '../../src/executor/docker/clean.ts';
import { LABEL, writeLabels } from '../../src/executor/docker/labels.ts';
import type { CleanStep } from '../../src/executor/executor.ts';
import { type Clock, systemClock } from '../../src/runtime.ts';
import { finish, TEST_GRID, TEST_NODE, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { TestRegistry } from '../support/registry.ts';

let engine: PrivateEngine;
let registry: TestRegistry;
let tool: { name: string; digest: string };

beforeAll(async () => {
  engine = await PrivateEngine.start();
  registry = await TestRegistry.start();
  const busybox = await findBusybox('amd64');
  if (busybox === null) throw new Error('no static busybox on this machine');
  tool = registry.add('acme/tool', '1', busyboxRootTar({ ...busybox, applets: ['sh', 'echo'] }));
});

afterAll(async () => {
  await registry.stop();
  await engine.stop();
});

async function imageExists(name: string): Promise<boolean> {
  return (await engine.api('GET', `/images/${name}/json`)).status === 200;
}

/** A clock that can be set forward, for what rests a while before it is removed. */
function shiftedClock(): Clock & { shiftMs: number } {
  return {
    shiftMs: 0,
    monotonicMs() {
      return systemClock.monotonicMs() + this.shiftMs;
    },
    wallMs: () => systemClock.wallMs(),
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
  };
}

describe('an image', () => {
  it('is pulled once for all that want it, and runs', async () => {
    await using test = await testExecutor(engine.host, { allowedImages: [`${registry.address}/acme/*`] });
    const before = registry.requests.length;
    const release = registry.hold();
    const wanted = [1, 2, 3].map(() => test.executor.ensureImage(tool.name));
    release();
    for (const image of await Promise.all(wanted)) {
      expect(image).toMatchObject({ name: tool.name, digest: tool.digest });
      expect(image.pullMs).toBeGreaterThan(0);
    }
    const layers = registry.requests.slice(before).filter((line) => line.startsWith('GET') && line.includes('/blobs/'));
    expect(layers).toHaveLength(2); // its configuration and its one layer
    const events = test.events.map(({ name }) => name);
    expect(events.filter((name) => name === 'image.pulling')).toHaveLength(1);
    expect(events.filter((name) => name === 'image.pulled')).toHaveLength(1);

    expect(await test.executor.ensureImage(tool.name)).toMatchObject({ pullMs: 0 });
    const end = await finish(await test.executor.start(testJob('echo ran', { image: tool.name })));
    expect(end.stdout).toBe('ran\n');
    expect(end.image).toEqual({ name: tool.name, digest: tool.digest });
  });

  it('can be asked for by its digest', async () => {
    const name = `${registry.address}/acme/tool@${tool.digest}`;
    await using test = await testExecutor(engine.host, { allowedImages: [tool.digest] });
    expect(await test.executor.ensureImage(name)).toMatchObject({ name, digest: tool.digest });
    await expect(test.executor.ensureImage(tool.name)).rejects.toMatchObject({ kind: 'rejected' });
  });

  it('that no registry has is unavailable, and so is one that may not be pulled', async () => {
    const absent = `${registry.address}/acme/absent:1`;
    await using test = await testExecutor(engine.host, { allowedImages: [absent] });
    await expect(test.executor.ensureImage(absent)).rejects.toMatchObject({ kind: 'image-unavailable' });
    expect(test.events.map(({ name }) => name)).toContain('image.unavailable');
    await using never = await testExecutor(engine.host, { allowedImages: [absent], imagePullPolicy: 'never' });
    const before = registry.requests.length;
    await expect(never.executor.ensureImage(absent)).rejects.toMatchObject({ kind: 'image-unavailable' });
    expect(registry.requests).toHaveLength(before);
  });

  it('that does not come in time is unavailable', async () => {
    const slow = registry.add('acme/slow', '1', Buffer.alloc(10_240));
    const release = registry.hold();
    try {
      await using test = await testExecutor(engine.host, { allowedImages: [slow.name], imagePullTimeoutMs: 500 });
      const error = test.executor.ensureImage(slow.name);
      await expect(error).rejects.toMatchObject({ kind: 'image-unavailable', message: expect.stringContaining('500') });
    } finally {
      release();
    }
  });

  it('is not waited for by one who gave up, while another still waits', async () => {
    const slow = registry.add('acme/slower', '1', busyboxRootTar({ binary: Buffer.from('x'), applets: ['sh'] }));
    const release = registry.hold();
    await using test = await testExecutor(engine.host, { allowedImages: [slow.name] });
    const giveUp = new AbortController();
    const first = test.executor.ensureImage(slow.name, giveUp.signal);
    const second = test.executor.ensureImage(slow.name);
    giveUp.abort(new Error('gave up'));
    await expect(first).rejects.toThrow('gave up');
    release();
    expect(await second).toMatchObject({ digest: slow.digest });
  });
});

describe('the default image', () => {
  it('is built on the spot where it cannot be pulled, once, and runs scripts', async () => {
    await using test = await testExecutor(engine.host);
    const images = await Promise.all([1, 2].map(() => test.executor.ensureImage('busybox:stable')));
    expect(images.map(({ name }) => name)).toEqual([BUILT_IMAGE, BUILT_IMAGE]);
    expect(images[0]?.digest).toMatch(/^sha256:/);
    const built = test.events.filter(({ name }) => name === 'image.built');
    expect(built).toHaveLength(1);
    const end = await finish(
      await test.executor.start(testJob('#!/usr/bin/env sh\necho "$(id -un) $(expr 1 + 1)"', { image: BUILT_IMAGE })),
    );
    expect(end.stdout).toBe('nobody 2\n');
    const pulls = test.events.filter(({ name }) => name === 'image.pulling').length;
    await test.executor.ensureImage('busybox:stable');
    expect(test.events.filter(({ name }) => name === 'image.pulling')).toHaveLength(pulls);
  });

  it('is not replaced where the operator chose another', async () => {
    await using test = await testExecutor(engine.host, {
      image: tool.name,
      allowedImages: ['busybox:stable', tool.name],
      // There is no way to that registry, which is asked again until then.
      imagePullTimeoutMs: 2_000,
    });
    await expect(test.executor.ensureImage('busybox:stable')).rejects.toMatchObject({ kind: 'image-unavailable' });
    await expect(test.executor.ensureImage(BUILT_IMAGE)).rejects.toMatchObject({ kind: 'rejected' });
  });
});

describe('cleaning up', () => {
  const labels = (nodeId: string, gridId = TEST_GRID) => ({
    ...writeLabels({ gridId, key: testJob('').key, attempt: 1, program: 'command', nonce: '0123456789abcdef' }),
    [LABEL.node]: nodeId,
  });
  const STEPS: CleanStep[] = [
    { kind: 'own-containers' },
    { kind: 'own-image', image: 'docker.io/library/bystander:1' },
    { kind: 'dangling-images' },
    { kind: 'build-cache' },
  ];

  async function create(name: string, own: Record<string, string>, argv: string[]): Promise<void> {
    const body = { Image: 'bystander:1', Entrypoint: argv, Labels: own, HostConfig: { NetworkMode: 'none' } };
    const { status } = await engine.api('POST', `/containers/create?name=${name}`, body);
    expect(status).toBe(201);
  }

  async function names(): Promise<string[]> {
    const { body } = await engine.api<{ Names: string[] }[]>('GET', '/containers/json?all=true');
    return body.flatMap((container) => container.Names.map((name) => name.slice(1))).sort();
  }

  it('removes what is ours and ended, and nothing else', async () => {
    await engine.importBusybox('bystander:1');
    await create('someone-elses', {}, ['/bin/true']);
    await create('other-node', labels('node-2'), ['/bin/true']);
    await create('other-grid', labels(TEST_NODE, 'other'), ['/bin/true']);
    await create('odd-labels', { ...labels(TEST_NODE), [LABEL.epoch]: 'x' }, ['/bin/true']);
    await create('ours-running', labels(TEST_NODE), ['/bin/sleep', '100']);
    await create('ours-created', labels(TEST_NODE), ['/bin/true']);
    await create('ours-ended', labels(TEST_NODE), ['/bin/true']);
    await create('ours-needed', { ...labels(TEST_NODE), [LABEL.task]: 'needed' }, ['/bin/true']);
    for (const name of ['ours-running', 'ours-ended', 'ours-needed'])
      await engine.api('POST', `/containers/${name}/start`);
    for (const name of ['ours-ended', 'ours-needed']) await engine.api('POST', `/containers/${name}/wait`);

    const allowed = [tool.name];
    await using test = await testExecutor(
      engine.host,
      { allowedImages: allowed },
      { isLive: (key) => key.taskId === 'needed' },
    );
    const active = await test.executor.start(testJob('exit 0', { image: tool.name }));
    await active.ended;
    const reports = [];
    for (const step of STEPS) reports.push(await test.executor.clean(step));
    expect(reports.map(({ removed }) => removed.sort())).toEqual([['ours-created', 'ours-ended'], [], [], []]);
    expect(await names()).toEqual(
      [...(await names()).filter((name) => name.startsWith('dgrid-task-')), 'odd-labels', 'other-grid', 'other-node']
        .concat('ours-needed', 'ours-running', 'someone-elses')
        .sort(),
    );
    expect(await names()).toContainEqual(expect.stringMatching(/^dgrid-task-/));
    await active.dispose();
    expect(await imageExists('bystander:1')).toBe(true);
    for (const name of await names()) await engine.api('DELETE', `/containers/${name}?force=true`);
  });

  it('removes images that this worker brought, when they have rested and nothing uses them', async () => {
    const mine = registry.add('acme/mine', '1', busyboxRootTar({ binary: Buffer.from('mine'), applets: ['sh'] }));
    const theirs = registry.add('acme/theirs', '1', busyboxRootTar({ binary: Buffer.from('theirs'), applets: ['sh'] }));
    const clock = shiftedClock();
    const [theirPath = '', theirTag = ''] = theirs.name.split(/:(?=1$)/);
    await engine.api('POST', `/images/create?fromImage=${theirPath}&tag=${theirTag}`);
    expect(await imageExists(theirs.name)).toBe(true);

    await using test = await testExecutor(engine.host, { allowedImages: ['**'], imagePullPolicy: 'always' }, { clock });
    await test.executor.ensureImage(theirs.name);
    await test.executor.ensureImage(mine.name);
    const list = JSON.parse(await readFile(test.ownedImagesFile, 'utf8')) as { images: { name: string }[] };
    expect(list.images.map(({ name }) => name)).toEqual([mine.name]);

    const step = { kind: 'own-image', image: mine.name } as const;
    const proposed = async (executor = test.executor) => (await executor.reclaimable()).map((found) => found.step);
    expect(await proposed()).toEqual([]);
    expect(await test.executor.clean(step)).toMatchObject({ removed: [] });
    clock.shiftMs = IMAGE_REST_MS + 1;
    expect(await proposed()).toEqual([step]);
    const restingSince = clock.shiftMs;
    // A task of it is about to be claimed.
    await using foreseeing = await testExecutor(
      engine.host,
      { allowedImages: ['**'] },
      { clock, ownedImagesFile: test.ownedImagesFile },
    );
    foreseeing.executor.foresee([mine.name]);
    expect(await proposed(foreseeing.executor)).toEqual([]);
    clock.shiftMs = restingSince + IMAGE_REST_MS + 1;
    expect(await proposed(foreseeing.executor)).toEqual([step]);
    const { body } = await engine.api<{ Id: string }>('POST', '/containers/create', { Image: mine.name, Cmd: ['/x'] });
    expect(await proposed()).toEqual([]);
    expect(await test.executor.clean(step)).toMatchObject({ removed: [] });
    await engine.api('DELETE', `/containers/${body.Id}`);

    // A restarted worker knows its images from the file.
    await using later = await testExecutor(engine.host, {}, { ownedImagesFile: test.ownedImagesFile });
    expect(await proposed(later.executor)).toEqual([step]);
    expect(await later.executor.clean({ kind: 'own-image', image: theirs.name })).toMatchObject({ removed: [] });
    expect(await later.executor.clean(step)).toMatchObject({ removed: [mine.name] });
    expect(await imageExists(mine.name)).toBe(false);
    expect(await imageExists(theirs.name)).toBe(true);
    expect(await later.executor.clean(step)).toMatchObject({ removed: [] });
  });

  it('removes what was pulled by its digest, and not what somebody gave another name', async () => {
    const content = (text: string) => busyboxRootTar({ binary: Buffer.from(text), applets: [] });
    const plain = registry.add('acme/plain', '1', content('plain'));
    const named = registry.add('acme/named', '1', content('named'));
    const clock = shiftedClock();
    await using test = await testExecutor(engine.host, { allowedImages: ['**', plain.digest] }, { clock });
    const byDigest = `${registry.address}/acme/plain@${plain.digest}`;
    await test.executor.ensureImage(byDigest);
    await test.executor.ensureImage(named.name);
    await engine.api('POST', `/images/${named.name}/tag?repo=somebodys&tag=1`);
    clock.shiftMs = IMAGE_REST_MS + 1;
    const found = await test.executor.reclaimable();
    expect(found.map(({ step }) => step)).toEqual([{ kind: 'own-image', image: byDigest }]);
    expect(await test.executor.clean({ kind: 'own-image', image: byDigest })).toMatchObject({ removed: [byDigest] });
    expect(await imageExists(byDigest)).toBe(false);
    expect(await imageExists('somebodys:1')).toBe(true);
  });

  it('leaves an image alone that somebody replaced, and everything when its list is damaged', async () => {
    const replaced = registry.add('acme/replaced', '1', busyboxRootTar({ binary: Buffer.from('one'), applets: [] }));
    const clock = shiftedClock();
    await using test = await testExecutor(engine.host, { allowedImages: ['**'] }, { clock });
    await test.executor.ensureImage(replaced.name);
    await engine.api('POST', `/images/bystander:1/tag?repo=${registry.address}/acme/replaced&tag=1`);
    clock.shiftMs = IMAGE_REST_MS + 1;
    const step = { kind: 'own-image', image: replaced.name } as const;
    expect(await test.executor.reclaimable()).toEqual([]);
    expect(await test.executor.clean(step)).toMatchObject({ removed: [] });
    expect(await imageExists(replaced.name)).toBe(true);

    await writeFile(test.ownedImagesFile, '{"images": [{"name": ');
    await using later = await testExecutor(engine.host, {}, { ownedImagesFile: test.ownedImagesFile });
    expect(await later.executor.clean(step)).toMatchObject({ removed: [] });
  });

  it('removes untagged images and build cache only when the operator allows it', async () => {
    await engine.importBusybox('short-lived:1', ['LABEL x=1']);
    const { body } = await engine.api<{ Id: string }>('GET', '/images/short-lived:1/json');
    await engine.importBusybox('short-lived:1', ['LABEL x=2']);
    await using careful = await testExecutor(engine.host);
    expect(await careful.executor.clean({ kind: 'dangling-images' })).toEqual({ step: 'dangling-images', removed: [] });
    expect(await imageExists(body.Id)).toBe(true);
    await using bold = await testExecutor(engine.host, { pruneDanglingImages: true, pruneBuildCache: true });
    expect((await bold.executor.clean({ kind: 'dangling-images' })).removed).toContain(body.Id);
    expect(await imageExists(body.Id)).toBe(false);
    expect(await imageExists('short-lived:1')).toBe(true);
    expect(await bold.executor.clean({ kind: 'build-cache' })).toEqual({ step: 'build-cache', removed: [] });
  });

  it('leaves nothing of ours behind', async () => {
    expect(await engine.countLeftovers()).toBe(0);
  });
});
