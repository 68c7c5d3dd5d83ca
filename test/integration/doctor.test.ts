/** `dgrid-worker doctor` against real servers whose features are switched off, one at a time. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load.ts';
import { readMachine } from '../../src/config/machine.ts';
import type { CheckResult } from '../../src/doctor/check.ts';
import { examine } from '../../src/doctor/examine.ts';
import { systemClock } from '../../src/runtime.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { tryProgram } from '../support/programs.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';

const ROOT = join(import.meta.dirname, '../..');

let dir: TempDir;
let server: GitServer;
let count = 0;

beforeAll(async () => {
  dir = makeTempDir('doctor');
  server = await GitServer.start();
});
afterAll(async () => {
  await server.stop();
  dir.remove();
});

interface Examined {
  path: string;
  name: string;
  found: Map<string, CheckResult>;
  results: CheckResult[];
}

function environment(name: string, env: Record<string, string> = {}): Record<string, string> {
  return hermeticEnv(dir.path, {
    DGRID_REPO_URL: server.url(name),
    DGRID_STATE_DIR: dir.sub(`state-${name}`),
    NODE_ID: 'box',
    DOCKER_HOST: 'unix:///nowhere',
    ENGINE_CALL_TIMEOUT: '1',
    RETRY_ATTEMPTS: '1',
    ...env,
  });
}

async function examined(
  prepare: (path: string) => Promise<unknown> | void,
  env: Record<string, string> = {},
  again?: Examined,
): Promise<Examined> {
  const name = again?.name ?? `d${(count += 1)}`;
  const path = again?.path ?? (await server.createRepository(name));
  if (!again) await new TaskRepository(path).commit({ 'README.md': 'x' });
  await prepare(path);
  const all = environment(name, env);
  const loaded = loadSettings({ env: all, machine: readMachine(all, dir.path), flags: {}, envFile: null });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const results: CheckResult[] = [];
  const options = {
    settings: loaded.settings,
    version: '0.1.0',
    clock: systemClock,
    emit: () => undefined,
    operatorEnv: all,
  };
  for await (const result of examine(options)) results.push(result);
  for (const result of results) expect(result.finding, result.check).not.toContain('\n');
  return { path, name, results, found: new Map(results.map((result) => [result.check, result])) };
}

const REPOSITORY_CHECKS = [
  'repository',
  'size of a look',
  'protocol',
  'object format',
  'shallow clones',
  'partial clones',
  'pushes',
  'compare-and-swap',
  'repeated push',
  'many refs in one push',
  'recording',
  'nodes',
];

/** Everything of the repository that is not well. */
function amiss({ results }: Examined): string[] {
  return results
    .filter(({ check, outcome }) => REPOSITORY_CHECKS.includes(check) && outcome !== 'ok')
    .map(({ check }) => check);
}

async function probesLeft(path: string): Promise<string> {
  return git(path, ['for-each-ref', '--format=%(refname)', 'refs/dgrid/doctor/', 'refs/heads/dgrid/']);
}

describe('doctor', () => {
  it.each([
    ['http', {}],
    ['file', { file: true }],
  ] as const)(
    'has nothing against git as it comes, over %s, and leaves nothing behind',
    async (_way, { file = false }: { file?: boolean }) => {
      const name = `plain${count}`;
      const env = file ? { DGRID_REPO_URL: server.repositoryPath(`d${count + 1}`) } : {};
      const all = await examined(() => undefined, env);
      expect(amiss(all), name).toEqual([]);
      expect([...all.found.keys()]).toEqual(expect.arrayContaining(REPOSITORY_CHECKS));
      expect(await probesLeft(all.path)).toBe('');
      expect(await git(all.path, ['for-each-ref', '--format=%(refname)'])).toBe('refs/heads/main');
    },
  );

  it('tells that filters are off, which nothing needs', async () => {
    const { found } = await examined((path) => git(path, ['config', 'uploadpack.allowFilter', 'false']));
    expect(found.get('partial clones')).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('not offered'),
    });
    const on = await examined((path) => git(path, ['config', 'uploadpack.allowFilter', 'true']));
    expect(on.found.get('partial clones')?.finding).toBe('offered');
  });

  it('finds the namespace hidden, and that the other one would do', async () => {
    const hide = (path: string): Promise<string> => git(path, ['config', 'transfer.hideRefs', 'refs/dgrid']);
    const auto = await examined(hide);
    expect(auto.found.get('compare-and-swap')).toMatchObject({
      outcome: 'warning',
      finding: expect.stringMatching(/no refs below refs\/dgrid .*hidden.*those below refs\/heads\/dgrid/),
    });
    expect(await probesLeft(auto.path)).toBe('');
    const fixed = await examined(hide, { DGRID_REF_NAMESPACE: 'refs/dgrid' });
    expect(fixed.found.get('compare-and-swap')).toMatchObject({
      outcome: 'broken',
      remedy: expect.stringContaining('DGRID_REF_NAMESPACE=refs/heads/dgrid'),
    });
  });

  it('finds that branches cannot be deleted or rewritten where states are branches, and gets over it once they can', async () => {
    const env = { DGRID_REF_NAMESPACE: 'refs/heads/dgrid' };
    const first = await examined((path) => git(path, ['config', 'receive.denyDeletes', 'true']), env);
    expect(first.found.get('compare-and-swap')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('delete: refused'),
      remedy: expect.stringContaining('receive.denyDeletes'),
    });
    expect(first.found.get('own refs')).toMatchObject({
      outcome: 'warning',
      finding: expect.stringContaining('left behind'),
    });
    const second = await examined(() => undefined, env, first);
    expect(second.found.get('compare-and-swap')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('of an earlier doctor cannot be deleted'),
    });
    const third = await examined((path) => git(path, ['config', 'receive.denyDeletes', 'false']), env, first);
    expect(amiss(third)).toEqual([]);
    expect(await probesLeft(third.path)).toBe('');

    const rigid = await examined((path) => git(path, ['config', 'receive.denyNonFastForwards', 'true']), env);
    expect(rigid.found.get('compare-and-swap')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('swap: refused'),
    });
    expect(await probesLeft(rigid.path)).toBe('');
  });

  it('finds a hook that refuses everything, one that refuses branches, and one that judges a push as a whole', async () => {
    const hook = (name: string, script: string) => (path: string) =>
      writeFileSync(join(path, 'hooks', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const all = await examined(hook('pre-receive', 'exit 1'));
    expect(all.found.get('compare-and-swap')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('pre-receive hook declined'),
    });
    const branches = await examined(hook('update', 'case $1 in refs/heads/*) exit 1 ;; esac'));
    expect(branches.found.get('recording')).toMatchObject({
      outcome: 'warning',
      remedy: expect.stringContaining('refs/heads/main'),
    });
    expect(branches.found.get('compare-and-swap')?.outcome).toBe('ok');
    const whole = await examined(
      hook('pre-receive', 'while read -r old new ref; do case $ref in */a/b) exit 1 ;; esac; done'),
    );
    expect(whole.found.get('many refs in one push')).toMatchObject({ outcome: 'warning' });
    expect(await probesLeft(whole.path)).toBe('');
    const tip = await git(whole.path, ['rev-list', '--count', 'main']);
    expect(tip).toBe('1');
  });

  it('finds a server that was not told of protocol version 2', async () => {
    // As a proxy does that drops the header.
    const name = `d${(count += 1)}`;
    const path = await server.createRepository(name);
    await new TaskRepository(path).commit({ 'README.md': 'x' });
    server.withoutProtocol = true;
    try {
      const old = await examined(() => undefined, {}, { path, name, found: new Map(), results: [] });
      expect(amiss(old)).toEqual(['protocol']);
      expect(old.found.get('protocol')).toMatchObject({
        finding: expect.stringContaining('version 0'),
        remedy: expect.stringContaining('GIT_PROTOCOL'),
      });
      expect(old.found.get('shallow clones')?.finding).toBe('offered');
    } finally {
      server.withoutProtocol = false;
    }
  });

  it('names broken refs with the remedy, whichever they are', async () => {
    const empty = await examined((path) => writeFileSync(join(path, 'refs/heads/empty'), ''));
    expect(empty.found.get('repository')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringMatching(/refs\/heads\/empty.*git fsck/),
    });
    const gone = await examined((path) => writeFileSync(join(path, 'refs/heads/gone'), `${'1'.repeat(40)}\n`));
    expect(gone.found.get('compare-and-swap')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('refs/heads/gone'),
      remedy: expect.stringContaining('docs/git-server.md'),
    });
    const packed = await examined((path) => writeFileSync(join(path, 'packed-refs'), 'zzz\n'));
    expect(packed.found.get('repository')).toMatchObject({
      outcome: 'broken',
      finding: expect.stringContaining('packed-refs'),
    });
  });

  it('counts refs and nodes, and warns when there are many', async () => {
    const many = await examined(async (path) => {
      const tip = await git(path, ['rev-parse', 'main']);
      const lines = Array.from({ length: 4_000 }, (_, at) => `create refs/pull/${at}/head ${tip}\n`);
      await git(path, ['update-ref', '--stdin'], { input: lines.join('') });
      const state = ['Format: 1', 'Kind: node', 'State: stopped', 'Node: NAME', 'Incarnation: 0123456789abcdef'];
      const rest = [
        'Machine: m',
        'Sequence: 1',
        'Interval-Ms: 1000',
        'Ttl-Ms: 5000',
        'Nonce: 00112233445566778899aabbccddeeff',
        'Info: {}',
      ];
      const tree = await git(path, ['mktree']);
      for (let at = 0; at < 51; at += 1) {
        const trailers = [...state, ...rest].map((line) => `DGrid-${line.replace('NAME', `gone-${at}`)}`);
        const commit = await git(path, [
          'commit-tree',
          tree,
          '-m',
          `node gone-${at} stopped\n\n${trailers.join('\n')}`,
        ]);
        await git(path, ['update-ref', `refs/dgrid/nodes/gone-${at}`, commit]);
      }
    });
    expect(many.found.get('size of a look')).toMatchObject({
      outcome: 'warning',
      finding: expect.stringContaining('4052 refs'),
    });
    expect(many.found.get('size of a look')?.remedy).toContain('refs/pull');
    expect(many.found.get('nodes')).toMatchObject({
      outcome: 'warning',
      finding: expect.stringContaining('51 that signed off'),
    });
  });

  it('cleans up after itself also when the line breaks in between', async () => {
    const name = `d${count + 1}`;
    let pushes = 0;
    server.onRequest = (request) => {
      if (!request.path.includes(name) || request.kind !== 'receive-pack') return undefined;
      pushes += 1;
      return pushes === 2 ? { kind: 'status', status: 500 } : undefined;
    };
    try {
      const cut = await examined(() => undefined);
      expect(cut.found.get('compare-and-swap')?.outcome).toBe('broken');
      expect(await probesLeft(cut.path)).toBe('');
      expect(pushes).toBeGreaterThan(2);
    } finally {
      server.onRequest = null;
    }
  });

  it('says all of it in one document too', async () => {
    const name = `d${(count += 1)}`;
    await new TaskRepository(await server.createRepository(name)).commit({ 'README.md': 'x' });
    const { code, stdout } = await tryProgram(join(ROOT, 'bin/dgrid-worker'), ['doctor', '--json'], {
      env: environment(name),
    });
    // There is no engine.
    expect(code).toBe(1);
    const { checks } = JSON.parse(stdout) as { checks: CheckResult[] };
    expect(checks.map(({ check }) => check)).toEqual(expect.arrayContaining(REPOSITORY_CHECKS));
    expect(checks.filter(({ outcome, remedy }) => outcome === 'broken' && remedy === null)).toEqual([]);
  });
});
