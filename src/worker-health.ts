/** Asks the parts of a worker how they are, for `/health` and `/metrics`. Changes nothing, and asks nobody outside. */
import type { Worker } from './agent/assemble.ts';
import type { Settings } from './config/settings.ts';
import type { OpenedRepository } from './git/open-repository.ts';
import type { RemoteAddress } from './git/remote-address.ts';
import { roomOf } from './host/own-files.ts';
import type { HealthDocument } from './observe/health-document.ts';
import { type Clock, isoTime } from './runtime.ts';

/** Looking through a clone of many files takes a while, and its size changes slowly. */
const CLONE_SIZE_AGE_MS = 60_000;

export interface HealthParts {
  worker: Worker;
  settings: Settings;
  repository: Pick<OpenedRepository, 'doneByCommand'> & { command: { address: Pick<RemoteAddress, 'transport'> } };
  version: string;
  clock: Clock;
}

export function healthOf(parts: HealthParts): HealthDocument {
  const { settings, version, worker } = parts;
  const { agent, book, gate, membership, publisher, quota, reader, runner } = worker;
  const left = quota.left();
  return {
    node: settings.nodeId,
    name: settings.nodeName,
    labels: settings.nodeLabels,
    version,
    state: agent.state,
    incarnation: membership.incarnation,
    running: runner.activeTasks,
    slots: { total: settings.maxParallelTasks, used: runner.occupiedSlots },
    tasks_finished: runner.tasksFinished,
    results_unpublished: book.unpublishedCount,
    results_dropped: book.resultsDropped,
    queued: reader.view.queue.files.size,
    queue: worker.queueDepth(),
    grid: gridHealth(worker),
    polling: agent.polling,
    resources: resourcesHealth(parts),
    git: gitHealth(parts),
    engine: engineHealth(worker),
    quota: {
      limit: settings.maxTasksPerHour === 0 ? null : settings.maxTasksPerHour,
      used: quota.usedThisHour(),
      left: Number.isFinite(left) ? left : null,
      resets_at: quota.resetTimeIso(),
    },
    push_budget: publisher.budget && {
      per_minute: publisher.budget.perMinute,
      left: publisher.budget.left,
      wait_ms: publisher.budget.waitMs,
    },
    breakers: breakersHealth(worker),
    signing: {
      tasks: settings.signing.isRequired ? 'required' : settings.signing.trustedKeysFile === null ? 'off' : 'checked',
      results: settings.signing.nodeKeyFile !== null,
      grid: settings.signing.grid,
    },
    refuses: worker.refusals(),
    warm_pool: worker.executor.poolStats(),
    last_health_check: worker.health.lastCheck,
    paused: gate.reasons,
  };
}

/** What `/health` answers: also how much room the clone takes up. Before the first contact there is little to tell. */
export function withCloneSize(
  { nodeId, repoPath }: Settings,
  health: () => HealthDocument | null,
  { clock, version }: { clock: Clock; version: string },
): () => Promise<object> {
  let readAtMs = Number.NEGATIVE_INFINITY;
  let size: Promise<number> = Promise.resolve(0);
  return async () => {
    if (clock.monotonicMs() - readAtMs >= CLONE_SIZE_AGE_MS) {
      readAtMs = clock.monotonicMs();
      size = roomOf(repoPath).then(({ bytes }) => bytes);
    }
    const bytes = await size;
    const now = health();
    if (now === null) return { node: nodeId, version, state: 'starting' };
    return { ...now, git: { ...now.git, clone: { ...now.git.clone, bytes } } };
  };
}

function gridHealth({ reader }: Worker): HealthDocument['grid'] {
  const tasks = { claimed: 0, waiting: 0, finished: 0, unreadable: 0 };
  for (const { state } of reader.view.tasks.values())
    tasks[state?.kind === 'state' ? state.state.state : 'unreadable'] += 1;
  return { tasks, nodes: reader.view.nodes.size };
}

function resourcesHealth({ clock, settings, worker }: HealthParts): HealthDocument['resources'] {
  const { reading } = worker.health;
  const machine = reading?.machine;
  return {
    read_ms_ago: reading ? Math.round(clock.monotonicMs() - reading.atMs) : null,
    cpu_percent: machine?.cpuPercent ?? null,
    memory_percent: machine?.memory?.usedPercent ?? null,
    memory_available_bytes: machine?.memory?.availableBytes ?? null,
    memory_total_bytes: machine?.memory?.totalBytes ?? null,
    load_per_cpu: machine?.loadPerCpu ?? null,
    disks: (machine?.disks ?? []).map(({ path, disk }) => ({
      path,
      used_percent: disk?.usedPercent ?? null,
      inodes_used_percent: disk?.inodesUsedPercent ?? null,
      free_bytes: disk?.freeBytes ?? null,
    })),
    pressure: machine?.pressure ?? { cpu: null, memory: null, io: null },
    limits: {
      cpu_percent: settings.maxCpuPercent,
      memory_percent: settings.maxMemoryPercent,
      disk_percent: settings.maxDiskPercent,
    },
    failed_sensors: (machine?.failures ?? []).map(({ sensor, reason }) => ({ sensor, reason })),
  };
}

function gitHealth({ clock, repository, settings, worker }: HealthParts): HealthDocument['git'] {
  const { agent, publisher, reader } = worker;
  const { listedAtMs, branch, tip } = reader.view;
  const agoMs = Number.isFinite(listedAtMs) ? Math.round(clock.monotonicMs() - listedAtMs) : null;
  const { lastPush } = publisher;
  const isDirect = repository.doneByCommand !== undefined;
  return {
    transport: repository.command.address.transport,
    by_command: isDirect ? (repository.doneByCommand ?? []) : ['listing', 'fetching', 'pushing'],
    branch: tip === null ? settings.git.branch : branch.replace(/^refs\/heads\//, ''),
    commit: tip,
    last_poll: agoMs === null ? null : isoTime(clock.wallMs() - agoMs),
    last_poll_ms_ago: agoMs,
    failed_polls: agent.failedPolls,
    failed_pushes: publisher.failedPushes,
    requests: agent.polling.requests,
    last_push: lastPush && {
      swaps: lastPush.swaps,
      waited_ms: Math.round(lastPush.waitedMs),
      ms: Math.round(lastPush.ms),
    },
    clone: { path: settings.repoPath, bytes: null },
  };
}

function engineHealth({ health }: Worker): HealthDocument['engine'] {
  const { engine } = health;
  return (
    engine && {
      name: engine.name,
      version: engine.version,
      api_version: engine.apiVersion,
      cgroup_version: engine.cgroupVersion,
      missing_limits: engine.missingLimits,
    }
  );
}

function breakersHealth({ health, images }: Worker): HealthDocument['breakers'] {
  const { failures, pauseLeftMs, problem, state } = health.engineBreaker;
  return {
    engine: { state, failures, pause_left_ms: Math.round(pauseLeftMs), problem: problem === '' ? null : problem },
    images: images.setAside.map((image) => ({
      image: image.image,
      failures: image.failures,
      pause_left_ms: Math.round(image.pauseLeftMs),
      problem: image.problem,
    })),
  };
}
