/**
 * Checking task files without any grid: as a worker would read them where they stand in a queue, and as `dgrid submit`
 * would take them elsewhere.
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { QueueFile } from '../../ledger/found-files.ts';
import { QUEUE_DIR } from '../../ledger/names.ts';
import type { TaskId } from '../../task/id.ts';
import { examineAgainstPolicy, type TaskPolicy } from '../../task/policy.ts';
import { type ExaminedTask, examineTaskFile, MAX_TASK_DEPTH, type TaskProblem } from '../../task/spec.ts';
import { quote } from '../../task/strict-json.ts';
import { LONGEST_TIMEOUT_SECONDS } from '../../task/task-schema.ts';
import { readTasks, type TaskSource } from '../task-input.ts';
import type { Checkout } from './checkout.ts';
import { jsonPlaces, lineAndColumn } from './json-places.ts';

/** More than this in one run is told as a number. */
export const MAX_CHECK_PROBLEMS = 10_000;
const ALL_OF_IT: TaskProblem['path'] = [];

export interface CheckRules {
  maxTaskBytes: number;
  /** null: what operators allow is not looked at. */
  policy: TaskPolicy | null;
}

export interface CheckProblem {
  path: string;
  /** Both begin with 1; both are 1 where the problem is that of the whole file. */
  line: number;
  column: number;
  /** The field of the task; null: the whole file. */
  field: string | null;
  problem: string;
}

export interface CheckReport {
  /** Task files, or tasks on lines. */
  checked: number;
  problems: CheckProblem[];
  moreProblems: number;
}

export class CheckRun {
  readonly #rules: CheckRules;
  readonly #report: CheckReport = { checked: 0, problems: [], moreProblems: 0 };

  constructor(rules: CheckRules) {
    this.#rules = rules;
  }

  get report(): CheckReport {
    return this.#report;
  }

  /**
   * Files of a queue.
   * @param isWanted whether the file at this path (from the root) is to be checked; the others only say which ids are taken.
   * @param shownAs what a path is called in messages.
   */
  async queue(
    { root, queue, records }: Checkout,
    isWanted: (path: string) => boolean,
    shownAs: (path: string) => string,
  ): Promise<void> {
    const whole = (path: string, problem: string): void => this.#add(shownAs(path), '', ALL_OF_IT, problem);
    for (const path of queue.illegalPaths.filter(isWanted)) {
      whole(path, 'its name is no task id followed by .json: rename or remove it');
    }
    if (queue.moreIllegalPaths > 0 && isWanted(QUEUE_DIR)) {
      whole(QUEUE_DIR, `${queue.moreIllegalPaths} more files have names that are no task ids`);
    }
    if (queue.leftOut !== null) whole(queue.leftOut, 'the queue has more than is read: this, and more, was left out');
    for (const [id, first] of queue.files) {
      const sameId = queue.duplicates.get(id) ?? [];
      const files = [first, ...sameId];
      for (const file of files.filter(({ path }) => isWanted(path))) {
        this.#report.checked += 1;
        const others = files.filter((other) => other !== file).map(({ path }) => shownAs(path));
        await this.#queueFile(join(root, file.path), shownAs(file.path), file, [
          ...(others.length === 0 ? [] : [`task_id: ${quote(id)} is also the id of ${others.join(', ')}; rename one`]),
          ...(records.has(id)
            ? [`task_id: ${quote(id)} has a record already (${records.get(id)}); to run it again, give it a new id`]
            : []),
        ]);
      }
    }
  }

  /** What `dgrid submit` would take, all of it at once. */
  submitted(sources: readonly TaskSource[]): void {
    const texts = new Map(sources.map(({ name, bytes }) => [name, Buffer.from(bytes)]));
    const input = readTasks(sources, {}, this.#rules);
    const problems = input.ok ? [] : input.problems;
    for (const { name, message, place } of problems) {
      if (!place) this.#add(name, '', ALL_OF_IT, message);
      else {
        const text = texts.get(place.source)?.toString('utf8') ?? '';
        const task = name === place.source ? text : (text.split('\n')[place.firstLine - 1] ?? '');
        this.#add(place.source, task, place.path, message, place.firstLine);
      }
    }
    this.#report.checked +=
      input.tasks.length + new Set(problems.filter(({ place }) => place).map(({ name }) => name)).size;
    for (const { taskId, content, source } of input.tasks) {
      const [, name = source, line = '1'] = texts.has(source) ? [] : (/^(.*):(\d+)$/s.exec(source) ?? []);
      this.#policy(name, Buffer.from(content).toString('utf8'), this.#examine(content, taskId), Number(line));
    }
  }

  async #queueFile(path: string, shown: string, file: QueueFile, aboutId: readonly string[]): Promise<void> {
    const { maxTaskBytes } = this.#rules;
    const whole = (problem: string): void => this.#add(shown, '', ALL_OF_IT, problem);
    let bytes = Buffer.alloc(0);
    if (!file.regular) whole('the task file is a link or a submodule; it must be a regular file');
    else {
      const { size } = await stat(path);
      // The parser refuses it for its size, whatever stands in it.
      if (size > maxTaskBytes)
        whole(`the file has ${size} bytes; at most ${maxTaskBytes} are allowed (MAX_TASK_BYTES)`);
      else bytes = await readFile(path);
      if (size <= maxTaskBytes) {
        const examined = this.#examine(bytes, file.taskId);
        if (!examined.ok) this.#problems(shown, bytes, examined.problems);
        this.#policy(shown, bytes.toString('utf8'), examined, 1);
      }
    }
    for (const problem of aboutId) this.#add(shown, bytes.toString('utf8'), ['task_id'], problem);
  }

  #examine(bytes: Uint8Array, id: TaskId): ExaminedTask {
    const { maxTaskBytes } = this.#rules;
    return examineTaskFile(bytes, id, { maxTaskBytes, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS });
  }

  #problems(shown: string, bytes: Buffer, problems: readonly TaskProblem[]): void {
    const text = bytes.toString('utf8');
    for (const { path, text: problem } of problems) this.#add(shown, text, path, problem);
  }

  #policy(shown: string, text: string, examined: ExaminedTask, firstLine: number): void {
    if (!examined.ok || this.#rules.policy === null) return;
    for (const { field, text: problem } of examineAgainstPolicy(examined.spec, this.#rules.policy)) {
      this.#add(shown, text, [field], `${field}: ${problem}`, firstLine);
    }
  }

  #add(path: string, text: string, place: TaskProblem['path'], problem: string, firstLine = 1): void {
    if (this.#report.problems.length >= MAX_CHECK_PROBLEMS) {
      this.#report.moreProblems += 1;
      return;
    }
    const { line, column } = lineAndColumn(text, offsetOf(text, place, this.#sameFile(path)));
    const [field] = place;
    this.#report.problems.push({
      path,
      line: firstLine + line - 1,
      column,
      field: field === undefined ? null : String(field),
      problem,
    });
  }

  /** How many problems of that whole file are known: those of repeated names come in the order of the text. */
  #sameFile(path: string): number {
    let count = 0;
    for (let at = this.#report.problems.length - 1; at >= 0; at -= 1) {
      const known = this.#report.problems[at];
      if (known?.path !== path) break;
      if (known.field === null) count += 1;
    }
    return count;
  }
}

function offsetOf(text: string, place: TaskProblem['path'], nth: number): number {
  const places = jsonPlaces(text, MAX_TASK_DEPTH);
  if (place.length > 0) return places.of(place);
  return places.errorAt ?? places.tooDeepAt ?? places.repeatsAt[nth] ?? 0;
}
