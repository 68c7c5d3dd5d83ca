/**
 * Every metric of a worker, in one table: what is counted, what a scrape reads, and docs/monitoring.md are made from it.
 *
 * Names follow Prometheus' conventions: base units (seconds, bytes, ratios from 0 to 1), `_total` on what only grows. No
 * label holds the id of a task, a node or anything else of which there is no end.
 */

import { FAILURE_REASONS } from '../../task/result.ts';
import { PRIORITIES } from '../../task/task-schema.ts';
import { counter, gauge, histogram, type MetricDescription, readCounter } from './description.ts';

/** From a container that waited to a task of some hours. */
const TASK_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400];
const REQUEST_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

export const TASK_PHASES = ['claim', 'pull', 'start', 'run', 'collect'] as const;
const REQUEST_KINDS = ['ls-remote', 'fetch', 'push'] as const;

export const METRICS = {
  // --- tasks
  dgrid_tasks_finished_total: counter('Tasks that this worker brought to their end, by what their record says.', {
    status: ['success', 'failed'],
    reason: ['none', ...FAILURE_REASONS],
  }),
  dgrid_task_phase_seconds: histogram('How long each phase of a task took.', TASK_BUCKETS, { phase: TASK_PHASES }),
  dgrid_task_starts_total: counter('Containers that were given a task: warm ones had been made ahead of it.', {
    container: ['warm', 'cold'],
  }),
  dgrid_task_retries_total: counter('Tasks that failed and will be tried again, as they asked for.'),
  dgrid_tasks_handed_back_total: counter('Tasks that went back to the queue without a result.', {
    started: ['true', 'false'],
  }),
  dgrid_tasks_adopted_total: counter('Running containers of an earlier life that were taken up again.'),
  dgrid_tasks_withdrawn_total: counter('Tasks in work here whose file left the queue, or that somebody cancelled.'),
  dgrid_engine_failures_total: counter('Times that the engine failed while it ran a task.'),
  dgrid_secrets_refused_total: counter('Tasks that asked for secrets which they do not get.'),

  // --- claims
  dgrid_claims_total: counter('Claims of this worker, by what came of them.', {
    result: ['won', 'lost', 'refused', 'given-up'],
  }),
  dgrid_takeovers_total: counter('Tasks taken over from dead nodes.'),
  dgrid_results_fenced_total: counter('Results and runs dropped because the task belonged to another worker.'),
  dgrid_nodes_declared_dead_total: counter('Nodes that this worker declared dead.'),
  dgrid_node_fenced_total: counter('Times that this node was declared dead and registered anew.'),

  // --- the repository
  dgrid_polls_total: counter('Looks at the repository, by what they brought.', {
    result: ['skipped', 'pulled', 'failed'],
  }),
  dgrid_poll_interval_seconds: gauge('Time between two looks at the moment.'),
  dgrid_pushes_total: counter('Pushes, each with all that was waiting.', { result: ['completed', 'failed'] }),
  dgrid_push_seconds: histogram('How long a push took with all its tries.', REQUEST_BUCKETS),
  dgrid_push_object_bytes_total: counter('Size of the objects made for completed pushes, before they are packed.'),
  dgrid_pushes_unclear_total: counter('Pushes without a definite answer, after which the refs were read.'),
  dgrid_swaps_total: counter('Moves of refs, by what for and what came of them. A lost one met a move of another.', {
    step: null,
    outcome: ['won', 'lost', 'refused', 'unclear'],
  }),
  dgrid_records_total: counter('Results recorded on the branch by this worker.'),
  dgrid_record_conflicts_total: counter('Times that the branch moved while results were being recorded.'),
  dgrid_git_retries_total: counter('Tries of Git operations that failed and were followed by another one.', {
    operation: null,
    kind: null,
  }),
  dgrid_git_requests_total: counter('HTTP requests to the Git host that were answered. None with the git command.', {
    operation: REQUEST_KINDS,
  }),
  dgrid_git_sent_bytes_total: counter('Bodies of these requests.', { operation: REQUEST_KINDS }),
  dgrid_git_received_bytes_total: counter('Bodies of their answers, as they came.', { operation: REQUEST_KINDS }),
  dgrid_git_commands_total: counter('Runs of the git command.', { result: ['ok', 'failed'] }),
  dgrid_git_command_seconds_total: counter('Time that they took.'),
  dgrid_git_by_command: gauge('1 for what the git command has to do although the remote is spoken with directly.', {
    ability: ['listing', 'fetching', 'pushing'],
  }),
  dgrid_clone_renewals_total: counter('Times that the local clone was thrown away.', { why: ['damaged', 'large'] }),
  dgrid_push_budget_limit: gauge('Pushes that GIT_PUSHES_PER_MINUTE allows in a minute. Absent without a budget.'),
  dgrid_push_budget_left: gauge('Of these, how many are left in the minute that ends now.'),
  dgrid_push_budget_waits_total: counter('Waits for that budget.'),
  dgrid_push_budget_wait_seconds_total: counter('How long they were to last.'),
  dgrid_heartbeats_total: counter('Signs of life, by whether they got through.', { result: ['ok', 'failed'] }),

  // --- when something last went well
  dgrid_last_poll_timestamp_seconds: gauge('When the repository was last looked at with success. Absent before.'),
  dgrid_last_push_timestamp_seconds: gauge('When a push last completed. Absent before.'),
  dgrid_last_heartbeat_timestamp_seconds: gauge('When a sign of life last got through. Absent before.'),
  dgrid_last_health_check_timestamp_seconds: gauge('When a health check last passed. Absent before.'),
  dgrid_clock_timestamp_seconds: gauge('What the clock of this machine says.'),

  // --- the grid as this worker sees it
  dgrid_queue_tasks: gauge('Task files in the queue, those in work included.', {
    priority: [...PRIORITIES, 'invalid'],
  }),
  dgrid_queue_illegal_names: gauge(
    'Files in the queue whose name is no task id: they can neither run nor have a record.',
  ),
  dgrid_grid_tasks: gauge(
    'Tasks that have a state: claimed by a worker, waiting for a try, finished and not recorded.',
    {
      state: ['claimed', 'waiting', 'finished', 'unreadable'],
    },
  ),
  dgrid_grid_nodes: gauge('Nodes that have a ref in the repository, whatever their state.'),

  // --- this worker
  dgrid_build_info: gauge('1. What runs here.', { version: null, node_version: null }),
  dgrid_node_info: gauge('1. Which worker this is.', { node: null, name: null, labels: null }),
  dgrid_engine_info: gauge('1. The container engine, once it has answered.', {
    engine: null,
    version: null,
    api_version: null,
    cgroup: null,
  }),
  dgrid_state: gauge('1 for the state that the worker is in.', {
    state: ['starting', 'running', 'draining', 'stopped'],
  }),
  dgrid_ready: gauge('1 when the worker would claim a task now.'),
  dgrid_paused: gauge('1 for each reason why it claims nothing.', { reason: null }),
  dgrid_slots: gauge('Tasks that may run here at the same time.'),
  dgrid_slots_used: gauge('Tasks in work here that others have to wait for.'),
  dgrid_results_unpublished: gauge('Results that the repository has not yet acknowledged.'),
  dgrid_quota_limit: gauge('Starts that MAX_TASKS_PER_HOUR allows in an hour. Absent without a limit.'),
  dgrid_quota_left: gauge('Of these, how many are left. Absent without a limit.'),
  dgrid_quota_used: gauge('Starts within the last hour.'),
  dgrid_images_set_aside: gauge('Images that could not be had again and again, whose tasks are left to others.'),
  dgrid_engine_breaker_open: gauge('1 while nothing is started because the engine failed again and again.'),
  dgrid_http_refused_total: counter('Requests for the pages that were refused, told at most once a minute.', {
    reason: ['wrong-token', 'too-many-tries', 'token-unavailable', 'foreign-host'],
  }),

  // --- images and containers that wait
  dgrid_image_pulls_total: counter('Images that were pulled, and tasks whose image could not be had.', {
    result: ['ok', 'failed'],
  }),
  dgrid_image_pull_retries_total: counter('Tries of pulls that failed and were followed by another one.'),
  dgrid_pool_limit: gauge('Containers that may wait for a task. Absent where none is made ahead, as all of the pool.'),
  dgrid_pool_waiting: gauge('Containers that wait for a task.'),
  dgrid_pool_hits_total: readCounter('Scripts that found a container waiting.'),
  dgrid_pool_misses_total: readCounter('Scripts that found none.'),
  dgrid_pool_died_total: readCounter('Containers that ended while they waited.'),

  // --- the machine
  dgrid_cpu_used_ratio: gauge('Use of all processors between the last two readings.'),
  dgrid_memory_used_ratio: gauge('Use of memory.'),
  dgrid_memory_available_bytes: gauge('What a new process could get without swapping.'),
  dgrid_memory_total_bytes: gauge('Memory of the machine.'),
  dgrid_disk_used_ratio: gauge('Use of each disk that the worker needs, of what an ordinary user could have.', {
    path: null,
  }),
  dgrid_disk_inodes_used_ratio: gauge('The same of its inodes. Absent where the file system makes them as needed.', {
    path: null,
  }),
  dgrid_disk_free_bytes: gauge('What an ordinary user may still write to it.', { path: null }),
  dgrid_threshold_ratio: gauge('Above this use the worker claims nothing.', { resource: ['cpu', 'memory', 'disk'] }),
  dgrid_pressure_ratio: gauge(
    'Share of the last ten seconds in which somebody waited. Absent where it is not counted.',
    {
      resource: ['cpu', 'memory', 'io'],
    },
  ),
  dgrid_load_per_cpu: gauge('Load average of one minute, divided by the number of processors.'),
  dgrid_sensors_failed: gauge('Sensors that gave no figure at the last reading.'),
  dgrid_cleanup_steps_total: counter('Steps of making room on a full disk.', { step: null }),
  dgrid_cleanup_freed_bytes_total: counter('What they freed, as measured.', { step: null }),

  // --- the process; the names are those that every exporter has
  process_cpu_seconds_total: readCounter('Processor time of the worker itself, without git and containers.'),
  process_resident_memory_bytes: gauge('Memory of the worker itself.'),
  process_start_time_seconds: gauge('When it was started.'),
  process_open_fds: gauge('Its open files and connections. Absent where the system does not tell.'),
  nodejs_heap_size_used_bytes: gauge('Of its memory, live and dead objects.'),
  nodejs_heap_size_total_bytes: gauge('Of its memory, what is reserved for objects.'),
  nodejs_external_memory_bytes: gauge('Of its memory, buffers outside of the heap.'),
} as const satisfies Record<string, MetricDescription>;

export type MetricName = keyof typeof METRICS;
export const METRIC_NAMES = Object.keys(METRICS) as MetricName[];

/** With the type that each has in common: what the table says of one alone is too narrow to loop over. */
export function descriptionOf(name: MetricName): MetricDescription {
  return METRICS[name];
}
