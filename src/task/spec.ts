/** The task file: what a submitter writes, checked strictly, with messages that say what to mend. */
import type { z } from 'zod';
import { ID_PATTERN, type TaskId } from './id.ts';
import { parseStrictJson, quote } from './strict-json.ts';
import {
  ARGUMENT_TOO_LONG,
  admissionSchema,
  DEFAULT_TIMEOUT_SECONDS,
  MAX_ARGUMENT_BYTES,
  memoryBytesOf,
  type Priority,
  RESERVED_ENV_PREFIX,
  type TaskFile,
  taskSchema,
} from './task-schema.ts';

export const MAX_TASK_DEPTH = 16;
const MAX_PROBLEMS = 20;

export type TaskProgram = { kind: 'script'; script: string } | { kind: 'command'; argv: readonly string[] };

export interface TaskSpec {
  taskId: TaskId;
  program: TaskProgram;
  timeoutMs: number;
  /** null: the operator's default image. */
  image: string | null;
  env: Readonly<Record<string, string>>;
  /** null: the operator's. */
  network: string | null;
  /** null: the operator's default. */
  cpus: number | null;
  /** null: the operator's default. */
  memoryBytes: number | null;
  priority: Priority;
  /** How often to try again after an exit code other than 0. */
  retries: number;
  /** Labels that a node must have to run it. */
  requires: readonly string[];
  /** Names of the operator's secrets that it asks for. */
  secrets: readonly string[];
  /** Whether to publish what it writes while it runs. */
  follow: boolean;
  /** What a signature of this file is good for; null: it says nothing of it. */
  admission: TaskAdmission | null;
}

/** Signed with the rest of the file, so that the signature is worth nothing elsewhere, later, or a second time. */
export interface TaskAdmission {
  grid: string;
  /** Milliseconds since 1970; null: from the beginning of time. */
  notBeforeMs: number | null;
  expiresAtMs: number;
  nonce: string;
}

export interface TaskLimits {
  maxTaskBytes: number;
  /** The operator's cap. Lowers the default only: a task that asks for more by name is a matter of policy. */
  maxTimeoutSeconds: number;
}

/** What is wrong, and where: the way from the file's object to the value; empty for the file as a whole. */
export interface TaskProblem {
  path: readonly (string | number)[];
  text: string;
}

export type ParsedTask = { ok: true; spec: TaskSpec; raw: unknown } | BadTask;

export interface BadTask<Problem = string> {
  ok: false;
  problems: Problem[];
  /** The parsed JSON for the record; null when there is none that is safe to keep. */
  raw: unknown;
  /** Fields that this version does not know, where nothing else is wrong: to a newer one it may be a task. */
  unknownFields?: readonly string[];
}

/**
 * Reads a task file of the queue. Never throws; a problem is one line that names the field and what it must be.
 * What the operator allows (images, caps) is not checked here but by `checkAgainstPolicy`.
 */
export function parseTaskFile(bytes: Uint8Array, expectedId: TaskId, limits: TaskLimits): ParsedTask {
  const examined = examineTaskFile(bytes, expectedId, limits);
  return examined.ok ? examined : { ...examined, problems: examined.problems.map(({ text }) => text) };
}

export type ExaminedTask = Extract<ParsedTask, { ok: true }> | BadTask<TaskProblem>;

/** The same, with the place of each problem. */
export function examineTaskFile(bytes: Uint8Array, expectedId: TaskId, limits: TaskLimits): ExaminedTask {
  const json = parseStrictJson(bytes, { maxBytes: limits.maxTaskBytes, maxDepth: MAX_TASK_DEPTH });
  if (!json.ok) return { ok: false, problems: json.problems.map((text) => ({ path: [], text })), raw: json.value };
  const raw = json.value;
  const parsed = taskSchema.safeParse(raw);
  const problems = parsed.success ? [] : parsed.error.issues.flatMap(problemsOf);
  if (typeof raw === 'object' && raw !== null && !Array.isArray(raw)) {
    problems.push(...problemsAcrossFields(raw as Record<string, unknown>, expectedId));
  }
  const told = eachOnce(problems);
  if (parsed.success && told.length === 0) return { ok: true, spec: specOf(parsed.data, expectedId, limits), raw };
  const unknownFields = unknownFieldsOf(parsed.success ? [] : parsed.error.issues);
  const isAllThatIsWrong = unknownFields.length > 0 && unknownFields.length === told.length;
  const bad: BadTask<TaskProblem> = { ok: false, problems: bounded(told), raw };
  return isAllThatIsWrong ? { ...bad, unknownFields } : bad;
}

/** Of the file itself: each makes one problem. */
function unknownFieldsOf(issues: readonly z.core.$ZodIssue[]): string[] {
  return issues.flatMap((issue) => (issue.code === 'unrecognized_keys' && issue.path.length === 0 ? issue.keys : []));
}

/** Checked on the raw object, so that these too are named when something else is wrong. */
function problemsAcrossFields(raw: Record<string, unknown>, expectedId: TaskId): TaskProblem[] {
  const problems: TaskProblem[] = [];
  const add = (path: TaskProblem['path'], text: string): void => void problems.push({ path, text });
  const { task_id: id, script, command, env } = raw as Partial<Record<keyof TaskFile, unknown>>;
  if (typeof id === 'string' && ID_PATTERN.test(id) && id !== expectedId) {
    add(['task_id'], `task_id: is ${quote(id)} but the file is ${quote(`${expectedId}.json`)}; make the two the same`);
  }
  if (script === undefined && command === undefined) {
    add(['script'], 'script: is missing; a task needs exactly one of script and command');
  } else if (script !== undefined && command !== undefined) {
    add(['command'], 'command: stands beside script; a task needs exactly one of the two, remove the other');
  }
  if (typeof env === 'object' && env !== null && !Array.isArray(env)) {
    for (const [name, value] of Object.entries(env)) {
      if (name.startsWith(RESERVED_ENV_PREFIX)) {
        add(
          ['env', name],
          `env: ${quote(name)} is reserved; choose a name that does not begin with ${RESERVED_ENV_PREFIX}`,
        );
      }
      if (typeof value === 'string' && Buffer.byteLength(`${name}=${value}`) > MAX_ARGUMENT_BYTES) {
        add(['env', name], `env: ${quote(name)} ${ARGUMENT_TOO_LONG}`);
      }
    }
  }
  return problems;
}

function problemsOf(issue: z.core.$ZodIssue): TaskProblem[] {
  const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(path.length > 0 ? admissionSchema.shape : taskSchema.shape).join(', ');
    return issue.keys.map((key) => ({ path: [...path, key], text: unknownField(path[0], key, known) }));
  }
  const [field, ...rest] = path;
  if (field === undefined) return [{ path, text: `the file ${issue.message}` }];
  const inner = rest.map((step) => (typeof step === 'number' ? `[${step}]` : ` ${quote(step)}`)).join('');
  const text = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return [{ path, text: `${field}:${inner} ${text}` }];
}

function unknownField(parent: string | number | undefined, key: string, known: string): string {
  if (parent !== undefined) return `${parent}: ${quote(key)} is not a field of it; the fields are ${known}`;
  const hint = key === '$schema' ? '; "dgrid init" tells editors of the schema without it' : '';
  return `${quote(key)} is not a field of a task; the fields are ${known}${hint}`;
}

function eachOnce(problems: readonly TaskProblem[]): TaskProblem[] {
  const seen = new Set<string>();
  return problems.filter(({ text }) => !seen.has(text) && seen.add(text));
}

function bounded(problems: TaskProblem[]): TaskProblem[] {
  if (problems.length <= MAX_PROBLEMS) return problems;
  const more = problems.length - MAX_PROBLEMS + 1;
  return [...problems.slice(0, MAX_PROBLEMS - 1), { path: [], text: `and ${more} more problems` }];
}

function specOf(file: TaskFile, taskId: TaskId, limits: TaskLimits): TaskSpec {
  return {
    taskId,
    program:
      file.script === undefined
        ? { kind: 'command', argv: file.command ?? [] }
        : { kind: 'script', script: file.script },
    // The default bends to the cap: a task that asks for nothing must not be turned away.
    timeoutMs: (file.timeout_seconds ?? Math.min(DEFAULT_TIMEOUT_SECONDS, limits.maxTimeoutSeconds)) * 1000,
    image: file.image ?? null,
    env: file.env ?? {},
    network: file.network ?? null,
    cpus: file.cpus ?? null,
    memoryBytes: file.memory === undefined ? null : memoryBytesOf(file.memory),
    priority: file.priority ?? 'medium',
    retries: file.retries ?? 0,
    requires: file.requires ?? [],
    secrets: file.secrets ?? [],
    follow: file.follow ?? false,
    admission: file.admission === undefined ? null : admissionOf(file.admission),
  };
}

function admissionOf(given: NonNullable<TaskFile['admission']>): TaskAdmission {
  return {
    grid: given.grid,
    notBeforeMs: given.not_before === undefined ? null : Date.parse(given.not_before),
    expiresAtMs: Date.parse(given.expires_at),
    nonce: given.nonce,
  };
}
