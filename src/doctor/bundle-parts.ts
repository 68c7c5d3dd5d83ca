/**
 * What goes into a bundle: facts of this machine, its engine and its grid. No part has the content of a task, its output or
 * its variables. None is needed for another, and one that cannot be had says why instead.
 */
import { lstat, open, readdir, readFile } from 'node:fs/promises';
import { version as kernelVersion, release, uptime } from 'node:os';
import { join } from 'node:path';
import type { NodeSummary } from '../client/grid-summary.ts';
import type { Settings } from '../config/settings.ts';
import { GitCommand } from '../git/git-command.ts';
import { refName } from '../git/oid.ts';
import { Sensors } from '../host/sensors.ts';
import type { Clock } from '../runtime.ts';
import { readGrid } from './grid.ts';
import type { DoctorParts } from './subject.ts';
import { askWorker } from './worker-pages.ts';

export interface BundlePart {
  file: string;
  /** For the manifest: what it is. */
  about: string;
  /** A text is a log, line by line; anything else becomes JSON. null: there is none. @throws whatever went wrong */
  read: (signal: AbortSignal) => Promise<unknown>;
}

const CALL_MS = 10_000;
const MAX_ENTRIES = 2_000;
const MAX_DEPTH = 3;
/** Of the end of a log; what is above is cut off, not what is asked for below. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;

/** What can be told without any settings. */
export function machineParts(parts: { version: string; clock: Clock }): BundlePart[] {
  return [
    {
      file: 'machine.json',
      about: 'versions, kernel, control groups, memory, processors',
      read: async () => ({
        version: parts.version,
        node: process.versions.node,
        user_id: process.getuid?.() ?? null,
        ...(await new Sensors(parts).describe()),
        kernel: `${release()} ${kernelVersion()}`,
        uptime_seconds: Math.round(uptime()),
        time: new Date(parts.clock.wallMs()).toISOString(),
        time_zone: new Intl.DateTimeFormat().resolvedOptions().timeZone,
        cgroup: await readCgroup(),
      }),
    },
  ];
}

/** @param logLines how many of the end of the log */
export function settledParts(parts: DoctorParts, logLines: number): BundlePart[] {
  const { settings, executor } = parts;
  return [
    {
      file: 'disks.json',
      about: 'how full the disks are that the worker uses',
      read: async () => {
        const dataRoot = (await parts.engine()).info?.dataRoot;
        const paths = [settings.stateDir, settings.repoPath, ...(dataRoot ? [dataRoot] : [])];
        return await new Sensors(parts).read(paths);
      },
    },
    {
      file: 'git.json',
      about: 'the git program, and what the server says it can do',
      read: (signal) => readGit(parts, signal),
    },
    {
      file: 'engine.json',
      about: 'what the container engine says of itself',
      read: async (signal) => ({ ...(await executor.probe(signal)), ...(await executor.describe(signal)) }),
    },
    {
      file: 'containers.json',
      about: 'containers of this node, by their labels: names and states, nothing of what runs in them',
      read: async () =>
        (await executor.ownContainers()).map(({ id, names, labels, status }) => ({
          id: id.slice(0, 12),
          names,
          status,
          task: labels['io.dgrid.task'] ?? null,
          epoch: labels['io.dgrid.epoch'] ?? null,
          attempt: labels['io.dgrid.attempt'] ?? null,
          made_ahead: labels['io.dgrid.warm'] === 'yes',
        })),
    },
    {
      file: 'health.json',
      about: '/health of the worker that runs here',
      read: (signal) => readPage(settings, '/health', signal),
    },
    {
      file: 'metrics.txt',
      about: '/metrics of the worker that runs here',
      read: (signal) => readPage(settings, '/metrics', signal),
    },
    {
      file: 'grid.json',
      about: 'nodes, counts and problems of the grid; no tasks',
      read: (signal) => readSummary(parts, signal),
    },
    {
      file: 'state-directory.json',
      about: 'names, sizes and modes of the files in the state directory; nothing of what is in them',
      read: () => listed(settings.stateDir),
    },
    {
      file: 'log.txt',
      about: `the last ${logLines} lines of LOG_FILE`,
      read: () => readLog(settings.logFile, logLines),
    },
  ];
}

async function readCgroup(): Promise<unknown> {
  const text = (path: string): Promise<string | null> =>
    readFile(path, 'utf8').then(
      (content) => content.trim(),
      () => null,
    );
  const controllers = await text('/sys/fs/cgroup/cgroup.controllers');
  return {
    version: controllers === null ? 1 : 2,
    controllers,
    own: await text('/proc/self/cgroup'),
    memory_max: await text('/sys/fs/cgroup/memory.max'),
  };
}

async function readGit(parts: DoctorParts, signal: AbortSignal): Promise<unknown> {
  const command = new GitCommand(parts);
  const build = await command.run(['version', '--build-options'], { cwd: '/', deadlineMs: CALL_MS, signal });
  const { namespace, result } = await parts.remote();
  const asked = namespace && refName(`${namespace}/doctor/${parts.settings.nodeId}/none`);
  const said = asked && (await parts.inClone(() => parts.repository.command.capabilities(asked, signal)));
  return {
    build_options: build.stdout.toString('utf8').trim().split('\n'),
    transport: parts.repository.command.address.transport,
    namespace,
    repository: result.finding,
    server: said && { fetch: said.fetch, push: said.push && [...said.push] },
  };
}

async function readPage(settings: Settings, path: string, signal: AbortSignal): Promise<unknown> {
  if (settings.httpPort === 0) return null;
  const answer = await askWorker(settings, path, signal);
  if ('problem' in answer) throw new Error(answer.problem);
  return path === '/health' ? (JSON.parse(answer.body) as unknown) : answer.body;
}

async function readSummary(parts: DoctorParts, signal: AbortSignal): Promise<unknown> {
  const { namespace, result } = await parts.remote();
  if (namespace === null) throw new Error(result.finding);
  const { summary } = await parts.inClone(() => readGrid(parts, namespace, signal));
  const { nodes, waiting, in_work: inWork, finished_unrecorded: finished, ...rest } = summary;
  return {
    ...rest,
    waiting: waiting.length,
    in_work: inWork.length,
    finished_unrecorded: finished.length,
    nodes: nodes.map(briefNode),
  };
}

/** Without what a node tells of itself in words of its own. */
function briefNode(node: NodeSummary): unknown {
  const { node_id, state, name, version, slots, paused, refuses, fenced_by, last_beat_by_its_clock: beat } = node;
  const { heartbeat_interval_seconds, ttl_seconds } = node;
  return {
    node_id,
    state,
    name,
    version,
    slots,
    paused,
    refuses,
    fenced_by,
    heartbeat_interval_seconds,
    ttl_seconds,
    last_beat_by_its_clock: beat,
    labels: node.labels.length,
    running: node.running.length,
  };
}

async function listed(directory: string): Promise<unknown> {
  const entries: { path: string; kind: string; bytes: number; mode: string; owner: number; modified: string }[] = [];
  let leftOut = 0;
  let level = [''];
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    const next: string[] = [];
    for (const parent of level) {
      // What cannot be looked into stands in the list above it, with its mode.
      const names = depth === 0 ? await readdir(directory) : await readdir(join(directory, parent)).catch(() => []);
      for (const name of names.sort()) {
        const path = join(parent, name);
        const found = await lstat(join(directory, path)).catch(() => null);
        if (found === null) continue;
        if (found.isDirectory()) next.push(path);
        if (entries.length >= MAX_ENTRIES) leftOut += 1;
        else {
          const kind = found.isDirectory() ? 'directory' : found.isFile() ? 'file' : 'other';
          const mode = (found.mode & 0o7777).toString(8).padStart(4, '0');
          entries.push({ path, kind, bytes: found.size, mode, owner: found.uid, modified: found.mtime.toISOString() });
        }
      }
    }
    level = next;
  }
  return { directory, entries, left_out: leftOut };
}

/** The end of it. */
async function readLog(path: string | null, lines: number): Promise<unknown> {
  if (path === null) return null;
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - MAX_LOG_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const all = buffer.toString('utf8', 0, bytesRead).split('\n');
    // The first may be the rest of a line: half of a secret would not be known as one.
    const whole = from > 0 ? all.slice(1) : all;
    return whole
      .filter((line) => line !== '')
      .slice(-lines)
      .join('\n');
  } finally {
    await file.close();
  }
}
