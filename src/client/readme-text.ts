/** What a new task repository says of itself. */
import { DEFAULT_TIMEOUT_SECONDS, PRIORITIES } from '../task/task-schema.ts';

export const README_TEXT = `# Task repository

This repository is the queue of a D-GRID. Machines that run \`dgrid-worker\` watch it, run the tasks that they find here
in containers, and commit the results.

## Queue a task

Commit a file \`tasks/queue/<task_id>.json\`, by hand or in a pull request:

\`\`\`json
{
  "task_id": "hello-1",
  "script": "echo hello from $(hostname)",
  "timeout_seconds": 30
}
\`\`\`

The file is named after its \`task_id\`: small letters, figures, \`-\` and \`_\`, at most 63 of them. Subdirectories of
\`tasks/queue\` are welcome. An id is used once; a task that is to run again needs a new one.

| field | meaning |
| --- | --- |
| \`task_id\` | required, the name of the task |
| \`script\` or \`command\` | a shell script, or a program and its arguments as an array; exactly one of the two |
| \`timeout_seconds\` | stopped after this long; ${DEFAULT_TIMEOUT_SECONDS} unless given |
| \`image\`, \`env\`, \`cpus\`, \`memory\` | within what the operators of the machines allow |
| \`priority\` | ${PRIORITIES.join(', ')}; medium unless given |
| \`retries\` | how often to try again after an exit code other than 0 |
| \`requires\` | labels that the machine must have |

\`task.schema.json\` has the same for editors and programs; \`dgrid check\`, in a checkout, says what is wrong with task files.

The command line does it too, and checks the task first:

    dgrid submit --script 'echo hello' --wait
    dgrid submit hello-1.json

## Find the result

| place | holds |
| --- | --- |
| \`tasks/queue/\` | tasks without a result |
| \`tasks/completed/<task_id>.json\` | results of tasks that ended with exit code 0 |
| \`tasks/failed/<task_id>.json\` | all others, with the reason |
| \`tasks/completed/<task_id>/\`, \`tasks/failed/<task_id>/\` | the output, when it is too long for the result file |

While a task is in work its state is in \`refs/dgrid/tasks/\`, not on the branch: \`dgrid status\` and
\`dgrid show <task_id>\` read both.

To take a task back, remove its file from the queue, or run \`dgrid cancel <task_id>\`.

Whoever can write to this repository can have programs run on the machines behind it. Give that right accordingly.
`;
