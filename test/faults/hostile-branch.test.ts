/**
 * A real worker on a branch whose writers want to do harm: files that are no tasks, trees by hand, files that unfold, settings
 * for other people's tools, another history. Every good task gets its result all the same, each culprit is named, and nothing
 * of what stands there is run but tasks. And what `dgrid` makes of it.
 */
import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GitObject, makeBlob, makeObject, makeTree } from '../../src/git/objects.ts';
import type { Oid } from '../../src/git/oid.ts';
import { runClient } from '../support/client-program.ts';
import { git } from '../support/git.ts';
import { BOUND_MS, commitOf, EMPTY, growthOf, HostileRepository, ready, WAYS } from '../support/hostile-repository.ts';
import { goodNodeMessages, goodRecord, goodTasks } from '../support/hostile-samples.ts';
import { mutants } from '../support/mutator.ts';
import { atScale } from '../support/scale.ts';
import { until } from '../support/until.ts';

const FILES = atScale(100, 2_000);
/** Above 250,000, the tree is more than is taken into memory from an answer. */
const RUBBISH = atScale(100_000, 300_000);
const RECORDS = atScale(6, 300);
const BIG_BYTES = atScale(32, 1024) * 1024 * 1024;
/** Above what is taken from one answer. */
const NOISE_BYTES = atScale(20, 600) * 1024 * 1024;
const DEPTH = atScale(1_500, 10_000);
// oxlint-disable-next-line no-control-regex -- they are what must not be there
const ACTS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

let hostile: HostileRepository;
const figures: string[] = [];

beforeEach(async () => {
  hostile = await HostileRepository.make();
});
afterEach(() => hostile[Symbol.asyncDispose]());
afterAll(() => console.info(`hostile branch: ${figures.join('; ')}`));

describe.each(WAYS)('over %s', (way) => {
  it(`${FILES} mutated task files each end as a record`, { timeout: 2 * BOUND_MS }, async () => {
    const files: Record<string, Buffer> = {};
    const ids: string[] = [];
    const kinds = new Map<string, string>();
    const all = mutants(goodTasks('placeholder'), FILES, 31);
    for (let at = 0; at < FILES; at += 1) {
      const mutant = all.next().value as { bytes: Buffer; kind: string };
      const id = `m${at}`;
      ids.push(id);
      kinds.set(id, mutant.kind);
      files[`tasks/queue/${id}.json`] = Buffer.from(
        mutant.bytes.toString('latin1').replace('placeholder', id),
        'latin1',
      );
    }
    await using worker = hostile.start(way);
    const idleMib = await ready(worker);
    await hostile.repo.commit(files);
    await hostile.repo.queue({ good: { script: 'exit 0' } });
    await hostile.recorded(worker, 'good', ...ids);
    const ends = new Map<string, number>();
    for (const id of ids) {
      const record = await hostile.repo.record(id);
      const end = record?.reason ?? record?.status ?? 'none';
      ends.set(end, (ends.get(end) ?? 0) + 1);
      if (end !== 'invalid-task') continue;
      expect(record?.message, kinds.get(id)).toMatch(/^(?:[a-z_]+:|"|the file )/);
      expect(
        worker.entries('task.rejected').some(({ task }) => task === id),
        id,
      ).toBe(true);
    }
    expect((await hostile.repo.queued()).length).toBe(0);
    expect(
      [...ends.keys()].filter((end) => !['invalid-task', 'success', 'exit-code', 'rejected'].includes(end)),
    ).toEqual([]);
    figures.push(
      `${way}: ${FILES} task files ended as ${[...ends].map(([end, count]) => `${end} ${count}`).join(', ')}`,
    );
    figures.push(`${way} task files: ${growthOf(worker, idleMib)}`);
    expect(await worker.stop()).toBe(0);
  });

  it('settings and files for other tools have no effect, odd ones among task files end as records', {
    timeout: 2 * BOUND_MS,
  }, async () => {
    const mark = hostile.dir.sub('run-by-somebody');
    const command = `touch ${mark}`;
    await hostile.repo.commit({
      '.gitattributes': '* filter=evil diff=evil merge=evil text eol=crlf working-tree-encoding=UTF-16\n',
      '.gitmodules': `[submodule "x"]\n\tpath = tasks/queue/sub\n\turl = ext::sh -c "${command}"\n\tupdate = !${command}\n`,
      '.lfsconfig': `[lfs]\n\turl = ext::sh -c "${command}"\n`,
      '.git-hooks/post-checkout': `#!/bin/sh\n${command}\n`,
      'hooks/post-checkout': `#!/bin/sh\n${command}\n`,
      config: `[core]\n\tfsmonitor = ${command}\n\tsshCommand = ${command}\n[filter "evil"]\n\tsmudge = ${command}\n`,
      '.gitconfig': `[alias]\n\tfetch = !${command}\n`,
    });
    const task = (id: string): GitObject => makeBlob(JSON.stringify({ task_id: id, script: 'exit 0' }), 'sha1');
    const inner = commitOf('x');
    const empty = makeBlob('', 'sha1');
    const link = makeBlob('/etc/passwd', 'sha1');
    const evil = makeTree([{ mode: '100644', name: 'evil.json', oid: task('evil').oid }], 'sha1');
    let nested = makeTree([{ mode: '100644', name: 'deep.json', oid: task('deep').oid }], 'sha1');
    const objects = [EMPTY, inner, empty, link, evil, nested];
    for (let depth = 0; depth < DEPTH; depth += 1) {
      nested = makeTree([{ mode: '40000', name: 'd', oid: nested.oid }], 'sha1');
      objects.push(nested);
    }
    const long = 'l'.repeat(4_000);
    const raw: [string, Buffer, Oid][] = [
      ['120000', Buffer.from('link.json'), link.oid],
      ['160000', Buffer.from('module.json'), inner.oid],
      ['100755', Buffer.from('exec.json'), task('exec').oid],
      ['100664', Buffer.from('group.json'), task('group').oid],
      ['40000', Buffer.from('directory.json'), evil.oid],
      ['40000', Buffer.from('..'), evil.oid],
      ['40000', Buffer.from('.git'), evil.oid],
      ['40000', Buffer.from('a\u001b[2J\n'), evil.oid],
      ['100644', Buffer.from([0xff, 0xfe, 0x2e, 0x6a, 0x73, 0x6f, 0x6e]), empty.oid],
      ['100644', Buffer.from('UPPER.json'), empty.oid],
      ['100644', Buffer.from('Upper.json'), empty.oid],
      ['100644', Buffer.from(`${long}.json`), empty.oid],
      ['100644', Buffer.from('twice.json'), task('twice').oid],
      ['100644', Buffer.from('twice.json'), task('twice').oid],
      ['40000', Buffer.from('nested'), nested.oid],
      ['100644', Buffer.from('aaa.json'), task('aaa').oid],
    ];
    const content = Buffer.concat(
      raw.flatMap(([mode, name, oid]) => [Buffer.from(`${mode} `), name, Buffer.from([0]), Buffer.from(oid, 'hex')]),
    );
    const queue = makeObject('tree', content, 'sha1');
    const tasks = makeTree([{ mode: '40000', name: 'queue', oid: queue.oid }], 'sha1');
    const old = await git(hostile.path, ['ls-tree', 'main']);
    const root = makeTree(
      [
        ...old.split('\n').map((line) => {
          const [, mode = '', , oid = '', name = ''] = /^(\d+) (\w+) (\w+)\t(.*)$/.exec(line) ?? [];
          return { mode, name, oid: oid as Oid };
        }),
        { mode: '40000', name: 'tasks', oid: tasks.oid },
      ],
      'sha1',
    );
    const tip = commitOf('by hand', root.oid, [await hostile.tip()]);
    await using worker = hostile.start(way);
    const idleMib = await ready(worker);
    await hostile.store([
      ...objects,
      ...['exec', 'group', 'twice', 'aaa', 'evil', 'deep'].map(task),
      queue,
      tasks,
      root,
      tip,
    ]);
    await hostile.setRefs({ 'refs/heads/main': tip.oid });
    // Legal, all of them: an executable is a regular file, and a directory may be called anything.
    await hostile.recorded(worker, 'aaa', 'exec', 'group', 'twice', 'evil', 'link', 'module');
    for (const id of ['link', 'module'])
      expect((await hostile.repo.record(id))?.message).toMatch(/must be a regular file/);
    const starts = worker.entries('task.started').map(({ task: id }) => String(id));
    expect(starts.toSorted()).toEqual(['aaa', 'evil', 'exec', 'group', 'twice']);
    const illegal = worker.entries('queue.illegal-name').map((entry) => String(entry['path']));
    expect(illegal).toEqual(expect.arrayContaining(['tasks/queue/..', 'tasks/queue/.git', 'tasks/queue/UPPER.json']));
    expect(illegal.some((told) => told.startsWith('tasks/queue/nested/d/d/d'))).toBe(true);
    expect(illegal.some((told) => told.includes('llll') && told.length < 1_000)).toBe(true);
    await hostile.repo.queue({ after: { script: 'exit 0' } }).catch(() => undefined);
    figures.push(`${way} trees: ${growthOf(worker, idleMib)}`);
    expect(existsSync(mark)).toBe(false);
    expect(await worker.stop()).toBe(0);
  });

  it(`a directory of ${RUBBISH} rubbish names is read, and does not flood the log`, {
    timeout: 2 * BOUND_MS,
  }, async () => {
    const empty = makeBlob('', 'sha1');
    const good = makeBlob(JSON.stringify({ task_id: 'good', script: 'exit 0' }), 'sha1');
    const names = Array.from(
      { length: RUBBISH },
      (_, at) => `Rubbish ${at} ${'\u202e'.repeat(at % 3)} of somebody.json`,
    );
    const entries = names.map((name) => ({ mode: '100644', name, oid: empty.oid }));
    const queue = makeTree([...entries, { mode: '100644', name: 'good.json', oid: good.oid }], 'sha1');
    const tasks = makeTree([{ mode: '40000', name: 'queue', oid: queue.oid }], 'sha1');
    const root = makeTree([{ mode: '40000', name: 'tasks', oid: tasks.oid }], 'sha1');
    const tip = commitOf('rubbish', root.oid, [await hostile.tip()]);
    await using worker = hostile.start(way);
    const idleMib = await ready(worker);
    await hostile.store([empty, good, queue, tasks, root, tip]);
    await hostile.setRefs({ 'refs/heads/main': tip.oid });
    await hostile.recorded(worker, 'good');
    const more = await worker.logged('queue.more-illegal-names', undefined, BOUND_MS);
    expect(more['count']).toBe(RUBBISH - 1_000);
    expect(worker.entries('queue.illegal-name').length).toBe(1_000);
    figures.push(`${way} ${RUBBISH} rubbish names: ${growthOf(worker, idleMib)}`);
    expect(await worker.stop()).toBe(0);
  });

  it('a huge file of nothing, and one of noise, end as records without filling the memory', {
    timeout: 2 * BOUND_MS,
  }, async () => {
    const zeros = hostile.dir.sub('zeros');
    const noise = hostile.dir.sub('noise');
    await git(hostile.dir.path, [
      '-c',
      'alias.make=!f() { head -c "$1" /dev/zero >"$2"; head -c "$4" /dev/urandom >"$3"; }; f',
      'make',
      String(BIG_BYTES),
      zeros,
      noise,
      String(NOISE_BYTES),
    ]);
    const [zero, random] = await Promise.all(
      [zeros, noise].map((file) => git(hostile.path, ['hash-object', '-w', file])),
    );
    const small = makeBlob(JSON.stringify({ task_id: 'small', script: 'exit 0' }), 'sha1');
    const queue = makeTree(
      [
        { mode: '100644', name: 'noise.json', oid: random as Oid },
        { mode: '100644', name: 'small.json', oid: small.oid },
        { mode: '100644', name: 'zeros.json', oid: zero as Oid },
      ],
      'sha1',
    );
    const tasks = makeTree([{ mode: '40000', name: 'queue', oid: queue.oid }], 'sha1');
    const root = makeTree([{ mode: '40000', name: 'tasks', oid: tasks.oid }], 'sha1');
    const tip = commitOf('big', root.oid, [await hostile.tip()]);
    await hostile.store([small, queue, tasks, root, tip]);
    await using worker = hostile.start(way);
    const idleMib = await ready(worker);
    await hostile.setRefs({ 'refs/heads/main': tip.oid, 'refs/dgrid/tasks/bigblob': zero as string });
    await hostile.recorded(worker, 'small', 'noise', 'zeros');
    expect((await hostile.repo.record('zeros'))?.message).toMatch(
      /^the file has (?:more than )?\d+ bytes; at most \d+ are allowed/,
    );
    await worker.logged('task.unreadable-state', ({ task }) => task === 'bigblob', BOUND_MS);
    figures.push(`${way} huge files: ${growthOf(worker, idleMib)}`);
    expect(await worker.stop()).toBe(0);
  });

  it('the branch may be set to anything, and HEAD to nowhere', { timeout: 2 * BOUND_MS }, async () => {
    await using worker = hostile.start(way);
    await worker.logged('worker.ready');
    await hostile.repo.queue({ first: { script: 'exit 0' } });
    await hostile.recorded(worker, 'first');
    // A history that has nothing in common with the one before.
    const other = makeBlob(JSON.stringify({ task_id: 'second', script: 'exit 0' }), 'sha1');
    const queue = makeTree([{ mode: '100644', name: 'second.json', oid: other.oid }], 'sha1');
    const tasks = makeTree([{ mode: '40000', name: 'queue', oid: queue.oid }], 'sha1');
    const root = makeTree([{ mode: '40000', name: 'tasks', oid: tasks.oid }], 'sha1');
    const tip = commitOf('another history', root.oid);
    await hostile.store([other, queue, tasks, root, tip]);
    await hostile.setRefs({ 'refs/heads/main': tip.oid });
    await hostile.recorded(worker, 'second');
    await git(hostile.path, ['symbolic-ref', 'HEAD', 'refs/heads/gone']);
    await hostile.repo.queue({ third: { script: 'exit 0' } });
    await until('it to be seen', () => worker.entries('poll.skipped').length > 0);
    await git(hostile.path, ['symbolic-ref', 'HEAD', 'refs/heads/main']);
    await hostile.recorded(worker, 'third');
    // A tip whose directories are no trees: nothing can be recorded on it, and it is said where it lies.
    const torn = makeObject('tree', Buffer.from('40000 tasks\0short'), 'sha1');
    const blind = commitOf('torn', torn.oid);
    await hostile.store([torn, blind]);
    const before = await git(hostile.path, ['rev-parse', 'main']);
    await hostile.setRefs({ 'refs/heads/main': blind.oid });
    await until('it to be told', () => worker.entries('poll.failed').length >= 3, BOUND_MS);
    expect(JSON.stringify(worker.entries('poll.failed').at(-1)?.['err'])).toMatch(
      way === 'http' ? /refs\/heads\/main/ : /fetch|the root on the branch/,
    );
    await hostile.setRefs({ 'refs/heads/main': before });
    await hostile.repo.queue({ fourth: { script: 'exit 0' } });
    await hostile.recorded(worker, 'fourth');
    figures.push(`${way}: a torn tip: ${JSON.stringify(worker.entries('poll.failed')[0]?.['err']).slice(0, 200)}`);
    expect(await worker.stop()).toBe(0);
  });
});

describe('dgrid', () => {
  it('shows what others wrote without being harmed by it', { timeout: 2 * BOUND_MS }, async () => {
    const evil = '\u001b[2J\u001b]0;gone\u0007\u009b31m\u202egnp\r';
    const files: Record<string, Buffer> = { [`tasks/queue/Odd${evil.replace('\r', '')}.json`]: Buffer.from('{}') };
    let at = 0;
    for (const { bytes } of mutants([goodRecord('placeholder', evil)], RECORDS, 13)) {
      at += 1;
      files[`tasks/failed/r${at}.json`] = Buffer.from(
        bytes.toString('latin1').replace('placeholder', `r${at}`),
        'latin1',
      );
    }
    await hostile.repo.commit(files);
    const node = commitOf(
      goodNodeMessages('odd')[0]?.replace('"name":"odd"', `"name":${JSON.stringify(evil)}`) as string,
    );
    await hostile.store([EMPTY, node]);
    await hostile.setRefs({ 'refs/dgrid/nodes/odd': node.oid });
    const run = (...args: string[]) =>
      runClient(args, { home: hostile.dir.path, env: { DGRID_REPO_URL: hostile.path } });
    const ids = Array.from({ length: RECORDS }, (_, index) => `r${index + 1}`);
    for (const id of ids) {
      const { code, out, err } = await run('show', id, '--json');
      expect([code, err], id).toEqual([0, '']);
      expect(out).not.toMatch(ACTS);
      const document = JSON.parse(out) as { task_id: string; problems: string[]; result: object | null };
      expect(document.task_id).toBe(id);
      expect(document.result !== null || document.problems.length > 0).toBe(true);
    }
    for (const args of [['status'], ['status', '--json'], ['wait', ...ids], ['show', 'r1'], ['logs', 'r1', '--json']]) {
      const { code, err, out } = await run(...args);
      expect([0, 1, 3], args.join(' ')).toContain(code);
      expect(out + err).not.toMatch(ACTS);
    }
    figures.push(`dgrid: ${RECORDS} records`);
  });
});
