/** Repositories of any size, made with `git fast-import`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { git } from '../../test/support/git.ts';
import { hermeticEnv } from '../../test/support/temp.ts';

const BRANCH = 'refs/heads/main';
const FIRST_COMMIT_S = 1_700_000_000;
const COMMITS_BEHIND_REFS = 100;
/** To a shell, and to the stub engine. */
const NO_OP = 'exit 0';

/** Feeds `git fast-import` as fast as it takes it. @throws Error with what it said */
export async function fastImport(repository: string, stream: Iterable<string>): Promise<void> {
  const child = spawn('git', ['fast-import', '--quiet', '--done'], {
    cwd: repository,
    env: hermeticEnv(tmpdir()),
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const closed = once(child, 'close');
  // Its end shows in the exit code.
  child.stdin.on('error', () => undefined);
  for (const piece of gathered(stream)) {
    if (child.exitCode !== null) break;
    if (!child.stdin.write(piece)) await Promise.race([once(child.stdin, 'drain'), closed]);
  }
  child.stdin.end('done\n');
  const [code] = (await closed) as [number | null];
  if (code !== 0) throw new Error(`git fast-import: ${said}`);
}

/** In pieces that are worth a write. */
function* gathered(stream: Iterable<string>): Iterable<string> {
  const pieceLength = 64 * 1024;
  let piece = '';
  for (const part of stream) {
    piece += part;
    if (piece.length < pieceLength) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}

export interface History {
  commits: number;
  results: number;
  /** Tasks that wait at the tip. */
  queued: number;
}

/**
 * A branch as workers leave it: a commit that queues some tasks, then one that records them and takes their files away, and
 * so on; at last one that queues what still waits.
 */
export function* historyStream({ commits, results, queued }: History): Iterable<string> {
  const pairs = Math.floor((commits - 1) / 2);
  let done = 0;
  for (let pair = 0; pair < pairs; pair += 1) {
    const upTo = Math.round(((pair + 1) * results) / pairs);
    yield commit(2 * pair, `Queue ${upTo - done} tasks`);
    for (let at = done; at < upTo; at += 1)
      yield file(`tasks/queue/${idOf(at, 'task')}.json`, taskText(idOf(at, 'task')));
    yield commit(2 * pair + 1, `Record ${upTo - done} results`);
    for (let at = done; at < upTo; at += 1) {
      yield `D tasks/queue/${idOf(at, 'task')}.json\n${file(`tasks/completed/${idOf(at, 'task')}.json`, recordText(idOf(at, 'task'), at))}`;
    }
    done = upTo;
  }
  yield commit(commits, `Queue ${queued} tasks`);
  yield* queueStream(idsOf(queued, 'waiting'));
}

/** Files of tasks that wait. */
function* queueStream(ids: readonly string[], script = NO_OP): Iterable<string> {
  for (const id of ids) yield file(`tasks/queue/${id}.json`, taskText(id, script));
}

/** One commit on top of the branch that queues so many tasks. Answers their ids. */
export async function queueTasks(
  repository: string,
  count: number,
  prefix: string,
  script: string = NO_OP,
): Promise<string[]> {
  const ids = idsOf(count, prefix);
  const tip = await git(repository, ['rev-parse', '--verify', '--quiet', BRANCH]).catch(() => null);
  const from = tip === null ? '' : `from ${tip}\n`;
  await fastImport(repository, [commit(0, `Queue ${count} tasks`), from, ...queueStream(ids, script)]);
  return ids;
}

export function idsOf(count: number, prefix: string): string[] {
  return Array.from({ length: count }, (_, at) => idOf(at, prefix));
}

/** Refs as a busy repository has them: one half branches of people, the other half heads of pull requests. */
export async function addOrdinaryRefs(repository: string, count: number): Promise<void> {
  const tips = (await git(repository, ['rev-list', `--max-count=${COMMITS_BEHIND_REFS}`, BRANCH])).split('\n');
  const lines = Array.from({ length: count }, (_, at) => {
    const name = at % 2 === 0 ? `refs/heads/topic-${at}` : `refs/pull/${at}/head`;
    return `create ${name} ${tips[at % tips.length]}\n`;
  });
  await git(repository, ['update-ref', '--stdin'], { input: lines.join('') });
  await git(repository, ['pack-refs', '--all']);
}

export function commit(number: number, message: string): string {
  return (
    `commit ${BRANCH}\ncommitter Bench <bench@example.org> ${FIRST_COMMIT_S + 60 * number} +0000\n` +
    `data ${message.length}\n${message}\n`
  );
}

function file(path: string, text: string): string {
  return `M 100644 inline ${path}\ndata ${text.length}\n${text}\n`;
}

export function taskText(id: string, script: string = NO_OP): string {
  return `${JSON.stringify({ task_id: id, script })}\n`;
}

function idOf(number: number, prefix: string): string {
  return `${prefix}-${String(number).padStart(7, '0')}`;
}

/** As workers write them, with what differs from task to task. */
export function recordText(id: string, number: number): string {
  const instant = (seconds: number): string => new Date((FIRST_COMMIT_S + 7 * number + seconds) * 1000).toISOString();
  const noise = (number * 2_654_435_761) % 4_294_967_296;
  const record = {
    schema_version: 1,
    task_id: id,
    node_id: `node-${noise % 17}`,
    attempt: 1,
    status: 'success',
    reason: null,
    message: 'exit code 0',
    exit_code: 0,
    stdout: `result ${noise.toString(36)}\n`,
    stderr: '',
    stdout_bytes: 16,
    stderr_bytes: 0,
    stdout_truncated: false,
    stderr_truncated: false,
    timestamp: instant(3),
    claimed_at: instant(1),
    started_at: instant(2),
    finished_at: instant(3),
    timings_ms: { claim: noise % 97, pull: 0, start: noise % 311, run: noise % 1013, collect: noise % 13 },
    usage: { cpu_seconds: (noise % 1000) / 1000, peak_memory_bytes: 4096 * (noise % 4096) },
    image: { name: 'busybox:stable', digest: null },
    task: { task_id: id, script: 'exit 0' },
    spec_blob: noise.toString(16).padStart(40, '0'),
  };
  return `${JSON.stringify(record, null, 2)}\n`;
}
