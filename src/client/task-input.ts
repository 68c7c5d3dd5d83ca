/**
 * From what a submitter hands over to task files. Pure. Every problem is found in one pass, so that nothing is queued by
 * halves and nobody mends a file ten times.
 */
import { isTaskId, type TaskId } from '../task/id.ts';
import { examineTaskFile, type TaskProblem } from '../task/spec.ts';
import { parseStrictJson, quote } from '../task/strict-json.ts';
import { LONGEST_TIMEOUT_SECONDS } from '../task/task-schema.ts';

/** More than this in one go is a mistake, or work for a program that submits in portions. */
export const MAX_TASKS_PER_SUBMIT = 50_000;
/** A page full; the first ones explain the rest. */
export const MAX_SHOWN_PROBLEMS = 100;
const MAX_DEPTH = 64;

export interface TaskSource {
  /** As a person would name it: a path, or `standard input`. */
  name: string;
  bytes: Uint8Array;
}

/** Fields that take the place of what the files say. */
export type TaskOverrides = Readonly<
  Partial<Record<'task_id' | 'image' | 'priority' | 'timeout_seconds' | 'script' | 'follow', unknown>>
>;

export interface NewTask {
  taskId: TaskId;
  /** The task file. */
  content: Uint8Array;
  /** Where it came from, for messages. */
  source: string;
  /** Of the content, armoured; null: it is not signed. */
  signature: Uint8Array | null;
}

export interface InputProblem {
  /** The source, with the line in a file of lines. */
  name: string;
  message: string;
  /** Absent for what is wrong with all of it. */
  place?: InputPlace;
}

export interface InputPlace {
  source: string;
  /** The line of the source at which the task begins; 1 where the source is one task. */
  firstLine: number;
  path: TaskProblem['path'];
}

export type TaskInput =
  | { ok: true; tasks: NewTask[] }
  /** `tasks` are those with which nothing is wrong. */
  | { ok: false; problems: InputProblem[]; tasks: NewTask[] };

export function readTasks(
  sources: readonly TaskSource[],
  overrides: TaskOverrides,
  limits: { maxTaskBytes: number },
): TaskInput {
  const documents = sources.flatMap(split);
  const problems: InputProblem[] = [];
  const tasks = new Map<TaskId, NewTask>();
  if (documents.length > MAX_TASKS_PER_SUBMIT) {
    const message = `there are ${documents.length} tasks; at most ${MAX_TASKS_PER_SUBMIT} can be submitted at once`;
    return { ok: false, problems: [{ name: 'submit', message }], tasks: [] };
  }
  if (overrides.task_id !== undefined && documents.length > 1) {
    problems.push({ name: '--id', message: `names one task, and there are ${documents.length}` });
  }
  for (const document of documents) {
    const read = readTask(document, overrides, limits);
    if (!read.ok) {
      problems.push(...read.problems.map(({ text, path }) => problem(document, text, path)));
      continue;
    }
    const other = tasks.get(read.task.taskId);
    if (other) {
      const message = `task_id: ${quote(read.task.taskId)} is also the id of the task in ${other.source}`;
      problems.push(problem(document, message, ['task_id']));
    } else tasks.set(read.task.taskId, read.task);
  }
  for (const { name } of sources.filter((source) => documents.every(({ from }) => from !== source))) {
    problems.push({ name, message: 'holds no task' });
  }
  const right = [...tasks.values()];
  return problems.length > 0 ? { ok: false, problems: bounded(problems), tasks: right } : { ok: true, tasks: right };
}

function problem({ name, from, firstLine }: TaskDocument, message: string, path: TaskProblem['path']): InputProblem {
  return { name, message, place: { source: from.name, firstLine, path } };
}

/** The first ones, and how many more there are. */
export function bounded(problems: readonly InputProblem[]): InputProblem[] {
  if (problems.length <= MAX_SHOWN_PROBLEMS) return [...problems];
  const more = problems.length - MAX_SHOWN_PROBLEMS;
  return [...problems.slice(0, MAX_SHOWN_PROBLEMS), { name: '…', message: `and ${more} more problems` }];
}

interface TaskDocument {
  name: string;
  bytes: Uint8Array;
  from: TaskSource;
  firstLine: number;
}

/** One JSON value, or JSON Lines. */
function split(source: TaskSource): TaskDocument[] {
  const whole: TaskDocument = { name: source.name, bytes: source.bytes, from: source, firstLine: 1 };
  const text = Buffer.from(source.bytes.buffer, source.bytes.byteOffset, source.bytes.byteLength).toString('utf8');
  if (text.trim() === '') return [];
  if (/\.(?:jsonl|ndjson)$/i.test(source.name)) return lines(source, text);
  if (isJson(text)) return [whole];
  // Neither: then what is wrong is said of the whole, unless some line by itself is a task.
  const someLine = text.split('\n').some((line) => line.startsWith('{') && isJson(line));
  return someLine ? lines(source, text) : [whole];
}

function lines(source: TaskSource, text: string): TaskDocument[] {
  return text
    .split('\n')
    .map((line, index) => ({
      name: `${source.name}:${index + 1}`,
      bytes: Buffer.from(`${line}\n`),
      from: source,
      firstLine: index + 1,
      line,
    }))
    .filter(({ line }) => line.trim() !== '');
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function readTask(
  document: TaskDocument,
  overrides: TaskOverrides,
  limits: { maxTaskBytes: number },
): { ok: true; task: NewTask } | { ok: false; problems: TaskProblem[] } {
  const whole = (text: string): { ok: false; problems: TaskProblem[] } => ({
    ok: false,
    problems: [{ path: [], text }],
  });
  const json = parseStrictJson(document.bytes, { maxBytes: limits.maxTaskBytes, maxDepth: MAX_DEPTH });
  if (!json.ok) return { ok: false, problems: json.problems.map((text) => ({ path: [], text })) };
  const { value } = json;
  if (Array.isArray(value)) {
    return whole('is an array; write one task on each line instead (JSON Lines)');
  }
  if (typeof value !== 'object' || value === null) return whole('must be a JSON object');
  // The bytes stay as they were written, unless something in them has to change.
  const merged = { ...value, ...overrides };
  const changed = Object.keys(overrides).length > 0;
  const content = changed ? Buffer.from(`${JSON.stringify(merged, null, 2)}\n`) : document.bytes;
  const id = (merged as { task_id?: unknown }).task_id;
  // An illegal id is told by the same check as everything else; for that, some legal one has to be expected.
  const taskId = typeof id === 'string' && isTaskId(id) ? id : ('unnamed' as TaskId);
  const parsed = examineTaskFile(content, taskId, {
    maxTaskBytes: limits.maxTaskBytes,
    maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS,
  });
  return parsed.ok ? { ok: true, task: { taskId, content, source: document.name, signature: null } } : parsed;
}
