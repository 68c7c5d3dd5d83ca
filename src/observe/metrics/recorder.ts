/**
 * Counts what is told: a subscriber of the events. What each event means for the figures stands in one table.
 *
 * Invariant: an event with fields that are not what the table expects counts as far as it goes, and never throws; whoever
 * does a thing must not fail for having told of it.
 */
import type { Clock } from '../../runtime.ts';
import { FAILURE_REASONS } from '../../task/result.ts';
import type { Emit, EventFields, EventName } from '../events.ts';
import { type MetricName, TASK_PHASES } from './catalogue.ts';
import { MetricStore, type Sample } from './store.ts';

type Count = (store: MetricStore, fields: EventFields, clock: Clock) => void;

export class MetricsRecorder {
  readonly #store = new MetricStore();
  readonly #clock: Clock;
  /** By this machine's clock, at the beginning: a clock that is set later does not move it. */
  readonly startedAtSeconds: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.startedAtSeconds = (clock.wallMs() - clock.monotonicMs()) / 1000;
    this.#store.add('dgrid_tasks_finished_total', { status: 'success', reason: 'none' }, 0);
    for (const reason of FAILURE_REASONS) {
      this.#store.add('dgrid_tasks_finished_total', { status: 'failed', reason }, 0);
    }
  }

  /** An `emit` that counts, and passes on. */
  countingTo(emit: Emit): Emit {
    return (name, fields = {}) => {
      COUNTS[name]?.(this.#store, fields, this.#clock);
      emit(name, fields);
    };
  }

  samples(name: MetricName): Sample[] {
    return this.#store.samples(name);
  }
}

const COUNTS: Partial<Record<EventName, Count>> = {
  'task.finished': (store, fields) => {
    store.add('dgrid_tasks_finished_total', { status: word(fields['status']), reason: word(fields['reason'], 'none') });
    for (const phase of TASK_PHASES) {
      const ms = figure(fields[`${phase}_ms`]);
      if (ms !== null) store.observe('dgrid_task_phase_seconds', { phase }, ms / 1000);
    }
  },
  // Without a status it is followed by the end of the task, which counts.
  'task.rejected': (store, { reason, status }) => {
    if (status === 'failed') store.add('dgrid_tasks_finished_total', { status, reason: word(reason) });
  },
  'task.started': (store, { warm }) =>
    store.add('dgrid_task_starts_total', { container: warm === true ? 'warm' : 'cold' }),
  'task.retry': plain('dgrid_task_retries_total'),
  'task.handed-back': (store, { started }) =>
    store.add('dgrid_tasks_handed_back_total', { started: String(started === true) }),
  'task.adopted': plain('dgrid_tasks_adopted_total'),
  'task.withdrawn': plain('dgrid_tasks_withdrawn_total'),
  'task.cancelled': plain('dgrid_tasks_withdrawn_total'),
  'task.engine-failed': plain('dgrid_engine_failures_total'),
  'secret.refused': plain('dgrid_secrets_refused_total'),

  'task.claimed': (store) => store.add('dgrid_claims_total', { result: 'won' }),
  'task.claim-lost': (store, { outcome }) =>
    store.add('dgrid_claims_total', { result: outcome === 'refused' ? 'refused' : 'lost' }),
  'task.claim-given-up': (store) => store.add('dgrid_claims_total', { result: 'given-up' }),
  'task.taken-over': plain('dgrid_takeovers_total'),
  'task.fenced': plain('dgrid_results_fenced_total'),
  'node.dead': plain('dgrid_nodes_declared_dead_total'),
  'node.fenced': plain('dgrid_node_fenced_total'),

  'poll.skipped': polled('skipped'),
  'poll.pulling': polled('pulled'),
  'poll.failed': (store) => store.add('dgrid_polls_total', { result: 'failed' }),
  'push.completed': (store, { ms, object_bytes }, clock) => {
    store.add('dgrid_pushes_total', { result: 'completed' });
    store.observe('dgrid_push_seconds', {}, (figure(ms) ?? 0) / 1000);
    store.add('dgrid_push_object_bytes_total', {}, figure(object_bytes) ?? 0);
    store.set('dgrid_last_push_timestamp_seconds', {}, nowSeconds(clock));
  },
  'push.failed': (store) => store.add('dgrid_pushes_total', { result: 'failed' }),
  'push.unclear': plain('dgrid_pushes_unclear_total'),
  'push.budget-wait': (store, { wait_ms }) => {
    store.add('dgrid_push_budget_waits_total', {});
    store.add('dgrid_push_budget_wait_seconds_total', {}, (figure(wait_ms) ?? 0) / 1000);
  },
  'swap.settled': (store, { outcome, step }) =>
    store.add('dgrid_swaps_total', { step: word(step).replace(/^swap\./, ''), outcome: word(outcome) }),
  'result.recorded': (store, { tasks }) => store.add('dgrid_records_total', {}, figure(tasks) ?? 0),
  'record.conflict': plain('dgrid_record_conflicts_total'),
  'git.retry': (store, { operation, kind }) =>
    store.add('dgrid_git_retries_total', { operation: word(operation), kind: word(kind) }),
  'git.request': (store, { operation, received_bytes, sent_bytes }) => {
    const labels = { operation: word(operation) };
    store.add('dgrid_git_requests_total', labels);
    store.add('dgrid_git_sent_bytes_total', labels, figure(sent_bytes) ?? 0);
    store.add('dgrid_git_received_bytes_total', labels, figure(received_bytes) ?? 0);
  },
  'git.command': (store, { exit_code, ms }) => {
    store.add('dgrid_git_commands_total', { result: exit_code === 0 ? 'ok' : 'failed' });
    store.add('dgrid_git_command_seconds_total', {}, (figure(ms) ?? 0) / 1000);
  },
  'clone.damaged': (store) => store.add('dgrid_clone_renewals_total', { why: 'damaged' }),
  'clone.renewed': (store) => store.add('dgrid_clone_renewals_total', { why: 'large' }),
  'node.heartbeat': (store, _fields, clock) => {
    store.add('dgrid_heartbeats_total', { result: 'ok' });
    store.set('dgrid_last_heartbeat_timestamp_seconds', {}, nowSeconds(clock));
  },
  'node.heartbeat-failed': (store) => store.add('dgrid_heartbeats_total', { result: 'failed' }),
  'health.passed': (store, _fields, clock) =>
    store.set('dgrid_last_health_check_timestamp_seconds', {}, nowSeconds(clock)),

  'image.pulled': (store) => store.add('dgrid_image_pulls_total', { result: 'ok' }),
  // The engine's side tells of it too, without a task. One that was set aside is not asked for.
  'image.unavailable': (store, { asked, task }) => {
    if (asked !== false && task !== undefined) store.add('dgrid_image_pulls_total', { result: 'failed' });
  },
  'image.retry': plain('dgrid_image_pull_retries_total'),
  'cleanup.completed': cleaned,
  'cleanup.files-completed': cleaned,
  'http.refused': (store, { reason, requests }) =>
    store.add('dgrid_http_refused_total', { reason: word(reason) }, figure(requests) ?? 1),
};

function plain(name: MetricName): Count {
  return (store) => store.add(name, {});
}

function polled(result: string): Count {
  return (store, _fields, clock) => {
    store.add('dgrid_polls_total', { result });
    store.set('dgrid_last_poll_timestamp_seconds', {}, nowSeconds(clock));
  };
}

function cleaned(store: MetricStore, { freed_bytes, step }: EventFields): void {
  store.add('dgrid_cleanup_steps_total', { step: word(step) });
  store.add('dgrid_cleanup_freed_bytes_total', { step: word(step) }, Math.max(0, figure(freed_bytes) ?? 0));
}

function word(value: unknown, otherwise = 'unknown'): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

function figure(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function nowSeconds(clock: Clock): number {
  return clock.wallMs() / 1000;
}
