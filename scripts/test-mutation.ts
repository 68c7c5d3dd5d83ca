/**
 * `npm run test:mutation`: takes the guards of the protocol away, one at a time, and sees whether the checks notice. A guard
 * whose absence nobody notices is a guard without a test.
 *
 * Each guard is taken out of a copy of the source by replacing a piece of text. A piece that is not there any more fails
 * the run, so the list cannot fall behind the code.
 */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

interface Guard {
  name: string;
  /** What is gone without it. */
  without: string;
  file: string;
  edits: readonly { find: string; replace: string; times: number }[];
}

const GUARDS: readonly Guard[] = [
  {
    name: 'nonce',
    without: 'states of the same content are the same object',
    file: 'src/ledger/state-writer.ts',
    edits: [{ find: 'nonce: this.#randomHex(NONCE_BYTES)', replace: "nonce: '0'", times: 3 }],
  },
  {
    name: 'read-back',
    without: 'an unclear answer counts as a loss',
    file: 'src/ledger/settle.ts',
    edits: [
      {
        find: '      else unclear.push(verdict.reason);',
        replace: "      else outcomes.set(swap.ref, { kind: 'lost', current: null });",
        times: 1,
      },
    ],
  },
  {
    name: 'fence',
    without: 'a result is swapped in from whatever the ref holds',
    file: 'src/ledger/claims.ts',
    edits: [
      {
        find: 'swap: { ref, from: claim.oid, to: written.commit.oid },',
        replace:
          'swap: { ref, from: this.#parts.reader.view.tasks.get(claim.taskId)?.oid ?? claim.oid, to: written.commit.oid },',
        times: 1,
      },
    ],
  },
  {
    name: 'fresh readings',
    without: "an observer's own silence counts against others, and one reading suffices",
    file: 'src/ledger/death-watch.ts',
    edits: [
      {
        find: 'const forget = gap > this.#maxGapMs;',
        replace: 'const forget = false && gap > this.#maxGapMs;',
        times: 1,
      },
      { find: 'watched.reads >= MIN_READS && ', replace: '', times: 1 },
    ],
  },
  {
    name: 'second look',
    without: 'a claim from nothing starts at once',
    file: 'src/ledger/claims.ts',
    edits: [{ find: "candidate.from ? 'verified' : 'won'", replace: "'verified'", times: 1 }],
  },
  {
    name: 'order of recording',
    without: 'refs go before their record has come',
    file: 'src/ledger/recorder.ts',
    edits: [
      {
        find: "if (state?.kind !== 'state' || !view.queue.recordOf(taskId)) continue;",
        replace:
          "if (state?.kind !== 'state' || (state.state.state !== 'finished' && !view.queue.recordOf(taskId))) continue;",
        times: 1,
      },
    ],
  },
  {
    name: 'later claim',
    without: 'live output takes the place of that of a later claim',
    file: 'src/agent/output-tap.ts',
    edits: [
      {
        find: 'return decoded.state.epoch < epoch || (decoded.state.epoch === epoch && decoded.state.nodeId === nodeId);',
        replace: 'return true;',
        times: 1,
      },
    ],
  },
];

/** Each of these passes on the code as it is. */
const CHECKS: readonly { name: string; command: readonly string[] }[] = [
  { name: 'simulation', command: ['node', 'scripts/simulate.ts', '--seeds', '1000'] },
  {
    name: 'unit tests',
    command: ['node_modules/.bin/vitest', 'run', '--project', 'unit', 'test/unit/ledger', 'test/unit/agent'],
  },
];

/** A guard that is gone can make a loop endless. */
const CHECK_LIMIT_MS = 240_000;
const CHECK_MEMORY_MIB = 2_048;
const COPIED = ['src', 'test', 'scripts', 'bin', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

const { values } = parseArgs({ options: { guard: { type: 'string' } } });
const chosen = GUARDS.filter(({ name }) => values.guard === undefined || name === values.guard);
if (chosen.length === 0) throw new Error(`--guard takes one of: ${GUARDS.map(({ name }) => name).join(', ')}`);

const root = join(import.meta.dirname, '..');
const copy = await mkdtemp(join(tmpdir(), 'dgrid-guards-'));
try {
  for (const name of COPIED) await cp(join(root, name), join(copy, name), { recursive: true });
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  let unnoticed = 0;
  const broken = await noticedBy();
  if (broken.length > 0) throw new Error(`with all guards in place these fail: ${broken.join(', ')}`);
  console.log('all guards in place: every check passes');
  for (const guard of chosen) {
    const path = join(copy, guard.file);
    const original = await readFile(path, 'utf8');
    await writeFile(path, without(guard, original));
    const noticed = await noticedBy();
    await writeFile(path, original);
    if (noticed.length === 0) unnoticed += 1;
    console.log(
      `without ${guard.name} (${guard.without}): ${noticed.length > 0 ? `noticed by ${noticed.join(', ')}` : 'UNNOTICED'}`,
    );
  }
  console.log(`${chosen.length - unnoticed} passed, ${unnoticed} failed`);
  process.exitCode = unnoticed > 0 ? 1 : 0;
} finally {
  await rm(copy, { recursive: true, force: true });
}

function without({ name, file, edits }: Guard, source: string): string {
  let mutated = source;
  for (const { find, replace, times } of edits) {
    const found = mutated.split(find).length - 1;
    if (found !== times) throw new Error(`the guard "${name}" is ${found} times in ${file}, not ${times}: ${find}`);
    mutated = mutated.replaceAll(find, () => replace);
  }
  return mutated;
}

async function noticedBy(): Promise<string[]> {
  const noticed: string[] = [];
  for (const { name, command } of CHECKS) {
    const failure = await failureOf(command);
    if (failure !== null) noticed.push(`${name} (${failure})`);
  }
  return noticed;
}

/** null when the command succeeds; otherwise what it objected to, in short. */
function failureOf([program = '', ...args]: readonly string[]): Promise<string | null> {
  const path = program === 'node' ? process.execPath : join(copy, program);
  return new Promise((resolve) => {
    const env = { ...process.env, NODE_OPTIONS: `--max-old-space-size=${CHECK_MEMORY_MIB}` };
    const limits = { timeout: CHECK_LIMIT_MS, killSignal: 'SIGKILL', maxBuffer: 2 ** 28 } as const;
    execFile(path, args, { cwd: copy, env, ...limits }, (error, stdout) => {
      if (!error) resolve(null);
      else resolve(summaryOf(stdout) || error.message.split('\n')[0] || 'failed');
    });
  });
}

/** The oracle's rules that were broken, or the tests that failed. */
function summaryOf(stdout: string): string {
  const rules = [...stdout.matchAll(/^ {2}([a-z-]+) \S*: /gm)].map(([, rule]) => rule as string);
  const seeds = [...stdout.matchAll(/^seed \d+:/gm)].length;
  if (seeds > 0) return `${seeds} seeds, rules: ${[...new Set(rules)].join(', ')}`;
  return /(\d+ passed, \d+ failed)/.exec(stdout)?.[1] ?? '';
}
