/** The port of the pages: where the documents come from. A worker and a client of the grid each have one. */
import type { StreamOutput } from '../ledger/results.ts';
import type { TaskId } from '../task/id.ts';
import type { NodeList, Overview, TaskDetail, TaskList } from './model.ts';
import type { TaskQuery } from './task-list.ts';

export interface PagesSource {
  /** As things stand now, made at most once for each change. Never throws: what could not be read stands in `problem`. */
  overview(): Promise<Overview>;
  /** One page of what the filter lets through. */
  tasks(query: TaskQuery): Promise<TaskList>;
  nodes(): Promise<NodeList>;
  /** null: no such task. @throws GitError when the repository cannot be read; BusyError */
  task(id: TaskId, signal: AbortSignal): Promise<TaskDetail | null>;
  /** null: no such task, or no result of it. @throws GitError when the repository cannot be read; BusyError */
  output(id: TaskId, stream: 'stdout' | 'stderr', signal: AbortSignal): Promise<StreamOutput | null>;
  /** @param listener called after a change, with no promise that there was none before. @returns to be called at the end. */
  onChange(listener: () => void): () => void;
}
