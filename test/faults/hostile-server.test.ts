/**
 * A Git server that wants to do harm: answers without an end, answers that unfold, answers that lead elsewhere, words that
 * would act on a terminal. The worker keeps its memory, tells what it met, polls on, and works as soon as it is let.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FLUSH, packet } from '../../src/git/http/pkt-line.ts';
import { git } from '../support/git.ts';
import { GitServer, type RequestKind } from '../support/git-server.ts';
import type { Misbehaviour } from '../support/misbehaviour.ts';
import { MAX_GROWTH_MIB, peakMemoryMib, resetPeakMemory, residentMib } from '../support/peak-memory.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const TIMEOUT_S = 4;
const POLLS = 2;
const BOUND_MS = 60_000;
const ID = 'a'.repeat(40);
const EVIL = '\u001b[2J\u001b]0;gone\u0007\u009b31m\u202egnp\r';
// oxlint-disable-next-line no-control-regex -- they are what must not be there
const ACTS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
const RESULT = { 'Content-Type': 'application/x-git-upload-pack-result' };
const ADVERTISEMENT = { 'Content-Type': 'application/x-git-upload-pack-advertisement' };

/** Sends the same over and over, as fast as it is taken, until the other side leaves. */
function endless(headers: Record<string, string>, head: Buffer, chunk: Buffer): Misbehaviour {
  const pour = async (response: ServerResponse): Promise<void> => {
    response.writeHead(200, headers).write(head);
    while (!response.destroyed) {
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
      else await turn();
    }
  };
  return { kind: 'act', act: ({ response }) => void pour(response).catch(() => undefined) };
}

function answers(body: Buffer, headers: Record<string, string> = RESULT): Misbehaviour {
  return { kind: 'act', act: ({ response }) => response.writeHead(200, headers).end(body) };
}

const band = (number: number, content: Buffer | string): Buffer =>
  packet(Buffer.concat([Buffer.from([number]), Buffer.from(content)]));
const refLines = Buffer.concat(
  Array.from({ length: 2_000 }, (_, at) => packet(`${ID} refs/dgrid/tasks/endless-${at}\n`)),
);
const packHead = packet('packfile\n');
/** 2 GiB of nothing. */
const bomb = (): Buffer =>
  Buffer.concat(Array.from({ length: 32 }, () => gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 1 })));

/** Objects of a pack by hand. */
function pack(...entries: Buffer[]): Buffer {
  const head = Buffer.alloc(12);
  head.write('PACK');
  head.writeUInt32BE(2, 4);
  head.writeUInt32BE(entries.length, 8);
  const body = Buffer.concat([head, ...entries]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

function varint(size: number): Buffer {
  const bytes: number[] = [];
  let rest = size;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function entry(type: number, size: number, ...rest: Buffer[]): Buffer {
  const first = (type << 4) | (size & 0x0f) | (size > 0x0f ? 0x80 : 0);
  return Buffer.concat([Buffer.from([first]), ...(size > 0x0f ? [varint(Math.floor(size / 16))] : []), ...rest]);
}

/** Each difference is some bytes and makes 64 MiB of the one before it. */
function deltaBomb(): Buffer {
  const content = Buffer.alloc(65_536);
  const entries = [entry(3, content.length, deflateSync(content))];
  let base = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest();
  for (let at = 0; at < 50; at += 1) {
    const delta = Buffer.concat([varint(content.length), varint(1_000 * 65_536), Buffer.alloc(1_000, 0x80)]);
    entries.push(entry(7, delta.length, base, deflateSync(delta)));
    base = Buffer.from(base.map((byte) => byte ^ (at === 0 ? 0 : 1)));
  }
  return pack(...entries);
}

interface Hostility {
  name: string;
  to: RequestKind;
  misbehaviour: () => Misbehaviour;
}

const HOSTILITIES: readonly Hostility[] = [
  { name: 'lists refs without an end', to: 'ls-refs', misbehaviour: () => endless(RESULT, Buffer.alloc(0), refLines) },
  {
    name: 'lists nonsense without an end',
    to: 'ls-refs',
    misbehaviour: () => endless(RESULT, Buffer.alloc(0), packet('x'.repeat(60_000))),
  },
  {
    name: 'announces 10 GB',
    to: 'ls-refs',
    misbehaviour: () => endless({ ...RESULT, 'Content-Length': '10000000000' }, Buffer.alloc(0), refLines),
  },
  {
    name: 'sends what unpacks to 2 GiB',
    to: 'ls-refs',
    misbehaviour: () => answers(bomb(), { ...RESULT, 'Content-Encoding': 'gzip' }),
  },
  ...['fff1', '0003', 'zzzz', '-001', '0004', '00'].slice(-atScale(2, 6)).map(
    (length): Hostility => ({
      name: `says that a packet has ${length} bytes`,
      to: 'ls-refs',
      misbehaviour: () => answers(Buffer.from(`${length}${ID} refs/heads/main\n`)),
    }),
  ),
  {
    name: 'sends headers without an end',
    to: 'ls-refs',
    misbehaviour: () => ({
      kind: 'act',
      act: ({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const line = `X-More: ${'x'.repeat(60_000)}\r\n`;
        const pour = (): void => {
          while (socket.writable && socket.write(line));
        };
        socket.on('drain', pour);
        pour();
      },
    }),
  },
  {
    name: 'answers in words that act on a terminal',
    to: 'ls-refs',
    misbehaviour: () => answers(Buffer.concat([packet(`ERR ${EVIL}`), FLUSH])),
  },
  {
    name: 'answers with a page that acts on a terminal',
    to: 'ls-refs',
    misbehaviour: () => ({ kind: 'status', status: 500, headers: { 'Content-Type': 'text/plain' }, body: EVIL }),
  },
  {
    name: 'sends a pack without an end',
    to: 'fetch',
    misbehaviour: () => endless(RESULT, packHead, band(1, 'x'.repeat(60_000))),
  },
  {
    name: 'talks without an end',
    to: 'fetch',
    misbehaviour: () => endless(RESULT, packHead, band(2, EVIL.repeat(2_000))),
  },
  {
    name: 'gives up in words that act on a terminal',
    to: 'fetch',
    misbehaviour: () => answers(Buffer.concat([packHead, band(2, EVIL), band(3, EVIL), FLUSH])),
  },
  {
    name: 'sends differences that unfold',
    to: 'fetch',
    misbehaviour: () => answers(Buffer.concat([packHead, ...inBands(deltaBomb()), FLUSH])),
  },
  {
    name: 'sends a difference against something else each time',
    to: 'fetch',
    misbehaviour: () => {
      const base = createHash('sha1').update(String(performance.now())).digest();
      const delta = Buffer.concat([varint(1), varint(1), Buffer.from([1, 0x78])]);
      const body = pack(entry(7, delta.length, base, deflateSync(delta)));
      return answers(Buffer.concat([packHead, ...inBands(body), FLUSH]));
    },
  },
  {
    name: 'reports on a push in words that act on a terminal',
    to: 'receive-pack',
    misbehaviour: () =>
      answers(Buffer.concat([band(2, EVIL), band(1, Buffer.concat([packet(`unpack ${EVIL}\n`), FLUSH])), FLUSH]), {
        'Content-Type': 'application/x-git-receive-pack-result',
      }),
  },
  {
    name: 'reports on a push without an end',
    to: 'receive-pack',
    misbehaviour: () =>
      endless(
        { 'Content-Type': 'application/x-git-receive-pack-result' },
        Buffer.alloc(0),
        band(2, 'x'.repeat(60_000)),
      ),
  },
];

function inBands(body: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += 60_000) parts.push(band(1, body.subarray(at, at + 60_000)));
  return parts;
}

let directory: TempDir;
let server: GitServer;
let tasks = 0;
const peaks: string[] = [];

beforeAll(async () => {
  directory = makeTempDir('hostile-server');
  server = await GitServer.start();
});
afterAll(async () => {
  await server.stop();
  directory.remove();
  console.info(`hostile server, most memory in MiB, of sources: ${peaks.join(', ')}`);
});

function start(name: string, transport: 'auto' | 'command'): WorkerProcess {
  return StubWorkerProcess.start({
    directory: directory.path,
    name,
    repoUrl: server.url('r'),
    env: {
      GIT_TRANSPORT: transport,
      GIT_COMMAND_TIMEOUT: String(TIMEOUT_S),
      RETRY_ATTEMPTS: '2',
      RETRY_BASE_SECONDS: '0.1',
      PULL_INTERVAL: '0.3',
      HEARTBEAT_INTERVAL: '1',
      NODE_TTL: '300',
      RECORD_DELAY: '0.1',
      LOG_LEVEL: 'info',
    },
  });
}

const failures = (worker: WorkerProcess): number =>
  (['poll.failed', 'git.retry', 'push.failed', 'push.unclear'] as const).flatMap((event) => worker.entries(event))
    .length;

const GROUPS = [
  { transport: 'auto' as const, hostilities: HOSTILITIES },
  {
    transport: 'command' as const,
    hostilities: atScale(0, 1) === 1 ? HOSTILITIES : HOSTILITIES.filter(({ name }) => name.startsWith('talks')),
  },
];

describe.each(GROUPS)('a server that, to $transport,', ({ hostilities, transport }) => {
  let repo: TaskRepository;
  let worker: WorkerProcess;
  let idleMib = 0;
  const name = `w-${transport}`;

  beforeAll(async () => {
    if (transport === 'auto')
      await git(await server.createRepository('r'), ['config', 'uploadpack.allowFilter', 'true']);
    repo = new TaskRepository(server.repositoryPath('r'));
    await repo.commit({ 'README.md': 'x' });
    // The first contact, too; but git itself keeps all that comes, and takes the memory of the machine.
    server.onRequest = ({ kind }) =>
      kind === 'info-refs' && transport === 'auto'
        ? endless(ADVERTISEMENT, packet('version 2\n'), packet('x'.repeat(60_000)))
        : undefined;
    worker = start(name, transport);
    if (transport === 'auto') await until('a first failure', () => failures(worker) > 0, BOUND_MS);
    server.onRequest = null;
    await worker.logged('worker.ready', undefined, BOUND_MS);
    idleMib = residentMib(worker.pid);
    if (transport === 'auto') peaks.push(`it announces itself without an end ${Math.round(peakMemoryMib(worker.pid))}`);
    expect(peakMemoryMib(worker.pid) - idleMib).toBeLessThan(MAX_GROWTH_MIB);
  });
  afterAll(async () => {
    server.onRequest = null;
    expect(await worker.stop()).toBe(0);
    expect(worker.output).not.toMatch(ACTS);
  });

  it.each(hostilities)('$name', { timeout: 120_000 }, async ({ misbehaviour, to }) => {
    resetPeakMemory(worker.pid);
    const before = failures(worker);
    const id = `t${(tasks += 1)}`;
    let hits = 0;
    server.onRequest = ({ kind }) => {
      if (kind !== to) return undefined;
      hits += 1;
      return misbehaviour();
    };
    await repo.queue({ [id]: { script: 'exit 0' } });
    await until('it to be met', () => hits >= POLLS && failures(worker) > before, BOUND_MS);
    expect(worker.ended).toBe(false);
    server.onRequest = null;
    await until(`the record of ${id}`, async () => (await repo.record(id)) !== null, BOUND_MS).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${worker.output.slice(-6_000)}`, { cause: error });
      },
    );
    const peak = peakMemoryMib(worker.pid);
    peaks.push(`${transport} ${to} ${hits}× ${Math.round(peak)}`);
    expect(peak - idleMib).toBeLessThan(MAX_GROWTH_MIB);
  });
});
