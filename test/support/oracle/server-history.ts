/**
 * The truth about a repository: every move of every ref, written down by Git itself, in the order in which it made them.
 *
 * A `reference-transaction` hook appends a line for each ref that is about to move. It runs while the refs are locked, so
 * the order of a ref's lines is the order of its moves; and what one process learned from another's move stands after
 * that. A process that is killed between its line and the move leaves that open: the next line of the ref, or what it
 * holds at the end, tells. Nobody may move refs by other means than Git, nor force them without naming the old value.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { appendFile, chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseObjectBatch } from '../../../src/git/object-batch.ts';
import type { GitObject } from '../../../src/git/objects.ts';
import { isOid, type ObjectFormat, type Oid, type RefName, refName } from '../../../src/git/oid.ts';
import { git, gitBytes } from '../git.ts';
import { hermeticEnv } from '../temp.ts';
import type { History, RefChange } from './history.ts';

const LOG_FILE = 'oracle.log';
/** Larger ones (a directory of thousands of records, of which each commit has its own) are read one by one when asked for. */
const MAX_HELD_BYTES = 32 * 1024;
const MAX_READ_BYTES = 256 * 1024 * 1024;

interface HookLine {
  timeMs: number;
  /** The process that has the refs locked. */
  pid: string;
  ref: RefName;
  from: Oid | null;
  to: Oid | null;
}

/**
 * Whatever happens here, the move goes on. A shell without programs of its own: two of these run for each ref that is
 * pushed, and `prepared` alone is enough. The time is read in hundredths of a second since the machine started.
 */
function hook(log: string): string {
  return `#!/bin/sh
[ "$1" = prepared ] || exit 0
{
  read -r up idle </proc/uptime
  while read -r old new ref; do
    echo "$up $PPID $old $new $ref"
  done
} 2>/dev/null >>'${log.replaceAll("'", `'\\''`)}'
exit 0
`;
}

export class ServerHistory {
  readonly #repository: string;
  readonly #format: ObjectFormat;
  /** Wall-clock time of the machine's start. */
  readonly #startedAtMs: number;
  readonly #before: readonly { ref: RefName; oid: Oid }[];
  readonly #installedAtMs: number;

  private constructor(parts: {
    repository: string;
    format: ObjectFormat;
    startedAtMs: number;
    before: readonly { ref: RefName; oid: Oid }[];
    installedAtMs: number;
  }) {
    this.#repository = parts.repository;
    this.#format = parts.format;
    this.#startedAtMs = parts.startedAtMs;
    this.#before = parts.before;
    this.#installedAtMs = parts.installedAtMs;
  }

  /** Begins to write down what happens in a bare repository, in which nobody moves refs just now. */
  static async install(repository: string): Promise<ServerHistory> {
    // Objects of what was replaced are evidence.
    await git(repository, ['config', 'gc.auto', '0']);
    await git(repository, ['config', 'receive.autogc', 'false']);
    const format = (await git(repository, ['rev-parse', '--show-object-format'])) as ObjectFormat;
    const log = join(repository, LOG_FILE);
    await appendFile(log, '');
    await mkdir(join(repository, 'hooks'), { recursive: true });
    const path = join(repository, 'hooks', 'reference-transaction');
    await writeFile(path, hook(log));
    await chmod(path, 0o755);
    // Both clocks in one turn: on a busy machine, whatever comes in between would count as a difference.
    const uptimeSeconds = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
    const installedAtMs = Date.now();
    return new ServerHistory({
      repository,
      format,
      startedAtMs: installedAtMs - uptimeSeconds * 1_000,
      before: await heldRefs(repository),
      installedAtMs,
    });
  }

  /** Everything so far. To be called when nobody pushes any more. */
  async read(): Promise<Pick<History, 'format' | 'changes' | 'object'>> {
    const lines = parseLog(await readFile(join(this.#repository, LOG_FILE), 'utf8'), this.#startedAtMs);
    const now = new Map((await heldRefs(this.#repository)).map(({ ref, oid }) => [ref, oid]));
    const before = this.#before.map(({ ref, oid }) => ({ timeMs: this.#installedAtMs, ref, from: null, to: oid }));
    const changes = [...before, ...movesOf(lines, this.#before, now)].map((change, seq) => ({ seq, ...change }));
    return { format: this.#format, changes, object: await this.#objects() };
  }

  async #objects(): Promise<(oid: Oid) => GitObject | null> {
    const sizes = await git(this.#repository, [
      'cat-file',
      '--batch-all-objects',
      '--unordered',
      '--batch-check=%(objectname) %(objectsize)',
    ]);
    const small: string[] = [];
    const large = new Set<string>();
    for (const line of sizes.split('\n')) {
      const [oid = '', bytes = ''] = line.split(' ');
      if (Number(bytes) > MAX_HELD_BYTES) large.add(oid);
      else if (oid !== '') small.push(oid);
    }
    const input = small.map((oid) => `${oid}\n`).join('');
    const held = parseObjectBatch(await gitBytes(this.#repository, ['cat-file', '--batch'], { input }), this.#format);
    return (oid) => held.objects.get(oid) ?? (large.has(oid) ? this.#readNow(oid) : null);
  }

  #readNow(oid: Oid): GitObject | null {
    const output = execFileSync('git', ['cat-file', '--batch'], {
      cwd: this.#repository,
      env: hermeticEnv(tmpdir()),
      input: `${oid}\n`,
      maxBuffer: MAX_READ_BYTES,
    });
    return parseObjectBatch(output, this.#format).objects.get(oid) ?? null;
  }
}

async function heldRefs(repository: string): Promise<{ ref: RefName; oid: Oid }[]> {
  const out = await git(repository, ['for-each-ref', '--format=%(objectname) %(refname)']);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ oid: line.slice(0, line.indexOf(' ')) as Oid, ref: refName(line.slice(line.indexOf(' ') + 1)) }));
}

export function parseLog(text: string, startedAtMs: number): HookLine[] {
  return text.split('\n').flatMap((line) => {
    const [up = '', pid = '', old = '', now = '', ref = ''] = line.split(' ');
    // A line that breaks off was being written by a hook that was killed; its move never came.
    if (!/^\d+\.\d+$/.test(up) || !isOid(old) || !isOid(now) || !ref.startsWith('refs/')) return [];
    const timeMs = startedAtMs + Number(up) * 1_000;
    return [{ timeMs, pid, ref: refName(ref), from: orNull(old), to: orNull(now) }];
  });
}

function orNull(oid: Oid): Oid | null {
  return /^0+$/.test(oid) ? null : oid;
}

/** The moves that were made, out of those that were about to be made. */
export function movesOf(
  lines: readonly HookLine[],
  before: readonly { ref: RefName; oid: Oid }[],
  now: ReadonlyMap<RefName, Oid>,
): Omit<RefChange, 'seq'>[] {
  const held = new Map<RefName, Oid>(before.map(({ ref, oid }) => [ref, oid]));
  const linesOf = new Map<RefName, HookLine[]>();
  for (const line of lines) {
    const earlier = linesOf.get(line.ref);
    if (earlier) earlier.push(line);
    else linesOf.set(line.ref, [line]);
  }
  const made = new Map<HookLine, Omit<RefChange, 'seq'>>();
  for (const [ref, own] of linesOf) {
    let at = held.get(ref) ?? null;
    const real = withoutPacking(own, at);
    for (const [index, line] of real.entries()) {
      const next = real[index + 1];
      const after = next ? next.from : (now.get(ref) ?? null);
      const stayed = after === line.from && after !== line.to;
      if (stayed) continue;
      const { timeMs, to } = line;
      made.set(line, { timeMs, ref, from: line.from ?? at, to });
      at = to;
    }
  }
  return lines.flatMap((line) => made.get(line) ?? []);
}

/**
 * Git's second store of refs takes part in each deletion, from nothing to nothing. When refs are packed, they enter it with
 * the value that they have, and leave the other one.
 */
function withoutPacking(lines: readonly HookLine[], before: Oid | null): HookLine[] {
  let last = before;
  let packedBy: string | null = null;
  return lines.filter(({ from, pid, to }) => {
    if (from === null && to === null) return false;
    if (from === null && to === last) {
      packedBy = pid;
      return false;
    }
    if (to === null && pid === packedBy) return false;
    last = to;
    return true;
  });
}
