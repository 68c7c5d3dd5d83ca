/** Pulling from a real registry with a real engine: credentials, trouble on the way, and which image is run in the end. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { busyboxRootTar, findBusybox } from '../../src/executor/docker/busybox-image.ts';
import { finish, TEST_NODE, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { DockerRegistry, REGISTRY_PASSWORD, REGISTRY_USER } from '../support/docker-registry.ts';
import { PrivateEngine } from '../support/engine.ts';
import { allProcesses } from '../support/processes.ts';
import { until } from '../support/until.ts';

/** After a broken line this engine waits five seconds before it asks for a layer again. */
const ENGINE_RETRY_MS = 7_000;
const AUTH = Buffer.from(`${REGISTRY_USER}:${REGISTRY_PASSWORD}`).toString('base64');

let engine: PrivateEngine;
let open: DockerRegistry;
let closed: DockerRegistry;
let directory: string;
/** With Docker's config.json. */
let configDir: string;
const pathBefore = process.env['PATH'];

beforeAll(async () => {
  engine = await PrivateEngine.start();
  open = await DockerRegistry.start();
  closed = await DockerRegistry.start({ isPrivate: true });
  directory = await mkdtemp(join(tmpdir(), 'dgrid-registry-'));
  const programs = join(directory, 'bin');
  await mkdir(programs);
  process.env['PATH'] = `${programs}:${pathBefore}`;
});

beforeEach(async () => {
  configDir = await mkdtemp(join(directory, 'config-'));
  open.instead = () => null;
  closed.instead = () => null;
});

afterAll(async () => {
  process.env['PATH'] = pathBefore;
  await open.stop();
  await closed.stop();
  await engine.stop();
  await rm(directory, { recursive: true, force: true });
});

let layers = 0;
/** New each time, so that no engine has it already. A tool of that name tells which of them it is. */
async function layer(which: string): Promise<Buffer> {
  layers += 1;
  const busybox = await findBusybox('amd64');
  if (busybox === null) throw new Error('no static busybox on this machine');
  return busyboxRootTar({ ...busybox, applets: ['sh', 'head', 'wc', 'sleep', which, `layer-${layers}`] });
}

/** A script that says which of the images made by `layer` it runs in. */
const TELL = 'for name in /bin/one /bin/two; do [ -e "$name" ] && echo "${name#/bin/}"; done; true';

async function forRegistries(changes: Parameters<typeof testExecutor>[1] = {}): Promise<TestExecutor> {
  return await testExecutor(engine.host, { allowedImages: ['**'], dockerConfigDir: configDir, ...changes });
}

async function writeConfig(config: object): Promise<void> {
  await writeFile(join(configDir, 'config.json'), JSON.stringify(config));
}

/** A credential helper. What it was asked is in the file `asked`. */
async function writeHelper(name: string, script: string): Promise<void> {
  const path = join(directory, 'bin', `docker-credential-${name}`);
  await writeFile(path, `#!/bin/sh\n[ "$1" = get ] || exit 9\ncat >'${join(directory, 'asked')}'\n${script}\n`);
  await chmod(path, 0o755);
}

const told = (test: TestExecutor, event: string) => test.events.filter(({ name }) => name === event);

/** No event says anything of the password, in any of the forms in which it travels. */
function expectSecret(test: TestExecutor, ...more: unknown[]): void {
  const everything = inspect([test.events, ...more], { depth: 20, showHidden: true });
  for (const form of [REGISTRY_PASSWORD, AUTH, Buffer.from(REGISTRY_PASSWORD).toString('base64').slice(0, -4)]) {
    expect(everything).not.toContain(form);
  }
}

async function refusal(work: Promise<unknown>): Promise<Error & { kind: string }> {
  const error = await work.then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error & { kind: string };
}

let images = 0;
async function pushNew(registry: DockerRegistry, which = 'one'): Promise<{ name: string; digest: string }> {
  images += 1;
  return await registry.push(`acme/tool-${images}`, '1', await layer(which));
}

describe('a private registry', () => {
  it('without credentials is told as such, with the remedy, and asked once', async () => {
    const image = await pushNew(closed);
    await using test = await forRegistries();
    const error = await refusal(test.executor.ensureImage(image.name));
    expect(error.kind).toBe('image-unavailable');
    expect(error.message).toContain(`docker login ${closed.address}`);
    expect(error.message).toContain('DOCKER_CONFIG');
    expect(told(test, 'image.retry')).toEqual([]);
  });

  it('is looked into without pulling, with the credentials that a pull would take', async () => {
    const image = await pushNew(closed);
    const signal = new AbortController().signal;
    await using before = await forRegistries();
    const refused = await before.executor.lookUpImage(image.name, signal);
    expect(refused).toMatchObject({ kind: 'unavailable', why: expect.stringMatching(/\S/) });
    await writeConfig({ auths: { [closed.address]: { auth: AUTH } } });
    await using test = await forRegistries();
    expect(await test.executor.lookUpImage(image.name, signal)).toEqual({ kind: 'pullable', digest: image.digest });
    // Asked again it is still not there: nothing was brought.
    expect((await test.executor.lookUpImage(image.name, signal)).kind).toBe('pullable');
    await using never = await forRegistries({ imagePullPolicy: 'never' });
    expect((await never.executor.lookUpImage(image.name, signal)).kind).toBe('unavailable');
    await test.executor.ensureImage(image.name);
    expect(await never.executor.lookUpImage(image.name, signal)).toEqual({ kind: 'present', digest: image.digest });
    await using always = await forRegistries({ imagePullPolicy: 'always' });
    closed.instead = () => ({ status: 500 });
    expect((await always.executor.lookUpImage(image.name, signal)).kind).toBe('stale');
    expectSecret(test, refused);
  });

  it('says so when the credentials are wrong, without repeating them', async () => {
    const image = await pushNew(closed);
    await writeConfig({
      auths: { [closed.address]: { username: REGISTRY_USER, password: `${REGISTRY_PASSWORD}-old` } },
    });
    await using test = await forRegistries();
    const error = await refusal(test.executor.ensureImage(image.name));
    expect(error).toMatchObject({ kind: 'image-unavailable', message: expect.stringContaining('does not accept') });
    expectSecret(test, error);
  });

  it.each([
    ['auth', () => ({ auth: AUTH })],
    ['user and password', () => ({ username: REGISTRY_USER, password: REGISTRY_PASSWORD })],
  ])('is pulled from with an entry of %s', async (_what, entry) => {
    const image = await pushNew(closed);
    await writeConfig({ auths: { [`https://${closed.address}/v1/`]: entry() } });
    await using test = await forRegistries();
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
    expectSecret(test);
  });

  it.each([
    ['credHelpers', (name: string) => ({ credHelpers: { [closed.address]: name }, credsStore: 'absent' })],
    ['credsStore', (name: string) => ({ credsStore: name, auths: { [closed.address]: {} } })],
  ])('is pulled from with a program of %s', async (_what, config) => {
    const image = await pushNew(closed);
    const answer = JSON.stringify({ ServerURL: closed.address, Username: REGISTRY_USER, Secret: REGISTRY_PASSWORD });
    await writeHelper('works', `echo '${answer}'`);
    await writeConfig(config('works'));
    await using test = await forRegistries();
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
    expect(await readFile(join(directory, 'asked'), 'utf8')).toBe(`${closed.address}\n`);
    expectSecret(test);
  });

  it('is asked with new credentials as soon as they are there', async () => {
    const image = await pushNew(closed);
    await writeConfig({ auths: { [closed.address]: { username: REGISTRY_USER, password: 'former' } } });
    await using test = await forRegistries({ imagePullPolicy: 'always' });
    expect((await refusal(test.executor.ensureImage(image.name))).kind).toBe('image-unavailable');
    await writeConfig({ auths: { [closed.address]: { auth: AUTH } } });
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
    await rm(join(configDir, 'config.json'));
    expect((await refusal(test.executor.ensureImage(image.name))).message).toContain('docker login');
  });

  it('is the only one that gets its credentials', async () => {
    const [ofOpen, ofClosed] = [await pushNew(open), await pushNew(closed)];
    await writeConfig({ auths: { [closed.address]: { auth: AUTH } } });
    await using test = await forRegistries();
    const before = open.asked.length;
    await Promise.all([ofOpen, ofClosed].map(({ name }) => test.executor.ensureImage(name)));
    const asked = open.asked.slice(before);
    expect(asked.length).toBeGreaterThan(2);
    expect(asked.filter(({ authorization }) => authorization !== null)).toEqual([]);
    expect(closed.asked.some(({ authorization }) => authorization === `Basic ${AUTH}`)).toBe(true);
  });

  it('does not hold up a public one when a program hangs, which is ended with all that it started', async () => {
    const image = await pushNew(open);
    await writeHelper('hangs', 'sleep 4711 & sleep 4711');
    await writeConfig({ credsStore: 'hangs' });
    await using test = await forRegistries();
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
    expect(inspect(test.events, { depth: 20 })).toContain('docker-credential-hangs did not answer');
    expect(allProcesses().filter(({ commandLine }) => /\bsleep.4711\b/.test(commandLine))).toEqual([]);
  });

  it('does not hold up a public one when a program fails, and the reason is told', async () => {
    const image = await pushNew(open);
    await writeHelper('fails', `echo 'the vault says ${REGISTRY_PASSWORD}'; exit 3`);
    await writeConfig({ credsStore: 'fails' });
    await using test = await forRegistries();
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
    expect(told(test, 'registry.credentials-unreadable')).toHaveLength(1);
    expect(inspect(test.events, { depth: 20 })).toContain('docker-credential-fails ended with code 3');
    expectSecret(test);
  });
});

describe('trouble on the way', () => {
  it.each([
    ['an overloaded registry', { status: 503, body: 'later' } as const],
    ['a registry that is asked too often', { status: 429, body: '{"errors":[{"code":"TOOMANYREQUESTS"}]}' } as const],
    ['a line that breaks', 'cut' as const],
  ])('is got over by trying again: %s', async (_what, answer) => {
    const image = await pushNew(open);
    let left = 2;
    open.instead = (_method, path) => {
      if (!path.includes('/manifests/') || left === 0) return null;
      left -= 1;
      return answer;
    };
    await using test = await forRegistries();
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
    expect(left).toBe(0);
    expect(told(test, 'image.retry').length).toBeGreaterThan(0);
  });

  it('that does not pass ends with the deadline, and with what happened last', async () => {
    const image = await pushNew(open);
    open.instead = () => ({ status: 503 });
    await using test = await forRegistries({ imagePullTimeoutMs: 5_000 });
    const began = performance.now();
    const error = await refusal(test.executor.ensureImage(image.name));
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(error).toMatchObject({ kind: 'image-unavailable', message: expect.stringContaining('503') });
    expect(error.message).toContain('IMAGE_PULL_TIMEOUT');
  });

  it('is not there where an image is missing: that is final', async () => {
    await using test = await forRegistries();
    const error = await refusal(test.executor.ensureImage(`${open.address}/acme/absent:timeout`));
    expect(error).toMatchObject({ kind: 'image-unavailable', message: expect.stringContaining('does not have it') });
    expect(told(test, 'image.retry')).toEqual([]);
  });

  it('of a registry that falls silent is noticed before the deadline, and tried again', async () => {
    const image = await pushNew(open);
    await using test = await forRegistries({ imagePullStallMs: 1_000 });
    open.instead = (_method, path) => {
      const tries = told(test, 'image.retry').length;
      if (tries === 0) return path.includes('/manifests/') ? 'hang' : null;
      return tries === 1 ? 'stall' : null;
    };
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
    expect(told(test, 'image.retry').map(({ fields }) => fields['kind'])).toEqual(['stalled', 'stalled']);
  });

  it('is over with the last one who waits: the engine stops asking', async () => {
    const image = await pushNew(open);
    open.instead = () => 'stall';
    await using test = await forRegistries();
    const before = open.asked.length;
    const blobs = () => open.asked.slice(before).filter(({ path }) => path.includes('/blobs/'));
    const leaving = [new AbortController(), new AbortController()];
    const waiting = leaving.map(({ signal }) => refusal(test.executor.ensureImage(image.name, signal)));
    // A layer of which nothing has come yet this engine would go on waiting for.
    await until('the beginning of a layer to be there', () => blobs().some(({ stalled }) => stalled));
    leaving[0]?.abort(new Error('first gone'));
    expect((await waiting[0])?.message).toBe('first gone');
    expect(blobs().filter(({ cut }) => cut)).toEqual([]);
    leaving[1]?.abort(new Error('second gone'));
    expect((await waiting[1])?.message).toBe('second gone');
    expect(told(test, 'image.pulling')).toHaveLength(1);
    // When it hangs up is the engine's affair. But one that still wanted the layer would ask again, 5 s after a line broke.
    const count = blobs().length;
    open.cutStalled();
    await pause(ENGINE_RETRY_MS);
    expect(blobs()).toHaveLength(count);
    open.instead = () => null;
    expect(await test.executor.ensureImage(image.name)).toMatchObject({ digest: image.digest });
  });
});

describe('the image that a task runs in', () => {
  it('is the one that was found, also when the tag is moved before the start', async () => {
    const first = await pushNew(open, 'one');
    const path = first.name.slice(first.name.indexOf('/') + 1, first.name.lastIndexOf(':'));
    await using test = await forRegistries();
    const found = await test.executor.ensureImage(first.name);
    const second = await open.push(path, '1', await layer('two'));
    await using other = await forRegistries({ imagePullPolicy: 'always' });
    expect((await other.executor.ensureImage(first.name)).digest).toBe(second.digest);
    const pinned = { id: found.id ?? '', digest: found.digest };
    const end = await finish(await test.executor.start(testJob(TELL, { image: first.name, pinned })));
    expect(end).toMatchObject({ stdout: 'one\n', image: { name: first.name, digest: first.digest } });
    const anew = await finish(await other.executor.start(testJob(TELL, { image: first.name })));
    expect(anew).toMatchObject({ stdout: 'two\n', image: { digest: second.digest } });
  });

  it('is told the same by a worker that takes its container up again, although the tag was moved', async () => {
    const first = await pushNew(open, 'one');
    const path = first.name.slice(first.name.indexOf('/') + 1, first.name.lastIndexOf(':'));
    const earlier = await forRegistries();
    await earlier.executor.ensureImage(first.name);
    await earlier.executor.start(testJob('sleep 3; exit 4', { image: first.name }));
    await earlier.executor.close();
    await open.push(path, '1', await layer('two'));
    await using later = await forRegistries({ imagePullPolicy: 'always' });
    await later.executor.ensureImage(first.name);
    const [run] = await later.executor.findRuns(TEST_NODE);
    if (run === undefined) throw new Error('the container was not found');
    const end = await finish(run.resume({ timeoutMs: 60_000, image: first.name }));
    expect(end.image).toEqual({ name: first.name, digest: first.digest });
    await earlier[Symbol.asyncDispose]();
  });

  it('is a new one under the same tag with the policy always, and the old one with missing and never', async () => {
    const first = await pushNew(open, 'one');
    const path = first.name.slice(first.name.indexOf('/') + 1, first.name.lastIndexOf(':'));
    await using missing = await forRegistries();
    await using never = await forRegistries({ imagePullPolicy: 'never' });
    await using always = await forRegistries({ imagePullPolicy: 'always' });
    expect((await refusal(never.executor.ensureImage(first.name))).message).toContain('pulling is off');
    expect((await missing.executor.ensureImage(first.name)).digest).toBe(first.digest);
    const second = await open.push(path, '1', await layer('two'));
    const before = open.asked.length;
    expect((await missing.executor.ensureImage(first.name)).digest).toBe(first.digest);
    expect((await never.executor.ensureImage(first.name)).digest).toBe(first.digest);
    expect(open.asked).toHaveLength(before);
    expect((await always.executor.ensureImage(first.name)).digest).toBe(second.digest);
    // What cannot be asked for its newest version is not run in an old one.
    open.instead = () => ({ status: 404, body: '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}' });
    expect((await refusal(always.executor.ensureImage(first.name))).kind).toBe('image-unavailable');
  });

  it('is let in by name, pattern or digest, and by nothing that only looks like one', async () => {
    const image = await pushNew(open);
    const [repository = ''] = image.name.split(/:1$/);
    const other = await open.push(repository.slice(repository.indexOf('/') + 1), '2', await layer('two'));
    await using byDigest = await forRegistries({ allowedImages: [`${repository}@${image.digest}`] });
    // The tag beside a digest counts for nothing, here and in the engine.
    const odd = `${repository}:2@${image.digest}`;
    expect(await byDigest.executor.ensureImage(odd)).toMatchObject({ digest: image.digest });
    const end = await finish(await byDigest.executor.start(testJob(TELL, { image: odd })));
    expect(end).toMatchObject({ stdout: 'one\n', image: { name: odd, digest: image.digest } });
    for (const wrong of [image.name, `${repository}:1@${other.digest}`, `${repository}@${other.digest}`]) {
      expect((await refusal(byDigest.executor.ensureImage(wrong))).kind).toBe('rejected');
      expect((await refusal(byDigest.executor.start(testJob(TELL, { image: wrong })))).kind).toBe('rejected');
    }
    await using byTag = await forRegistries({ allowedImages: [image.name] });
    for (const wrong of [`${repository}:1@${image.digest}`, `${repository}@${image.digest}`, other.name]) {
      expect((await refusal(byTag.executor.ensureImage(wrong))).kind).toBe('rejected');
    }
    await byTag.executor.ensureImage(image.name);
    const id = (await byTag.executor.ensureImage(image.name)).id ?? '';
    for (const wrong of [id, id.slice(7), id.slice(7, 19)]) {
      expect((await refusal(byTag.executor.start(testJob(TELL, { image: wrong })))).kind).toBe('rejected');
    }
  });

  it('leaves nothing behind', async () => {
    expect(await engine.countLeftovers()).toBe(0);
  });
});
