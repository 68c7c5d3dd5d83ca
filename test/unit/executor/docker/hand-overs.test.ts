import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HandOvers } from '../../../../src/executor/docker/hand-overs.ts';
import { type RunLabels, writeLabels, writeWarmLabels } from '../../../../src/executor/docker/labels.ts';
import { nodeId, taskId } from '../../../../src/task/id.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { recordEvents } from '../../../support/recorded-events.ts';
import { makeTempDir, type TempDir } from '../../../support/temp.ts';

const ID = 'ab'.repeat(32);
const WARM = { gridId: 'g', nodeId: nodeId('n'), nonce: '00ff00ff' };
const RUN: RunLabels = {
  gridId: 'g',
  key: { taskId: taskId('t'), nodeId: nodeId('n'), incarnation: 'inc', epoch: 4 },
  attempt: 2,
  program: 'script',
  nonce: '00ff00ff',
};

let directory: TempDir;
let notes: HandOvers;
const events = recordEvents();

beforeEach(() => {
  directory = makeTempDir('hand-overs');
  notes = new HandOvers(join(directory.path, 'deep', 'notes'), { clock: new ManualClock(), emit: events.emit });
});

afterEach(() => {
  directory.remove();
});

describe('HandOvers', () => {
  it('does not guess at a note of a newer version', async () => {
    await notes.note(ID, { labels: RUN, waitedMs: 12.5 });
    const path = join(directory.path, 'deep', 'notes', `${ID}.json`);
    await writeFile(path, (await readFile(path, 'utf8')).replace('"version":1', '"version":2'));
    expect(await notes.identify(ID, writeWarmLabels(WARM))).toBeNull();
  });

  it('tells which task a container was given, as long as there is a note', async () => {
    expect(await notes.identify(ID, writeWarmLabels(WARM))).toBeNull();
    await notes.note(ID, { labels: RUN, waitedMs: 12.5 });
    expect(await notes.identify(ID, writeWarmLabels(WARM))).toEqual({ labels: RUN, waitedMs: 12.5 });
    expect(await notes.noted()).toEqual([ID]);
    await notes.forget(ID);
    await notes.forget(ID);
    expect(await notes.identify(ID, writeWarmLabels(WARM))).toBeNull();
    expect(await notes.noted()).toEqual([]);
  });

  it('is a step of its own', async () => {
    await notes.note(ID, { labels: RUN, waitedMs: 0 });
    expect(events.named('step.begun')).toContainEqual({ step: 'container.hand-over', container: ID, task: 't' });
  });

  it('believes the labels of a container that was made for its task, and no note about it', async () => {
    await notes.note(ID, { labels: { ...RUN, attempt: 9 }, waitedMs: 1 });
    expect(await notes.identify(ID, writeLabels(RUN))).toEqual({ labels: RUN, waitedMs: null });
    expect(await notes.identify(ID, {})).toBeNull();
  });

  it.each([
    ['of another grid', { ...WARM, gridId: 'other' }],
    ['of another node', { ...WARM, nodeId: nodeId('other') }],
    ['with another nonce', { ...WARM, nonce: '11111111' }],
  ])('does not take a container %s for the one that the note is about', async (_what, labels) => {
    await notes.note(ID, { labels: RUN, waitedMs: 1 });
    expect(await notes.identify(ID, writeWarmLabels(labels))).toBeNull();
  });

  it.each(['', '{', 'null', '{}', '{"labels":{},"waited_ms":1}', '{"labels":null}'])(
    'knows nothing where the note says %j',
    async (text) => {
      await notes.note(ID, { labels: RUN, waitedMs: 1 });
      await writeFile(join(directory.path, 'deep', 'notes', `${ID}.json`), text);
      expect(await notes.identify(ID, writeWarmLabels(WARM))).toBeNull();
    },
  );

  it('makes no file of anything but the id of a container', async () => {
    await expect(notes.note('../escape', { labels: RUN, waitedMs: 1 })).rejects.toThrow(RangeError);
    expect(await readdir(directory.path)).toEqual([]);
  });

  it('says so when it cannot write: the task must not be sent then', async () => {
    const file = join(directory.path, 'file');
    await writeFile(file, '');
    const blocked = new HandOvers(file, { clock: new ManualClock(), emit: events.emit });
    await expect(blocked.note(ID, { labels: RUN, waitedMs: 1 })).rejects.toThrow(/ENOTDIR/);
    expect(await blocked.noted()).toEqual([]);
  });
});
