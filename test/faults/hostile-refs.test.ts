/**
 * A real worker on refs that hold anything: states from a mutator, other kinds of objects, links, messages of 10 MB, commits
 * whose trees are gone. Every good task gets its result all the same, the oracle has no objection to it, and each culprit is
 * named.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GitObject, makeBlob, makeObject, makeTree } from '../../src/git/objects.ts';
import type { Oid } from '../../src/git/oid.ts';
import { decodeTaskState } from '../../src/ledger/state-codec.ts';
import { taskId } from '../../src/task/id.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { git } from '../support/git.ts';
import {
  ALL_WAYS,
  BOUND_MS,
  commitOf,
  EMPTY,
  growthOf,
  HostileRepository,
  ready,
  WAYS,
} from '../support/hostile-repository.ts';
import { goodNodeMessages, goodTaskMessages } from '../support/hostile-samples.ts';
import { messageMutants } from '../support/mutator.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { WorkerHistory } from '../support/oracle/worker-history.ts';
import { atScale } from '../support/scale.ts';
import { seeded } from '../support/seeded.ts';
import { until } from '../support/until.ts';

const STATES = atScale(80, 2_000);
const LONG_MESSAGES = atScale(2, 40);

let hostile: HostileRepository;
const figures: string[] = [];

beforeEach(async () => {
  hostile = await HostileRepository.make();
});
afterEach(() => hostile[Symbol.asyncDispose]());
afterAll(() => console.info(`hostile refs: ${figures.join('; ')}`));

describe.each(WAYS)('over %s', (way) => {
  it(`${STATES} mutated states are left alone and named`, { timeout: 2 * BOUND_MS }, async () => {
    const below = seeded(77);
    const objects: GitObject[] = [EMPTY, makeBlob('no commit', 'sha1')];
    const tag = makeObject('tag', Buffer.from(`object ${EMPTY.oid}\ntype tree\ntag x\n\nx`), 'sha1');
    const tagOfTag = makeObject('tag', Buffer.from(`object ${tag.oid}\ntype tag\ntag y\n\ny`), 'sha1');
    const inner = commitOf('x', EMPTY.oid);
    const tagOfCommit = makeObject('tag', Buffer.from(`object ${inner.oid}\ntype commit\ntag z\n\nz`), 'sha1');
    const bigTree = makeTree(
      Array.from({ length: 40_000 }, (_, at) => ({
        mode: '100644',
        name: `n${at}`,
        oid: (objects[1] as GitObject).oid,
      })),
      'sha1',
    );
    objects.push(tag, tagOfTag, inner, tagOfCommit, bigTree);
    const refs = new Map<string, string>();
    const put = (ref: string, object: GitObject): void => {
      objects.push(object);
      refs.set(ref, object.oid);
    };
    const messages = goodTaskMessages('sample');
    const claimed = messages[0] as string;
    let at = 0;
    for (const { bytes } of messageMutants(messages, STATES, 5)) {
      at += 1;
      const id = `x${at}`;
      put(`refs/dgrid/tasks/${id}`, commitOf(Buffer.from(bytes.toString('latin1').replaceAll('sample', id), 'latin1')));
    }
    for (let long = 0; long < LONG_MESSAGES; long += 1) {
      const filler = Buffer.alloc(10 * 1024 * 1024, 0x61 + long);
      put(`refs/dgrid/tasks/long${long}`, commitOf(Buffer.concat([filler, Buffer.from(claimed)])));
    }
    const finished = (messages[2] as string).replaceAll('sample', 'bigtree');
    put('refs/dgrid/tasks/bigtree', commitOf(finished, bigTree.oid));
    const node = goodNodeMessages('gone')[0] as string;
    put('refs/dgrid/nodes/gone', commitOf(node.replace('DGrid-Sequence: 7', 'DGrid-Sequence: NaN')));
    put('refs/dgrid/tasks/held', commitOf(claimed.replaceAll('sample', 'held')));
    const odd: Record<string, GitObject> = {
      tree: EMPTY,
      blob: objects[1] as GitObject,
      tag,
      tagtag: tagOfTag,
      tagcommit: tagOfCommit,
    };
    for (const [name, object] of Object.entries(odd)) refs.set(`refs/dgrid/tasks/${name}`, object.oid);
    for (const name of ['tasks/UPPER', 'tasks/a/b', 'nodes/.x'.replace('.', '_.'), 'rubbish']) {
      refs.set(`refs/dgrid/${name}`, inner.oid);
    }
    await hostile.store(objects);
    await hostile.setRefs(Object.fromEntries(refs));
    // Names that lead to other names: to the branch, to nothing, to each other.
    await git(hostile.path, ['symbolic-ref', 'refs/dgrid/tasks/link', 'refs/heads/main']);
    await git(hostile.path, ['symbolic-ref', 'refs/dgrid/tasks/nowhere', 'refs/heads/nowhere']);
    await writeFile(join(hostile.path, 'refs/dgrid/tasks/loop1'), 'ref: refs/dgrid/tasks/loop2\n');
    await writeFile(join(hostile.path, 'refs/dgrid/tasks/loop2'), 'ref: refs/dgrid/tasks/loop1\n');
    const history = await ServerHistory.install(hostile.path);
    const goods = Array.from({ length: 30 }, (_, index) => `good${index}`);
    await using worker = hostile.start(way);
    await hostile.repo.queue(Object.fromEntries(goods.map((id) => [id, { script: `sleep ${10 * below(20)}` }])));
    const idleMib = await ready(worker);
    // Also while it works.
    const late = commitOf('late');
    await hostile.store([late]);
    await hostile.setRefs({ 'refs/dgrid/tasks/late': late.oid });
    await hostile.recorded(worker, ...goods);
    const told = (): Set<unknown> =>
      new Set([
        ...worker.entries('task.unreadable-state').map(({ task }) => task),
        ...worker.entries('task.newer-format').map(({ task }) => task),
      ]);
    const named = ['late', 'link', 'bigtree', 'long0', ...Object.keys(odd)];
    await until('culprits to be named', () => named.every((id) => told().has(id)), BOUND_MS).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${named.filter((id) => !told().has(id)).join(' ')}`, { cause: error });
    });
    expect(worker.entries('node.unreadable-state').map((entry) => entry['unreadable_node'])).toEqual(['gone']);
    expect(
      worker
        .entries('ref.illegal-name')
        .map((entry) => String(entry['ref']))
        .toSorted(),
    ).toEqual(['nodes/_.x', 'rubbish', 'tasks/UPPER', 'tasks/a/b'].map((name) => `refs/dgrid/${name}`).toSorted());
    // Whatever was legal among them was acted upon; the rest stands as it was, each with its name in the log.
    const left = (
      await git(hostile.path, ['for-each-ref', '--format=%(refname) %(objectname)', 'refs/dgrid/tasks/'])
    ).split('\n');
    const untold = left
      .filter((line) => refs.get(line.split(' ')[0] as string) === line.split(' ')[1])
      .map((line) => line.split(' ')[0]?.replace('refs/dgrid/tasks/', '') as string)
      .filter((id) => !told().has(id) && !/[A-Z/]/.test(id));
    // Of the rest each is a claim that anybody could have made, of a node that cannot be told to be gone.
    for (const id of untold) {
      const message = await git(hostile.path, ['log', '-1', '--format=%B', `refs/dgrid/tasks/${id}`]);
      expect(decodeTaskState(message, taskId(id)), id).toMatchObject({ kind: 'state', state: { state: 'claimed' } });
    }
    figures.push(`${way} states: ${growthOf(worker, idleMib)}`);
    expect(await worker.stop()).toBe(0);
    const workers = new WorkerHistory();
    workers.take('a', worker.log);
    const { violations } = await judge(history, workers);
    // What was forged was never queued, and what is settled of it has a record all the same.
    const ofGoods = violations.filter(
      ({ message, ref }) =>
        (ref === null || /main$|tasks\/good|nodes\/a$/.test(ref)) &&
        !/^tasks\/failed\/x\d+\.json: the task was never queued$/.test(message),
    );
    expectNoViolations(ofGoods);
    figures.push(`${way}: ${STATES + LONG_MESSAGES} states, ${told().size} named`);
  });
});

describe.each(ALL_WAYS)('over %s', (way) => {
  it('a state whose tree or parent is gone is lived with', { timeout: 2 * BOUND_MS }, async () => {
    const gone = '1'.repeat(40) as Oid;
    const message = (goodTaskMessages('sample')[1] as string).replaceAll('sample', 'treeless');
    const treeless = commitOf(message, gone);
    const orphan = commitOf((goodTaskMessages('sample')[1] as string).replaceAll('sample', 'orphan'), EMPTY.oid, [
      gone,
    ]);
    await hostile.store([EMPTY, treeless, orphan]);
    await hostile.setRefs({ 'refs/dgrid/tasks/treeless': treeless.oid });
    await using worker = hostile.start(way);
    await worker.logged('worker.ready', undefined, BOUND_MS);
    await hostile.repo.queue({ first: { script: 'exit 0' } });
    await until('it to be told', () => /treeless|1111111111/.test(worker.output), BOUND_MS);
    const before =
      worker.entries('poll.skipped').length +
      worker.entries('poll.failed').length +
      worker.entries('poll.pulling').length;
    await until(
      'more looks',
      () =>
        worker.entries('poll.skipped').length +
          worker.entries('poll.failed').length +
          worker.entries('poll.pulling').length >
        before + 2,
      BOUND_MS,
    );
    // Nobody mends it, and the others are worked on.
    await hostile.recorded(worker, 'first');
    await worker.logged('task.unreadable-state', ({ task }) => task === 'treeless', BOUND_MS);
    await git(hostile.path, ['update-ref', '-d', 'refs/dgrid/tasks/treeless']);
    await hostile.repo.queue({ second: { script: 'exit 0' } });
    await hostile.recorded(worker, 'second');
    expect(await worker.stop()).toBe(0);
  });
});
