/**
 * What the pages show, as documents: the JSON of `/api/v1`, of a static site, and what the page in the browser reads. One
 * description for all three, from which the OpenAPI document is made too.
 *
 * Times are ISO 8601 UTC by the clock of whoever wrote them, for people; what passes between two moments is given in
 * milliseconds, measured on one clock. Lists have bounds, and say what was left out.
 */
import { z } from 'zod';
import { PRIORITIES } from '../task/task-schema.ts';
import { MAX_NODE_ROWS, MAX_PROBLEMS, MAX_RECENT_ROWS, MAX_SERIES_POINTS, MAX_TASK_ROWS } from './limits.ts';

/** Of the document's shape. Fields may be added under the same number. */
export const PAGES_SCHEMA_VERSION = 1;

const isoTime = z.string().describe('ISO 8601 UTC');
const milliseconds = z.number().nonnegative().describe('milliseconds');
const percent = z.number().min(0).describe('per cent');
const reason = z.object({ reason: z.string(), text: z.string() });

export const TASK_ROW_STATES = ['queued', 'waiting', 'running', 'finished', 'recorded', 'unreadable'] as const;

export const taskRow = z
  .object({
    task_id: z.string(),
    state: z.enum(TASK_ROW_STATES).describe('finished: it has its result, which is not on the branch yet'),
    status: z.enum(['success', 'failed']).nullable(),
    reason: z.string().nullable().describe('why it failed, or why it waits'),
    message: z.string().nullable(),
    priority: z.enum(PRIORITIES).nullable(),
    node_id: z.string().nullable(),
    attempt: z.number().int().nonnegative(),
    image: z.string().nullable(),
    labels: z.array(z.string()).describe('what the node must have'),
    claimed_at: isoTime.nullable(),
    started_at: isoTime.nullable(),
    finished_at: isoTime.nullable(),
    run_ms: milliseconds.nullable().describe('how long it ran; for a running task, as far as the worker knows it'),
    note: z.string().nullable().describe('anything a person should know: its owner is gone, its file was withdrawn'),
  })
  .describe('one task, as a row of a list');

export const nodeRow = z
  .object({
    node_id: z.string(),
    state: z.enum(['alive', 'stopped', 'fenced', 'silent', 'unreadable']).describe('silent: longer than its own limit'),
    name: z.string().nullable(),
    version: z.string().nullable(),
    labels: z.array(z.string()),
    slots: z.number().nullable(),
    running: z.array(z.string()).describe('task ids'),
    paused: z.array(reason).describe('why it claims nothing; empty: it does'),
    refuses: z.array(reason).describe('what it leaves alone while it claims other tasks'),
    seen_ms_ago: milliseconds.nullable().describe('since the reader saw a sign of life; null: none since it looks'),
    last_beat: isoTime.nullable().describe('by the clock of the node'),
    heartbeat_ms: milliseconds.nullable(),
    ttl_ms: milliseconds.nullable(),
    cpu_percent: percent.nullable(),
    memory_percent: percent.nullable(),
    disk_percent: percent.nullable(),
    quota_left: z.number().nullable().describe('starts left in this hour; null: no limit, or not told'),
  })
  .describe('one worker');

export const seriesPoint = z
  .object({
    at: isoTime.describe('the end of the step'),
    succeeded: z.number().nonnegative(),
    failed: z.number().nonnegative(),
    pending: z.number().nullable(),
    running: z.number().nullable(),
    run_p50_ms: milliseconds.nullable(),
    run_p95_ms: milliseconds.nullable(),
    cpu_percent: percent.nullable(),
    memory_percent: percent.nullable(),
  })
  .describe('what happened in one step, and how things stood at its end');

export const overview = z
  .object({
    schema_version: z.literal(PAGES_SCHEMA_VERSION),
    source: z
      .enum(['worker', 'client', 'static'])
      .describe('who looks: a worker, a laptop, or a picture that was kept'),
    version: z.string(),
    generated_at: isoTime,
    revision: z
      .string()
      .describe(
        'changes whenever the rest does, but for what the passing of time alone changes: generated_at, seen_ms_ago, ' +
          'run_ms of running tasks, done_per_minute and the series',
      ),
    repository: z.string().describe('without credentials'),
    branch: z.string(),
    commit: z.string().nullable(),
    problem: z.string().nullable().describe('why the rest may be old: the repository could not be read'),
    this_node: z.string().nullable().describe('the worker that answers'),
    queue: z.object({
      pending: z.number().int(),
      invalid: z.number().int(),
      by_priority: z.object({ critical: z.number(), high: z.number(), medium: z.number(), low: z.number() }),
    }),
    recorded: z.object({ completed: z.number().int(), failed: z.number().int() }),
    done_per_minute: z.number().nullable(),
    nodes: z.array(nodeRow).max(MAX_NODE_ROWS).describe('those that may work first'),
    nodes_left_out: z.number().int().positive().optional().describe('absent: none'),
    tasks: z.array(taskRow).max(MAX_TASK_ROWS),
    tasks_left_out: z.number().int().nonnegative(),
    recent: z.array(taskRow).max(MAX_RECENT_ROWS).describe('tasks that have their result, the newest first'),
    problems: z.array(z.object({ path: z.string(), problem: z.string() })).max(MAX_PROBLEMS),
    series: z.object({ step_ms: milliseconds, points: z.array(seriesPoint).max(MAX_SERIES_POINTS) }),
  })
  .describe('the whole grid at a glance');

export const PHASES = ['claim', 'pull', 'start', 'run', 'collect'] as const;

const outputText = z.object({
  text: z.string().describe('the end of it, where it is longer than what fits'),
  total_bytes: z.number().int().nonnegative(),
  whole: z.boolean().describe('whether text is all that the task wrote; while it runs: all that is known of it so far'),
});

export const LIVE_STATES = ['live', 'not-asked', 'never', 'unsupported'] as const;

export const taskDetail = z
  .object({
    schema_version: z.literal(PAGES_SCHEMA_VERSION),
    row: taskRow,
    task: z.unknown().describe('the task as submitted; null where the file is no JSON, or cannot be had'),
    exit_code: z.number().nullable(),
    phases: z.array(z.object({ phase: z.enum(PHASES), ms: milliseconds.nullable() })),
    usage: z.object({ cpu_seconds: z.number().nullable(), peak_memory_bytes: z.number().nullable() }).nullable(),
    stdout: outputText.nullable(),
    stderr: outputText.nullable(),
    live: z
      .enum(LIVE_STATES)
      .nullable()
      .describe(
        'null: it does not run. live: stdout and stderr are what is known so far of what it writes; ask again to see more. ' +
          'Otherwise why they come with the result: it was not submitted with follow, its node never publishes them, or ' +
          'the version of its node cannot',
      ),
    provenance: z.object({
      queue_path: z.string().nullable(),
      spec_blob: z.string().nullable(),
      record_path: z.string().nullable(),
      commit: z.string().nullable().describe('the commit of the branch that was looked at'),
      state_ref: z.string().nullable(),
      state_commit: z.string().nullable(),
      node_id: z.string().nullable(),
      epoch: z.number().nullable(),
      image: z.string().nullable(),
      digest: z.string().nullable(),
      signer: z.string().nullable(),
    }),
  })
  .describe('one task with all that is known of it');

export type TaskRow = z.infer<typeof taskRow>;
export type NodeRow = z.infer<typeof nodeRow>;
export type SeriesPoint = z.infer<typeof seriesPoint>;
export type Overview = z.infer<typeof overview>;
export type OutputText = z.infer<typeof outputText>;
export type TaskDetail = z.infer<typeof taskDetail>;

export const taskList = z
  .object({
    schema_version: z.literal(PAGES_SCHEMA_VERSION),
    tasks: z.array(taskRow).max(MAX_TASK_ROWS),
    total: z.number().int().nonnegative().describe('how many tasks the filter lets through, on this page and others'),
    next_cursor: z.string().nullable().describe('for the next page; null: this is the last one'),
  })
  .describe('tasks in the order of the overview, then the latest results');

export const nodeList = z
  .object({
    schema_version: z.literal(PAGES_SCHEMA_VERSION),
    nodes: z.array(nodeRow).max(MAX_NODE_ROWS),
    nodes_left_out: z.number().int().positive().optional().describe('absent: none'),
  })
  .describe('all workers');

export const problemDocument = z
  .object({ problem: z.string().describe('what is wrong, and mostly what to do') })
  .describe('the answer in the place of every other one');

export const changeNotice = z
  .object({ revision: z.string().describe('of the overview as it is now') })
  .describe('the data of an event');

export type TaskList = z.infer<typeof taskList>;
export type NodeList = z.infer<typeof nodeList>;
