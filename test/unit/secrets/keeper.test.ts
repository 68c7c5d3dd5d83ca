/** Secrets on a real disk: who gets which, what is refused, and that nobody learns why but the operator. */
import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SecretKeeper } from '../../../src/secrets/keeper.ts';
import { problemsOfPolicy, problemsOfStore } from '../../../src/secrets/store-check.ts';
import { taskId } from '../../../src/task/id.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const CANARY = 'canary-7f3a91c05e2b4d68';
const TASK = taskId('t');
const ANYBODY = { signer: null, requires: ['builds'] };

async function setUp() {
  const root = await temporaryDirectory();
  const directory = join(root, 'secrets');
  const policyFile = join(root, 'policy.json');
  await mkdir(directory, { mode: 0o700 });
  const events = recordEvents();
  const learned: string[] = [];
  const put = async (name: string, content: string | Uint8Array, mode = 0o600) => {
    const path = join(directory, name);
    await writeFile(`${path}.new`, content, { mode });
    await chmod(`${path}.new`, mode);
    await rename(`${path}.new`, path);
    return path;
  };
  const allow = async (...names: string[]) => {
    const secrets = Object.fromEntries(names.map((name) => [name, { labels: ['builds'] }]));
    await writeFile(policyFile, JSON.stringify({ secrets }), { mode: 0o644 });
  };
  const parts = { directory, policyFile, emit: events.emit, onSecret: (secret: string) => learned.push(secret) };
  const keeper = new SecretKeeper(parts);
  const ask = (...names: string[]) => keeper.grant(TASK, names, ANYBODY);
  const why = () => events.named('secret.refused').at(-1)?.['refused'] as Record<string, string>;
  return { ...parts, events, learned, put, allow, ask, why };
}

describe('a task', () => {
  it('gets what it may have, byte for byte, and the log learns what to mask', async () => {
    const s = await setUp();
    await s.put('key', `${CANARY}\n`);
    await s.put('blob', Buffer.from([0, 255, 10, 1, 2, 3, 4, 5, 6, 7]));
    await s.allow('key', 'blob');
    const grant = await s.ask('blob', 'key');
    expect(grant).toEqual({
      ok: true,
      secrets: [
        { name: 'blob', bytes: Buffer.from([0, 255, 10, 1, 2, 3, 4, 5, 6, 7]) },
        { name: 'key', bytes: Buffer.from(`${CANARY}\n`) },
      ],
    });
    expect(s.learned).toContain(CANARY);
    expect(s.events.named('secret.granted')).toEqual([{ task: 't', signer: null, names: ['blob', 'key'] }]);
  });

  it('that asks for none needs no directory', async () => {
    const keeper = new SecretKeeper({ directory: null, policyFile: null, emit: () => {}, onSecret: () => {} });
    expect(await keeper.grant(TASK, [], ANYBODY)).toEqual({ ok: true, secrets: [] });
    expect(await keeper.grant(TASK, ['key'], ANYBODY)).toMatchObject({ ok: false });
  });

  it('hears the same of a secret that is not there and of one that is not for it', async () => {
    const s = await setUp();
    await s.put('key', CANARY);
    await s.put('short', 'abc');
    await s.put('open', CANARY, 0o644);
    await s.allow('absent', 'short', 'open');
    const told = new Map<string, string>();
    for (const name of ['key', 'absent', 'neither', 'short', 'open']) {
      const grant = await s.ask(name);
      if (grant.ok) throw new Error(`${name} was handed out`);
      told.set(s.why()[name] ?? '', grant.message.replace(name, 'NAME'));
    }
    expect(new Set(told.values()).size).toBe(1);
    // The operator hears exactly which.
    expect([...told.keys()].map((text) => text.replace(s.directory, 'DIR'))).toEqual([
      'not in the policy',
      'DIR/absent does not exist',
      expect.stringContaining('DIR/short is shorter than 8 characters'),
      expect.stringContaining('chmod go= '),
    ]);
    expect(s.learned).toEqual([]);
  });

  it('gets all or none', async () => {
    const s = await setUp();
    await s.put('key', CANARY);
    await s.allow('key');
    const grant = await s.ask('key', 'other');
    expect(grant).toEqual({ ok: false, message: expect.stringContaining('"other"') });
    expect(grant).not.toHaveProperty('secrets');
  });

  it('gets new contents as soon as they are there, and nothing when the policy changed', async () => {
    const s = await setUp();
    await s.put('key', CANARY);
    await s.allow('key');
    await s.ask('key');
    await s.put('key', 'another-secret');
    expect(await s.ask('key')).toMatchObject({ secrets: [{ bytes: Buffer.from('another-secret') }] });
    await s.allow('other');
    expect(await s.ask('key')).toMatchObject({ ok: false });
    await writeFile(s.policyFile, '{"secrets": ');
    expect(await s.ask('key')).toMatchObject({ ok: false });
    expect(s.why()['key']).toContain('not JSON');
  });

  it('is not given more than fits', async () => {
    const s = await setUp();
    const names = Array.from({ length: 5 }, (_, index) => `s${index}`);
    for (const name of names) await s.put(name, CANARY.repeat(680));
    await s.allow(...names);
    expect(await s.ask(...names.slice(1))).toMatchObject({ ok: true });
    expect(await s.ask(...names)).toMatchObject({ ok: false });
    await s.put('s0', CANARY.repeat(1000));
    expect(await s.ask('s0')).toMatchObject({ ok: false });
  });
});

describe('a directory of secrets', () => {
  it('is as it should be when nothing is said', async () => {
    const s = await setUp();
    await s.put('key', CANARY);
    await s.put('.hidden', 'x');
    await s.allow('key');
    expect([...problemsOfStore(s.directory), ...problemsOfPolicy(s.policyFile)]).toEqual([]);
  });

  it('that others can reach is refused, at the start and at each use', async () => {
    const s = await setUp();
    await s.put('key', CANARY);
    await s.allow('key');
    for (const mode of [0o750, 0o701, 0o704]) {
      await chmod(s.directory, mode);
      expect(problemsOfStore(s.directory)).toEqual([expect.stringContaining(`chmod go= ${s.directory}`)]);
      expect(await s.ask('key')).toMatchObject({ ok: false });
    }
    await chmod(s.directory, 0o700);
    expect(await s.ask('key')).toMatchObject({ ok: true });
    await chmod(s.policyFile, 0o666);
    expect(problemsOfPolicy(s.policyFile)).toEqual([expect.stringContaining(`chmod go-w ${s.policyFile}`)]);
    expect(await s.ask('key')).toMatchObject({ ok: false });
  });

  it.each([
    [
      'short',
      async (s: Awaited<ReturnType<typeof setUp>>) => s.put('short', ' abc4567\n'),
      'shorter than 8 characters',
    ],
    ['blank', async (s: Awaited<ReturnType<typeof setUp>>) => s.put('blank', '\n \n\n\n\n\n\n\n\n'), 'shorter than 8'],
    ['long', async (s: Awaited<ReturnType<typeof setUp>>) => s.put('long', 'x'.repeat(17_000)), 'longer than 16384'],
    [
      'gaps',
      async (s: Awaited<ReturnType<typeof setUp>>) => s.put('gaps', `a${'\n'.repeat(9)}bcdefghi`),
      'blank lines',
    ],
    ['bad name', async (s: Awaited<ReturnType<typeof setUp>>) => s.put('bad name', CANARY), 'is no name of a secret'],
    ['dir', async (s: Awaited<ReturnType<typeof setUp>>) => mkdir(join(s.directory, 'dir')), 'is no file'],
    [
      'gone',
      async (s: Awaited<ReturnType<typeof setUp>>) => symlink('/nowhere', join(s.directory, 'gone')),
      'does not exist',
    ],
  ])('with %s in it is refused with a word that helps, and without its contents', async (_what, spoil, problem) => {
    const s = await setUp();
    await s.put('key', CANARY);
    await spoil(s);
    const problems = problemsOfStore(s.directory);
    expect(problems).toEqual([expect.stringContaining(problem)]);
    expect(problems.join()).not.toContain('abc4567');
  });

  it('that is not there is said to be not there', async () => {
    const s = await setUp();
    await rm(s.directory, { recursive: true });
    expect(problemsOfStore(s.directory)).toEqual([`${s.directory} does not exist`]);
    expect(problemsOfPolicy(s.policyFile)).toEqual([`${s.policyFile} does not exist`]);
  });
});
