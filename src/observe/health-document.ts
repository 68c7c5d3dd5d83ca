/**
 * How a worker is, as one document: what `/health` answers, and what a scrape of `/metrics` reads. Each field is described in
 * docs/monitoring.md.
 */

interface Reason {
  reason: string;
  text: string;
}

interface DiskHealth {
  path: string;
  used_percent: number | null;
  inodes_used_percent: number | null;
  free_bytes: number | null;
}

interface ResourcesHealth {
  /** Of the reading, by the clock of this machine; null before the first. */
  read_ms_ago: number | null;
  cpu_percent: number | null;
  memory_percent: number | null;
  memory_available_bytes: number | null;
  memory_total_bytes: number | null;
  load_per_cpu: number | null;
  disks: DiskHealth[];
  /** Per cent of the last ten seconds; null where the kernel does not count it. */
  pressure: { cpu: number | null; memory: number | null; io: number | null };
  limits: { cpu_percent: number; memory_percent: number; disk_percent: number };
  failed_sensors: { sensor: string; reason: string }[];
}

interface GitHealth {
  /** `http`, `ssh`, `git` or `file`. */
  transport: string;
  /** Of listing, fetching and pushing, what the git command does. */
  by_command: readonly string[];
  /** Short; null before the first look where the remote's HEAD decides. */
  branch: string | null;
  /** The newest commit that was seen. */
  commit: string | null;
  last_poll: string | null;
  last_poll_ms_ago: number | null;
  failed_polls: number;
  failed_pushes: number;
  requests: number;
  last_push: { swaps: number; waited_ms: number; ms: number } | null;
  clone: { path: string; bytes: number | null };
}

export interface HealthDocument {
  node: string;
  name: string;
  labels: readonly string[];
  version: string;
  state: 'starting' | 'running' | 'draining' | 'stopped';
  incarnation: string;
  running: { task: string; attempt: number }[];
  slots: { total: number; used: number };
  tasks_finished: number;
  results_unpublished: number;
  results_dropped: number;
  /** Task files, those in work included. */
  queued: number;
  queue: { critical: number; high: number; medium: number; low: number; invalid: number; illegal_names: number };
  grid: { tasks: { claimed: number; waiting: number; finished: number; unreadable: number }; nodes: number };
  polling: {
    interval_ms: number;
    interval_max_ms: number;
    requests: number;
    nudges: Readonly<Record<string, number>>;
  };
  resources: ResourcesHealth;
  git: GitHealth;
  /** null until it has answered once. */
  engine: {
    name: string;
    version: string;
    api_version: string;
    cgroup_version: string;
    missing_limits: readonly string[];
  } | null;
  /** `limit` and `left` are null without a limit. */
  quota: { limit: number | null; used: number; left: number | null; resets_at: string };
  /** null without one. */
  push_budget: { per_minute: number; left: number; wait_ms: number } | null;
  breakers: {
    engine: { state: 'closed' | 'open' | 'trial'; failures: number; pause_left_ms: number; problem: string | null };
    images: { image: string; failures: number; pause_left_ms: number; problem: string }[];
  };
  signing: { tasks: 'off' | 'checked' | 'required'; results: boolean; grid: string };
  refuses: Record<string, string>[];
  warm_pool: { limit: number; waiting: number; hits: number; misses: number; died: number } | null;
  last_health_check: unknown;
  paused: Reason[];
}
