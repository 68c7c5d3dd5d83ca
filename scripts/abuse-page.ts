/** `docs/abuse.md`, made from what one run of `test/abuse` with DGRID_ABUSE_SAVE saw. */
import type { AbuseDocument, AbuseRow } from '../test/support/abuse/document.ts';

export const ABUSE_RESULTS_PATH = 'docs/abuse/results.json';
export const ABUSE_PAGE_PATH = 'docs/abuse.md';

const INTRODUCTION = [
  '# Under abuse',
  '',
  '<!-- Made by `npm run docs` from docs/abuse/results.json. Do not edit. -->',
  '',
  'What a task brings along is a stranger’s. Nothing that it does may hurt the box, get out, starve its neighbours or take ' +
    'the worker down. This page says what was tried, and what came of it; [README](../README.md#security-in-short) says ' +
    'which walls there are, and [tasks.md](tasks.md#where-it-runs) what a task finds.',
  '',
  'Each row is a real task, queued in a real repository, and run by a real worker on a container engine of its own, with ' +
    'other attacks and ordinary tasks beside it. It passes when all of this holds:',
  '',
  '- the record has the right reason, at the first attempt, and its processes are gone within the task’s limit and 5 seconds;',
  '- the worker stays below 200 MiB of resident memory, and is in good health at the end: it leaves with exit code 0, and ' +
    'its log tells of no trouble with the engine;',
  '- the ordinary tasks at the same time and the next one after it find all that they need, and nothing that is not theirs;',
  '- no process of it is there when its container has ended; when the worker has left, no container, mount, cgroup, network ' +
    'namespace, volume, System V memory or file is on the machine that was not there before;',
  '- canaries are untouched: files that anybody may write (in the directory for temporary files, and among the engine’s ' +
    'data), a process, listeners on loopback and on an abstract socket; and secrets in the worker’s environment, one of them ' +
    'its token, stand in no record, commit or log;',
  '- of the doors that it tried, each was tried and held. A door is tried by the system call itself, and those that can be ' +
    'opened without harm are tried once in a container without walls too, where they have to open.',
  '',
  '<!-- not run: it takes an hour; test/abuse has the same in small -->',
  '```sh',
  'npm run build',
  'DGRID_ABUSE_SAVE=docs/abuse/results.json npx vitest run test/abuse   # as root',
  'npm run docs && npm run format                                       # this page',
  '```',
  '',
];

/** By judgement, not by measurement. */
const LIMITS = [
  '## What is only bounded by the kernel',
  '',
  'Containers share the kernel of their machine, and all tasks have one user (65534). So these hold only as far as the ' +
    'kernel holds them. Where that is not enough, a sandboxing runtime (`DOCKER_RUNTIME`) gives each task a kernel of its own.',
  '',
  '- **What the kernel counts by user**, or for the whole machine, is shared by all tasks of a box, and with whatever else ' +
    'runs there as user 65534: notifiers of files (`fs.inotify.max_user_instances`, 128 by default), bytes of POSIX message ' +
    'queues, signals that wait, and terminals (`kernel.pty.max`, less `kernel.pty.reserve`). A task can take all of them ' +
    'until it ends, and another that needs one finds none. No setting of a container divides them.',
  '- **Memory of the kernel** that a task causes (names of files, inodes, pipes, sockets) counts as memory of the task, ' +
    'unless the machine was started with `cgroup.memory=nokmem`.',
  '- **What the engine does for a task** is not part of the task’s share of the processors: a flood of output keeps the ' +
    'engine and the worker busy as long as it lasts. What is kept of it on disk is bounded, what is written in all is not. Of very short lines the engine may still have so many to write when the task ' +
    'has been ended that it says so some seconds later (13 were seen): its processes are gone, but its record comes by as much later, and its ' +
    'place is taken until then (`empty-lines`).',
  '- **`sync`** makes the kernel write out all disks, whoever asks.',
  '- **System calls that the engine lets through** are the engine’s choice: its own seccomp profile is kept, so a newer ' +
    'engine closes more. What this one leaves open stands under “What stays open”.',
  '- **`/proc` tells of the machine**: its load, memory, kernel, and where the engine keeps its data. None of it can be ' +
    'changed from there.',
  '',
];

const FOUND = [
  '## What was found',
  '',
  '- A task could read the word with which the worker’s first steps in its container prove that it is they who speak, and say ' +
    'in their name that its script never came: it would have been started again and again, until it counted as lost. Once ' +
    'they have said their last word, nothing is believed to be theirs (`forged-words`).',
  '- Docker Engine 20.10 lets a task without a network open AF_VSOCK sockets, which belong to no network namespace: on a ' +
    'virtual machine they lead to its hypervisor. Engine 23 and newer refuse them. The worker cannot add to the engine’s ' +
    'seccomp profile, only replace it, so it leaves it alone; `dgrid-worker doctor` warns of such an engine, and says what to do.',
  '- One task can take all notifiers, message queues and terminals that the kernel has for the user of all tasks ' +
    '(`limits-of-its-user`). They are free again when it ends; until then this is not mended.',
  '',
  '## What was not tried',
  '',
  '- Holes in the kernel, the container runtime or the engine. Who fears those needs another kernel for tasks.',
  '- Networks other than `none`: they give a task whatever they reach.',
  '- Engines, runtimes, versions of cgroups and processors other than those above; programs with file capabilities.',
  '- Machines whose engine runs with `userns-remap` or without root.',
  '',
];

/** @param documents none: nothing was kept with this version */
export function abusePage(documents: readonly AbuseDocument[]): string {
  const lines = [...INTRODUCTION];
  if (documents.length === 0) lines.push('No results are kept with this version.', '');
  else lines.push(...machineLines(documents), ...documents.flatMap(themeLines), ...openLines(documents));
  return `${[...lines, ...LIMITS, ...FOUND].join('\n').trimEnd()}\n`;
}

function machineLines(documents: readonly AbuseDocument[]): string[] {
  const [first] = documents;
  if (first === undefined) return [];
  const { engine, machine } = first;
  const dates = [...new Set(documents.map(({ date }) => date.slice(0, 10)))];
  const commits = [...new Set(documents.map((each) => each.machine.commit))];
  const peak = (pick: (peak: AbuseDocument['peak']) => number): number =>
    Math.max(...documents.map((each) => pick(each.peak)));
  const runs = documents.flatMap(({ rows }) => rows);
  const neighbours = runs.reduce((sum, row) => sum + row.neighbours, 0);
  return [
    '## Outcome',
    '',
    `${runs.length} runs of ${new Set(runs.map(({ attack }) => attack)).size} attacks in ` +
      `${documents.reduce((sum, { seconds }) => sum + seconds, 0)} s: ${counted(
        documents.flatMap(({ harm }) => harm),
        'canary was',
        'canaries were',
      )} ` +
      `touched, ${counted(
        documents.flatMap(({ leftovers }) => leftovers),
        'thing was',
        'things were',
      )} left on the machine. ` +
      `${runs.reduce((sum, { held }) => sum + held, 0)} doors held. Ordinary tasks were looked at ${neighbours} times, ` +
      `as neighbours of one attack or another; the slowest took ${Math.max(...runs.map((row) => row.slowestNeighbourS))} s ` +
      'from its claim.',
    '',
    `Figures seen on ${dates.join(' and ')} at commit ${commits.join(' and ')}: ${machine.processor}, ${machine.cores} cores, ` +
      `${machine.memoryGib} GiB, ${machine.system}, Docker Engine ${engine.version} (API ${engine.apiVersion}) on cgroup ` +
      `v${engine.cgroupVersion}, ${engine.storage}, with ${engine.security.join(' and ') || 'no security module'}. The worker ` +
      `held at most ${peak(({ workerMib }) => workerMib)} MiB, the engine’s daemon ${peak(({ engineMib }) => engineMib)} MiB, ` +
      `and all logs of containers ${peak(({ logMib }) => logMib)} MiB.`,
    '',
  ];
}

function counted(list: readonly string[], one: string, many: string): string {
  return list.length === 1 ? `1 ${one}` : `${list.length === 0 ? 'no' : list.length} ${many}`;
}

function themeLines({ rows, title }: AbuseDocument): string[] {
  return [
    `## ${title.charAt(0).toUpperCase()}${title.slice(1)}`,
    '',
    '| attack | what it does | given as | recorded | took, of at most | worker | doors that held | left |',
    '| --- | --- | --- | --- | ---: | ---: | ---: | ---: |',
    ...rows.map(rowLine),
    '',
  ];
}

function rowLine(row: AbuseRow, index: number, rows: readonly AbuseRow[]): string {
  const isNew = rows[index - 1]?.attack !== row.attack;
  const cells = [
    isNew ? `\`${row.attack}\`` : '',
    isNew ? cell(row.does) : '',
    row.way === 'command' ? 'command' : row.warm ? 'script, to a container that waited' : 'script',
    recorded(row),
    // The engine may be busy with its output when it has ended.
    `${row.seconds.toFixed(1)} ${row.seconds > row.limitS + 5 ? `(its processes: ${row.aliveS.toFixed(1)}) ` : ''}of ${row.limitS} s`,
    `${row.workerMib} MiB`,
    row.held === 0 ? '' : row.held,
    row.left,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Of the output, when it was more than a task has to say. */
const MUCH_BYTES = 1_000_000;

function recorded({ exitCode, reason, wroteBytes }: AbuseRow): string {
  const how = reason === null ? 'success' : `\`${reason}\`${exitCode === null ? '' : `, exit code ${exitCode}`}`;
  return wroteBytes < MUCH_BYTES ? how : `${how}, after ${Math.round(wroteBytes / 1e6)} MB of output`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function openLines(documents: readonly AbuseDocument[]): string[] {
  const open = [...new Set(documents.flatMap(({ rows }) => rows.flatMap((row) => row.open)))];
  return [
    '## What stays open',
    '',
    'Doors that no task of this run was kept from, because the engine or the kernel does not close them:',
    '',
    ...(open.length === 0 ? ['- none that was tried'] : open.map((line) => `- ${line}`)),
    '',
  ];
}
