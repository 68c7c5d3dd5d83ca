/**
 * Each format that outlives a version: on the disk of a machine, in the repository, on a container. For each the number that
 * it is written with, how the present code writes it, and how it reads what any version has written.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HandOvers } from '../../src/executor/docker/hand-overs.ts';
import { readLabels, readWarmLabels, writeLabels, writeWarmLabels } from '../../src/executor/docker/labels.ts';
import { OwnedImages } from '../../src/executor/docker/owned-images.ts';
import { inspectDirectory, writeMarker } from '../../src/git/clone-directory.ts';
import { makeBlob, makeTree } from '../../src/git/objects.ts';
import { refName } from '../../src/git/oid.ts';
import { machineId } from '../../src/host/machine-id.ts';
import { NonceMemory } from '../../src/host/nonce-memory.ts';
import { Quota } from '../../src/host/quota.ts';
import { FileOutbox, type OutboxEntry } from '../../src/ledger/outbox.ts';
import { decodeNodeState, decodeTaskState, encodeNodeState, encodeTaskState } from '../../src/ledger/state-codec.ts';
import { recordBytes } from '../../src/task/result.ts';
import { parseResultRecord } from '../../src/task/result-schema.ts';
import { parseTaskFile } from '../../src/task/spec.ts';
import {
  FENCED_NODE,
  LIVING_NODE,
  RECORD,
  RUN_LABELS,
  SIGNED_START,
  TASK,
  TASK_STATES,
  WARM_LABELS,
} from './kept-facts.ts';
import { ManualClock } from './manual-clock.ts';
import { recordEvents } from './recorded-events.ts';

export interface KeptFormat {
  name: string;
  /** Where the file would lie, for those that are read from a directory. */
  write: (directory: string) => Promise<string | Uint8Array>;
  /** What the present code makes of it. */
  read: (sample: Buffer, directory: string) => Promise<unknown>;
  /** What it must make of every sample: more may stand beside it. */
  expected: unknown;
}

const CONTAINER = 'ab'.repeat(32);
const DIRECTORY_ID = '0123456789abcdef'.repeat(2);
/** The first versions did not write the image down. */
const { image: _image, ...RUN } = RUN_LABELS;
const LIMITS = { maxTaskBytes: 262_144, maxTimeoutSeconds: 3_600 };
const { emit } = recordEvents();
const parts = () => ({ clock: new ManualClock(), emit });

async function put(path: string, bytes: Uint8Array): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
  return path;
}

async function onlyFile(directory: string): Promise<Buffer> {
  const [name = ''] = await readdir(directory);
  return readFile(join(directory, name));
}

const blob = makeBlob(Buffer.from('a record\n'), 'sha1');
const tree = makeTree([{ mode: '100644', name: 'record.json', oid: blob.oid }], 'sha1');
const ENTRY: OutboxEntry = {
  taskId: TASK,
  swap: { ref: refName(`refs/dgrid/tasks/${TASK}`), from: blob.oid, to: tree.oid },
  objects: [blob, tree],
};

const states: KeptFormat[] = [
  ...TASK_STATES.map((state) => ({
    name: `task-${state.state}`,
    write: async () => encodeTaskState(state),
    read: async (sample: Buffer) => decodeTaskState(sample.toString(), TASK),
    expected: { kind: 'state', state },
  })),
  ...[LIVING_NODE, FENCED_NODE].map((state) => ({
    name: `node-${state.state}`,
    write: async () => encodeNodeState(state),
    read: async (sample: Buffer) => decodeNodeState(sample.toString(), state.nodeId),
    expected: { kind: 'state', state },
  })),
];

const files: KeptFormat[] = [
  {
    name: 'record',
    write: async () => recordBytes(RECORD),
    read: async (sample) => parseResultRecord(JSON.parse(sample.toString())),
    expected: { ok: true, record: RECORD },
  },
  {
    name: 'outbox',
    write: async (directory) => {
      await new FileOutbox(directory, parts()).add(ENTRY, 'sha1');
      return onlyFile(directory);
    },
    read: async (sample, directory) => {
      await put(join(directory, 'kept.result'), sample);
      return new FileOutbox(directory, parts()).load();
    },
    expected: [ENTRY],
  },
  {
    name: 'hourly-count',
    write: async (directory) => {
      const path = join(directory, 'count.json');
      const quota = await Quota.open({ ...parts(), path, maxPerHour: 5 });
      await quota.take(1);
      return readFile(path);
    },
    read: async (sample, directory) => {
      const path = await put(join(directory, 'count.json'), sample);
      return (await Quota.open({ ...parts(), path, maxPerHour: 5 })).left();
    },
    expected: 4,
  },
  {
    name: 'signed-starts',
    write: async (directory) => {
      const path = join(directory, 'starts.jsonl');
      const memory = await NonceMemory.open({ ...parts(), path });
      await memory.take(SIGNED_START);
      await memory.settle(SIGNED_START.taskId);
      return readFile(path);
    },
    read: async (sample, directory) => {
      const path = await put(join(directory, 'starts.jsonl'), sample);
      const memory = await NonceMemory.open({ ...parts(), path });
      return memory.take({ ...SIGNED_START, epoch: SIGNED_START.epoch + 1 });
    },
    expected: 'used',
  },
  {
    name: 'hand-over',
    write: async (directory) => {
      await new HandOvers(directory, parts()).note(CONTAINER, { labels: RUN_LABELS, waitedMs: 1_250 });
      return onlyFile(directory);
    },
    read: async (sample, directory) => {
      await put(join(directory, `${CONTAINER}.json`), sample);
      return new HandOvers(directory, parts()).identify(CONTAINER, writeWarmLabels(WARM_LABELS));
    },
    expected: { labels: RUN, waitedMs: 1_250 },
  },
  {
    name: 'owned-images',
    write: async (directory) => {
      const path = join(directory, 'images.json');
      await new OwnedImages(path).add({ name: 'docker.io/library/busybox:stable', id: 'sha256:ab', usedMs: 12 });
      return readFile(path);
    },
    read: async (sample, directory) => new OwnedImages(await put(join(directory, 'images.json'), sample)).list(),
    // When it was used is a matter of order alone, and was not always written down.
    expected: [{ name: 'docker.io/library/busybox:stable', id: 'sha256:ab' }],
  },
  {
    name: 'clone-marker',
    write: async (directory) => {
      await writeMarker(directory, { url: 'https://git.example.com/tasks.git', format: 'sha1', shallow: true }, true);
      return onlyFile(directory);
    },
    read: async (sample, directory) => {
      await put(join(directory, 'dgrid-clone.json'), sample);
      return inspectDirectory(directory);
    },
    expected: { kind: 'ours', marker: { url: 'https://git.example.com/tasks.git', format: 'sha1', complete: true } },
  },
  {
    name: 'machine-id',
    write: async (directory) => {
      await machineId({ ...parts(), stateDir: directory, randomHex: () => DIRECTORY_ID, machineIdPath: '/nowhere' });
      return onlyFile(directory);
    },
    read: async (sample, directory) => {
      await put(join(directory, 'machine-id'), sample);
      // Another one would mean that it was not understood.
      const randomHex = () => 'f'.repeat(32);
      return machineId({ ...parts(), stateDir: directory, randomHex, machineIdPath: '/nowhere' });
    },
    expected: '5a2ccbdfdb48b2b6bdb1c3e7ef0f6e28',
  },
];

const labels: KeptFormat[] = [
  {
    name: 'run-labels',
    write: async () => `${JSON.stringify(writeLabels(RUN_LABELS), null, 2)}\n`,
    read: async (sample) => readLabels(JSON.parse(sample.toString()) as Record<string, string>),
    expected: RUN,
  },
  {
    name: 'warm-labels',
    write: async () => `${JSON.stringify(writeWarmLabels(WARM_LABELS), null, 2)}\n`,
    read: async (sample) => readWarmLabels(JSON.parse(sample.toString()) as Record<string, string>),
    expected: WARM_LABELS,
  },
];

export const KEPT_FORMATS: readonly KeptFormat[] = [...states, ...files, ...labels];

/** A task file is written by people: it is only read. */
export function readTask(sample: Buffer): unknown {
  return parseTaskFile(sample, TASK, LIMITS);
}
