/** The tasks of `dgrid demo`: one of every kind of ending. */
import type { NewTask } from '../../client/task-input.ts';
import { taskId } from '../../task/id.ts';
import type { FailureReason } from '../../task/result.ts';

export interface DemoTask extends NewTask {
  /** What it is there to show. */
  shows: string;
  /** null: a success. */
  expected: FailureReason | null;
}

type TaskFile = { task_id: string } & Readonly<Record<string, unknown>>;

const FILES: readonly { shows: string; expected: FailureReason | null; task: TaskFile }[] = [
  {
    shows: 'a good one',
    expected: null,
    task: { task_id: 'hello', script: 'echo "hello from $(uname -s), as user $(id -u)"', priority: 'high' },
  },
  {
    shows: 'a good one that takes a moment',
    expected: null,
    task: {
      task_id: 'sum',
      script: 'n=0; for i in $(seq 1 1000); do n=$((n + i)); done; sleep 1; echo "the sum is $n"',
    },
  },
  {
    shows: 'a program and its arguments, without a shell',
    expected: null,
    task: { task_id: 'arguments', command: ['echo', 'one', 'two words', '$HOME'] },
  },
  {
    shows: 'one that fails',
    expected: 'exit-code',
    task: { task_id: 'failing', script: 'echo "this cannot work" >&2; exit 3' },
  },
  {
    shows: 'one that is too slow',
    expected: 'timeout',
    task: { task_id: 'too-slow', script: 'echo "I take my time"; sleep 60', timeout_seconds: 2 },
  },
  {
    shows: 'one that wants too much memory',
    expected: 'out-of-memory',
    task: {
      task_id: 'too-big',
      script: 'echo "I want it all"; a=0123456789; while :; do a="$a$a"; done',
      memory: '32m',
      timeout_seconds: 20,
    },
  },
  {
    shows: 'an image that is not on the list',
    expected: 'rejected',
    task: { task_id: 'not-allowed', script: 'echo never', image: 'registry.invalid/miner:latest' },
  },
  {
    // Put into the queue as a person could who does not use `dgrid submit`: that would refuse it.
    shows: 'a file that is no task',
    expected: 'invalid-task',
    task: { task_id: 'not-a-task', scirpt: 'echo a slip of the pen' },
  },
];

export function demoTasks(): DemoTask[] {
  return FILES.map(({ shows, expected, task }) => ({
    taskId: taskId(task.task_id),
    content: Buffer.from(`${JSON.stringify(task, null, 2)}\n`),
    source: 'demo',
    signature: null,
    shows,
    expected,
  }));
}
