/** What a scrape reads from a worker, in the terms of the catalogue. Pure: what is not known has no sample. */
import type { HealthDocument } from '../health-document.ts';
import { descriptionOf, type MetricName } from './catalogue.ts';
import type { Labels, Sample } from './store.ts';

export type Samples = Map<MetricName, Sample[]>;

/** @param gateReasons why a worker may claim nothing: each has a series, also while it does not apply. */
export function gaugesOf(health: HealthDocument, gateReasons: readonly string[]): Samples {
  const samples: Samples = new Map();
  const put = (name: MetricName, value: number | null | undefined, labels: Labels = {}): void => {
    if (value === null || value === undefined || !Number.isFinite(value)) return;
    samples.set(name, [...(samples.get(name) ?? []), { labels, value }]);
  };
  putGrid(health, put);
  putWorker(health, gateReasons, put);
  putGit(health, put);
  putPool(health, put);
  putMachine(health, put);
  return samples;
}

type Put = (name: MetricName, value: number | null | undefined, labels?: Labels) => void;

function putGrid({ grid, queue }: HealthDocument, put: Put): void {
  const { illegal_names: illegalNames, ...byPriority } = queue;
  for (const [priority, count] of Object.entries(byPriority)) put('dgrid_queue_tasks', count, { priority });
  put('dgrid_queue_illegal_names', illegalNames);
  for (const [state, count] of Object.entries(grid.tasks)) put('dgrid_grid_tasks', count, { state });
  put('dgrid_grid_nodes', grid.nodes);
}

function putWorker(health: HealthDocument, gateReasons: readonly string[], put: Put): void {
  const { breakers, engine, paused, quota, slots, state } = health;
  put('dgrid_node_info', 1, { node: health.node, name: health.name, labels: health.labels.join(',') });
  if (engine) {
    const { name, version, api_version, cgroup_version: cgroup } = engine;
    put('dgrid_engine_info', 1, { engine: name, version, api_version, cgroup });
  }
  for (const known of valuesOf('dgrid_state', 'state')) put('dgrid_state', known === state ? 1 : 0, { state: known });
  put('dgrid_ready', state === 'running' && paused.length === 0 ? 1 : 0);
  for (const reason of gateReasons) {
    put('dgrid_paused', paused.some((closed) => closed.reason === reason) ? 1 : 0, { reason });
  }
  put('dgrid_slots', slots.total);
  put('dgrid_slots_used', slots.used);
  put('dgrid_results_unpublished', health.results_unpublished);
  put('dgrid_quota_limit', quota.limit);
  put('dgrid_quota_left', quota.left);
  put('dgrid_quota_used', quota.used);
  put('dgrid_images_set_aside', breakers.images.length);
  put('dgrid_engine_breaker_open', breakers.engine.state === 'open' ? 1 : 0);
}

function putGit({ git, polling, push_budget }: HealthDocument, put: Put): void {
  put('dgrid_poll_interval_seconds', polling.interval_ms / 1000);
  // With a transport that only the command speaks there is nothing to fall back from.
  if (git.transport === 'http') {
    for (const ability of valuesOf('dgrid_git_by_command', 'ability')) {
      put('dgrid_git_by_command', git.by_command.includes(ability) ? 1 : 0, { ability });
    }
  }
  put('dgrid_push_budget_limit', push_budget?.per_minute);
  put('dgrid_push_budget_left', push_budget?.left);
}

function putPool({ warm_pool: pool }: HealthDocument, put: Put): void {
  put('dgrid_pool_limit', pool?.limit);
  put('dgrid_pool_waiting', pool?.waiting);
  put('dgrid_pool_hits_total', pool?.hits);
  put('dgrid_pool_misses_total', pool?.misses);
  put('dgrid_pool_died_total', pool?.died);
}

function putMachine({ resources }: HealthDocument, put: Put): void {
  if (resources.read_ms_ago === null) return;
  put('dgrid_cpu_used_ratio', ratio(resources.cpu_percent));
  put('dgrid_memory_used_ratio', ratio(resources.memory_percent));
  put('dgrid_memory_available_bytes', resources.memory_available_bytes);
  put('dgrid_memory_total_bytes', resources.memory_total_bytes);
  for (const disk of resources.disks) {
    const { path } = disk;
    put('dgrid_disk_used_ratio', ratio(disk.used_percent), { path });
    put('dgrid_disk_inodes_used_ratio', ratio(disk.inodes_used_percent), { path });
    put('dgrid_disk_free_bytes', disk.free_bytes, { path });
  }
  const { limits, pressure } = resources;
  put('dgrid_threshold_ratio', ratio(limits.cpu_percent), { resource: 'cpu' });
  put('dgrid_threshold_ratio', ratio(limits.memory_percent), { resource: 'memory' });
  put('dgrid_threshold_ratio', ratio(limits.disk_percent), { resource: 'disk' });
  for (const [resource, percent] of Object.entries(pressure)) put('dgrid_pressure_ratio', ratio(percent), { resource });
  put('dgrid_load_per_cpu', resources.load_per_cpu);
  put('dgrid_sensors_failed', resources.failed_sensors.length);
}

function valuesOf(name: MetricName, label: string): readonly string[] {
  return descriptionOf(name).labels[label] ?? [];
}

function ratio(percent: number | null): number | null {
  return percent === null ? null : percent / 100;
}
