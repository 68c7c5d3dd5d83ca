/**
 * The queue in figures, and the tasks of it that nobody has claimed in the order of their turn.
 *
 * A queue may have a hundred thousand files: it is walked once for each change of the branch, and claims are taken off
 * what came of that. Only as many rows as are shown are sorted.
 */
import type { QueueFile } from '../ledger/found-files.ts';
import type { GridView } from '../ledger/grid-view.ts';
import type { QueueIndex } from '../ledger/queue-index.ts';
import { byTurn, firstInTurn, type Turn } from '../ledger/selection.ts';
import type { TaskBrief } from '../ledger/spec-cache.ts';
import type { TaskId } from '../task/id.ts';
import { PRIORITIES, type Priority } from '../task/task-schema.ts';
import { MAX_TASK_ROWS } from './limits.ts';

export interface QueueFigures {
  /** Tasks that nobody has claimed. */
  pending: number;
  /** Of the pending ones: no legal tasks. */
  invalid: number;
  by_priority: Record<Priority, number>;
}

export interface QueueCountParts {
  /** null: not read yet. */
  briefOf: (file: QueueFile) => TaskBrief | null;
  /** Which change of the branch brought the file: the smaller, the older. */
  arrivalOf: (id: TaskId) => number;
}

interface Walked {
  queue: QueueIndex;
  figures: QueueFigures;
  /** The first of the queue, claimed or not; all of it when `isAll`. */
  first: readonly Turn[];
  isAll: boolean;
}

/** Twice what is shown: claims take rows away. */
const KEPT_TURNS = 2 * MAX_TASK_ROWS;
/** Behind all that may run. */
const NO_PRIORITY = PRIORITIES.length;

export class QueueCount {
  readonly #parts: QueueCountParts;
  /** null: the next one that asks walks the queue, also when task files were not read yet. */
  #walked: Walked | null = null;

  constructor(parts: QueueCountParts) {
    this.#parts = parts;
  }

  of(view: GridView): QueueFigures {
    const { figures } = this.#walk(view.queue);
    const left = { ...figures, by_priority: { ...figures.by_priority } };
    for (const id of view.tasks.keys()) {
      const file = view.queue.files.get(id);
      if (file && !view.queue.alreadyRecorded.has(id)) this.#count(left, file, -1);
    }
    return left;
  }

  /** Unclaimed ones. */
  first(view: GridView, count: number): QueueFile[] {
    const walked = this.#walk(view.queue);
    const isFree = ({ file }: Turn): boolean => !view.tasks.has(file.taskId);
    const free = walked.first.filter(isFree);
    const turns =
      walked.isAll || free.length >= count ? free : firstInTurn(this.#turns(view.queue).filter(isFree), count);
    return turns.slice(0, count).map(({ file }) => file);
  }

  /** All unclaimed ones. Sorts the whole queue, once for each change of the branch. */
  all(view: GridView): QueueFile[] {
    const walked = this.#walk(view.queue);
    if (!walked.isAll) {
      walked.first = this.#turns(view.queue).sort(byTurn);
      walked.isAll = true;
    }
    return walked.first.flatMap(({ file }) => (view.tasks.has(file.taskId) ? [] : [file]));
  }

  #walk(queue: QueueIndex): Walked {
    if (this.#walked?.queue === queue) return this.#walked;
    const figures: QueueFigures = { pending: 0, invalid: 0, by_priority: { critical: 0, high: 0, medium: 0, low: 0 } };
    let isRead = true;
    for (const file of queue.files.values()) {
      if (queue.alreadyRecorded.has(file.taskId)) continue;
      isRead = this.#count(figures, file, 1) && isRead;
    }
    const turns = this.#turns(queue);
    const walked = { queue, figures, first: firstInTurn(turns, KEPT_TURNS), isAll: turns.length <= KEPT_TURNS };
    this.#walked = isRead ? walked : null;
    return walked;
  }

  /** @returns whether the task file was read. */
  #count(figures: QueueFigures, file: QueueFile, by: 1 | -1): boolean {
    const brief = this.#parts.briefOf(file);
    figures.pending += by;
    if (brief?.ok) figures.by_priority[brief.priority] += by;
    else if (brief) figures.invalid += by;
    return brief !== null;
  }

  #turns(queue: QueueIndex): Turn[] {
    const turns: Turn[] = [];
    for (const file of queue.files.values()) {
      if (queue.alreadyRecorded.has(file.taskId)) continue;
      const brief = this.#parts.briefOf(file);
      const priority = brief?.ok ? PRIORITIES.indexOf(brief.priority) : NO_PRIORITY;
      turns.push({ file, priority, arrival: this.#parts.arrivalOf(file.taskId) });
    }
    return turns;
  }
}
