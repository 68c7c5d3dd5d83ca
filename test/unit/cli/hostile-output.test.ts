/** Whatever others wrote, `dgrid` shows it: none of it acts on the terminal, and none of it ends the program. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { printResults, resultRow } from '../../../src/cli/client/result-table.ts';
import { documentOf, printTask } from '../../../src/cli/client/show.ts';
import { statusLines } from '../../../src/cli/client/status-lines.ts';
import { harmless, spelledOut } from '../../../src/cli/display-width.ts';
import { Output } from '../../../src/cli/output.ts';
import { GridSummaries } from '../../../src/client/grid-summary.ts';
import { type GitObject, makeBlob, makeCommit, makeObject, makeTree } from '../../../src/git/objects.ts';
import { type Oid, refName } from '../../../src/git/oid.ts';
import type { GridView } from '../../../src/ledger/grid-view.ts';
import { readOutput, readResults } from '../../../src/ledger/results.ts';
import { standingOf } from '../../../src/ledger/task-standing.ts';
import { systemClock } from '../../../src/runtime.ts';
import { type TaskId, taskId } from '../../../src/task/id.ts';
import { goodNodeMessages, goodRecord, goodTaskMessages } from '../../support/hostile-samples.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MAIN } from '../../support/memory-grid.ts';
import { MemoryRemote } from '../../support/memory-repository.ts';
import { messageMutants, mutants } from '../../support/mutator.ts';

const RECORDS = 1_000;
const STATES = 300;
const EVIL = '\u001b[2J\u001b]0;gone\u0007\u001bP1$r\u001b\\\u009b31m\u0090x\u202egnp\r\b\u007f\u200f';
// oxlint-disable-next-line no-control-regex -- they are what must not be there
const ACTS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const NOBODY = { name: 'nobody', email: 'nobody@example.org', seconds: 0 };

const remote = new MemoryRemote();
let written = '';
const { client } = memoryClient(remote);
let view: GridView;
const ended: Record<string, number> = {};

function output(json: boolean, colour = false): Output {
  const stream = { isTTY: true, columns: 200, write: (text: string | Uint8Array) => (written += text.toString()) };
  return new Output({ json, stdout: stream, stderr: stream, env: colour ? {} : { NO_COLOR: '1' }, clock: systemClock });
}

/** What a command wrote since the last time. */
function shown(): string {
  const text = written;
  written = '';
  return text;
}

function put(object: GitObject): Oid {
  remote.objects.set(object.oid, object);
  return object.oid;
}

function commit(message: string | Buffer, tree: Oid, seconds = 0): Oid {
  const who = { ...NOBODY, seconds };
  const head = makeCommit({ tree, parents: [], author: who, committer: who, message: '' }, 'sha1').content;
  return put(makeObject('commit', Buffer.concat([head, Buffer.from(message)]), 'sha1'));
}

const directory = (entries: [string, Oid, string?][]): Oid =>
  put(
    makeTree(
      entries.map(([name, oid, mode]) => ({ name, oid, mode: mode ?? '100644' })),
      'sha1',
    ),
  );

const ids = Array.from({ length: RECORDS }, (_, at) => taskId(`t${at}`));

beforeAll(async () => {
  const good = [
    goodRecord('t', EVIL.repeat(20)),
    { ...goodRecord('t'), message: EVIL, node_id: 'n', task: { x: EVIL } },
  ];
  const blobs = [...mutants(good, RECORDS, 99)].map(({ bytes }) => put(makeBlob(bytes, 'sha1')));
  const records = directory(ids.map((id, at) => [`${id}.json`, blobs[at] as Oid]));
  const empty = directory([]);
  const odd: [string, Oid][] = [
    [`${EVIL}.json`, put(makeBlob('', 'sha1'))],
    [`a${EVIL}`, put(makeBlob('', 'sha1'))],
  ];
  const queue = directory([
    ...odd,
    ['evil.json', put(makeBlob(JSON.stringify({ task_id: EVIL, [EVIL]: EVIL }), 'sha1'))],
  ]);
  const tasks = directory([
    ['completed', records, '40000'],
    ['queue', queue, '40000'],
  ]);
  remote.refs.set(MAIN, commit('x', directory([['tasks', tasks, '40000']])));
  const messages = [...goodTaskMessages('sample'), ...goodNodeMessages('sample')];
  let at = 0;
  for (const { bytes } of messageMutants(messages, STATES, 7)) {
    at += 1;
    remote.refs.set(refName(`refs/dgrid/tasks/x${at}`), commit(bytes, empty));
    const named = bytes.toString().replaceAll('sample', `x${at}`);
    remote.refs.set(refName(`refs/dgrid/nodes/x${at}`), commit(named, empty, [0, 1e12, 1e15 - 1][at % 3]));
  }
  const info = {
    name: EVIL,
    version: EVIL,
    labels: [EVIL, 1],
    running: [{ task: EVIL }],
    paused: [{ reason: EVIL, text: EVIL }],
  };
  const message = goodNodeMessages('evil')[0]?.replace(/DGrid-Info: .*/, () => `DGrid-Info: ${JSON.stringify(info)}`);
  remote.refs.set(refName('refs/dgrid/nodes/evil'), commit(message as string, empty, 1e14));
  const deep = `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`;
  const deepMessage = goodNodeMessages('deep')[0]?.replace(/DGrid-Info: .*/, () => `DGrid-Info: ${deep}`);
  remote.refs.set(refName('refs/dgrid/nodes/deep'), commit(deepMessage as string, empty));
  remote.refs.set(refName('refs/dgrid/nodes/torn'), put(makeObject('commit', Buffer.from('torn'), 'sha1')));
  remote.refs.set(refName(`refs/dgrid/odd${EVIL}`), commit('x', empty));
  view = await client.refresh({ nodes: 'all' });
});

afterAll(() =>
  console.info(`records: ${RECORDS} mutants: ${JSON.stringify(ended)}; ${STATES} states of tasks and of nodes`),
);

describe('with hostile records', () => {
  it('each is shown, for people and for programs', async () => {
    const results = await readResults(client, view, ids);
    for (const id of ids) {
      const result = results.get(id) ?? null;
      ended[result?.ok ? 'record' : 'problem'] = (ended[result?.ok ? 'record' : 'problem'] ?? 0) + 1;
      const standing = standingOf(view, id);
      const facts = [id, view, standing, result, null] as const;
      printTask(output(false), ...facts);
      output(true).document(documentOf(...facts));
      const [people, programs] = [shown().split('\n{\n')[0], JSON.stringify(documentOf(...facts))];
      expect(people).not.toMatch(ACTS);
      expect(programs).not.toBe('');
      if (result?.ok) await readOutput(client, view, result.record);
    }
    printResults(
      output(false),
      ids.flatMap((id) => resultRow(id, results.get(id) as never)),
    );
    expect(shown()).not.toMatch(ACTS);
  });

  it('documents hold nothing that acts, and mean the same', async () => {
    const results = await readResults(client, view, ids);
    const document = Object.fromEntries(results);
    output(true).document(document);
    const text = shown();
    expect(text).not.toMatch(ACTS);
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(document)));
  });
});

describe('with hostile states', () => {
  it('the grid is summed up', async () => {
    const summary = await new GridSummaries(client, { maxTaskBytes: 1024 }).of(view);
    for (const line of statusLines(output(false), `https://example.org/${EVIL}`, { ...summary, branch: EVIL }, null)) {
      output(false).line(line);
    }
    output(true).document(summary);
    expect(shown()).not.toMatch(ACTS);
    expect(summary.nodes.find(({ node_id: id }) => id === 'evil')).toMatchObject({ last_beat_by_its_clock: null });
    expect(summary.nodes.find(({ node_id: id }) => id === 'torn')).toMatchObject({ state: 'unreadable' });
    for (let at = 1; at <= STATES; at += 1) {
      const id = `x${at}` as TaskId;
      printTask(output(false), id, view, standingOf(view, id), null, null);
    }
    expect(shown()).not.toMatch(ACTS);
  });
});

describe('what a task wrote', () => {
  it('is spelled out on a terminal, and comes through a pipe as it was', () => {
    output(false).bytes(Buffer.from(`one${EVIL}\r\n\ttwo\n`));
    const text = shown();
    expect(text).not.toMatch(ACTS);
    expect(text).toMatch(/^one\^\[\[2J\^\[\]0;gone\^G.*<U\+009B>31m.*<U\+202E>gnp\^M\^H\^\?<U\+200F>\n\ttwo\n$/);
    expect(spelledOut('grüezi 日本\n')).toBe('grüezi 日本\n');
    output(false).errorBytes(Buffer.from([0x1b, 0x5b, 0x41, 0xff]));
    expect(shown()).toBe('^[[A\ufffd');
  });
});

describe('lines', () => {
  it('keep their colours and nothing else', () => {
    const coloured = output(false, true);
    coloured.line(`${coloured.style(['bold', 'red'], 'red')} ${EVIL}`);
    const text = shown();
    expect(text.startsWith('\u001b[1m\u001b[31mred\u001b[39m\u001b[22m')).toBe(true);
    expect(text.replaceAll(/.\[\d+m/g, '')).not.toMatch(ACTS);
    coloured.note(EVIL);
    expect(shown()).not.toMatch(ACTS);
    coloured.picture([EVIL]);
    expect(shown().replaceAll('\u001b[K', '').replace('\u001b[J', '')).not.toMatch(ACTS);
    expect(harmless('a\nb')).toBe('a\nb');
  });
});
