/** Completion in the real shells, asked for as people do: with the Tab key, in a pseudo-terminal. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { completionScript, SHELLS, type Shell } from '../../../src/cli/completion/scripts.ts';
import { git } from '../../support/git.ts';
import { installMissing, runProgram, tryProgram } from '../../support/programs.ts';
import { programsInPath } from '../../support/programs-in-path.ts';
import { PseudoTerminal } from '../../support/pseudo-terminal.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../../support/temp.ts';
import { until } from '../../support/until.ts';

const INTERACTIVE: Readonly<Record<Shell, readonly string[]>> = {
  bash: ['bash', '--noprofile', '--norc', '-i'],
  zsh: ['zsh', '-f', '-i'],
  fish: ['fish', '--no-config', '--private', '-i'],
};
const SET_UP: Readonly<Record<Shell, string>> = {
  bash: 'bind "set bell-style none"; bind "set completion-query-items 0"; source <(dgrid completion bash)',
  zsh: 'unsetopt beep; autoload -Uz compinit; compinit -u -D; source <(dgrid completion zsh)',
  fish: 'set -U fish_greeting; dgrid completion fish | source',
};
/** Whatever a description holds, and a value that readline and zsh take apart. */
const NASTY = `it's "quoted": a\\b $(touch pwned) \`touch pwned\` 100% ; | & <x> *`;

let directory: TempDir;
let lines = 0;
let home: string;
let env: Record<string, string>;

beforeAll(async () => {
  await installMissing({ zsh: 'zsh', fish: 'fish' });
  directory = makeTempDir('completion');
  home = directory.sub('home');
  mkdirSync(home);
  const bin = programsInPath(directory.sub('bin'));
  const repository = directory.sub('tasks.git');
  env = hermeticEnv(home, { TERM: 'xterm', LC_ALL: 'C.UTF-8', DGRID_REPO_URL: repository });
  env['PATH'] = `${bin}:${env['PATH']}`;
  await git(directory.path, ['init', '--quiet', '--bare', '--initial-branch=main', repository]);
  for (const id of ['build-1', 'build-2', 'other']) {
    await runProgram('dgrid', ['submit', '--script', 'true', '--id', id], { env, cwd: home });
  }
  writeFileSync(join(home, 'task one.json'), '{}');
  mkdirSync(join(home, 'tasks'));
});
afterAll(() => directory.remove());

async function shell(name: Shell, more: Record<string, string> = {}): Promise<PseudoTerminal> {
  const terminal = await PseudoTerminal.start(INTERACTIVE[name], {
    columns: 200,
    rows: 50,
    cwd: home,
    env: { ...env, PS1: '$ ', ...more },
  });
  terminal.press(`${SET_UP[name]}; echo rea''dy\r`);
  await until('the shell', () => /^ready/m.test(plain(terminal.raw)), 30_000);
  return terminal;
}

function plain(raw: string): string {
  return stripVTControlCharacters(raw).replaceAll('\r', '\n');
}

/** Types it with a Tab at its end; what the shell writes then. */
async function completed(terminal: PseudoTerminal, typed: string, expected: RegExp): Promise<string> {
  const before = terminal.raw.length;
  terminal.press(`${typed}\t`);
  const answer = (): string => plain(terminal.raw.slice(before));
  await until(`completion of ${typed}`, () => expected.test(answer()), 15_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; written: ${JSON.stringify(answer())}`);
  });
  // Away with the line, without a signal: that would throw away what is typed next.
  lines += 1;
  terminal.press(`\u0015echo ne''xt-${lines}\r`);
  await until('the next prompt', () => answer().includes(`\nnext-${lines}\n`), 15_000);
  return answer();
}

describe.each(SHELLS)('in %s', (name) => {
  it('commands, options, values, ids of tasks and files come with the Tab key', async ({ onTestFinished }) => {
    const terminal = await shell(name);
    onTestFinished(() => terminal.stop());
    await completed(terminal, 'dgrid statu', /dgrid status /);
    await completed(terminal, 'dgrid submit --prio', /--priority /);
    await completed(terminal, 'dgrid submit --priority crit', /critical/);
    await completed(terminal, 'dgrid check --format=git', /--format=github/);
    await completed(terminal, 'dgrid show oth', /show other/);
    // More than one: as far as they are the same.
    await completed(terminal, 'dgrid cancel bui', /cancel build-/);
    await completed(terminal, 'dgrid check task\\ o', /task\\ one\.json/);
    await completed(terminal, 'dgrid keys revo', /keys revoke /);
  });

  it('shows nothing acted upon of what the program answers', async ({ onTestFinished }) => {
    const bin = directory.sub(`fake-${name}`);
    mkdirSync(bin);
    const script = completionScript(name, 'dgrid');
    writeFileSync(join(bin, 'script'), script);
    writeFileSync(join(bin, 'answer'), `we:ird=1\t${NASTY}\nwe:ird=2\t${NASTY}\n`);
    writeFileSync(
      join(bin, 'dgrid'),
      `#!/bin/sh\nif [ "$2" = query ]; then cat '${join(bin, 'answer')}'; else cat '${join(bin, 'script')}'; fi\n`,
    );
    chmodSync(join(bin, 'dgrid'), 0o755);
    const terminal = await shell(name, { PATH: `${bin}:${env['PATH']}` });
    onTestFinished(() => terminal.stop());
    // The first Tab writes what they have in common; bash shows the list with the third.
    const list = name === 'bash' ? /\n1 +2/ : /it's "quoted": a\\b \$\(touch pwned\) `touch pwned` 100% ; \| & <x> \*/;
    await completed(terminal, 'dgrid we\t\t', list);
    const files = await tryProgram('ls', ['-A'], { cwd: home });
    expect(files.stdout).not.toContain('pwned');
  });
});

describe('the scripts', () => {
  it('of both programs are right in their shells', async () => {
    for (const program of ['dgrid', 'dgrid-worker']) {
      for (const name of SHELLS) {
        const script = await runProgram(program, ['completion', name], { env, cwd: home });
        expect(script).toBe(completionScript(name, program));
        writeFileSync(join(home, 'script'), script);
        const { code, stderr } = await tryProgram(name, ['-n', join(home, 'script')], { env, cwd: home });
        expect([code, stderr], name).toEqual([0, '']);
      }
    }
    const registered = await runProgram(
      'bash',
      ['-c', 'source <(dgrid-worker completion bash); complete -p dgrid-worker'],
      { env, cwd: home },
    );
    expect(registered).toBe('complete -F _dgrid_worker_complete dgrid-worker\n');
    const answer = await runProgram(
      'fish',
      ['--no-config', '-c', 'dgrid-worker completion fish | source; complete -C "dgrid-worker start --profile "'],
      { env, cwd: home },
    );
    expect(
      answer
        .trim()
        .split('\n')
        .map((line) => line.split('\t')[0])
        .toSorted((a = '', b = '') => a.localeCompare(b)),
    ).toEqual(['edge', 'high-throughput', 'low-resource']);
  });

  it('are found by zsh in a directory of its own, also that of the worker', async ({ onTestFinished }) => {
    const place = directory.sub('functions');
    mkdirSync(place);
    for (const program of ['dgrid', 'dgrid-worker']) {
      writeFileSync(join(place, `_${program}`), completionScript('zsh', program));
    }
    const terminal = await PseudoTerminal.start(INTERACTIVE.zsh, {
      columns: 200,
      rows: 50,
      cwd: home,
      env: { ...env, PS1: '$ ' },
    });
    onTestFinished(() => terminal.stop());
    terminal.press(`unsetopt beep; fpath=(${place} $fpath); autoload -Uz compinit; compinit -u -D; echo rea''dy\r`);
    await until('the shell', () => /^ready/m.test(plain(terminal.raw)), 30_000);
    // The first time and once more: what is loaded takes its own place.
    await completed(terminal, 'dgrid statu', /dgrid status /);
    await completed(terminal, 'dgrid cance', /dgrid cancel /);
    await completed(terminal, 'dgrid-worker conf', /dgrid-worker config /);
    await completed(terminal, 'dgrid-worker start --profile=ed', /--profile=edge /);
  });

  it('refuse a shell that there is none for', async () => {
    const { code, stderr } = await tryProgram('dgrid', ['completion', 'tcsh'], { env, cwd: home });
    expect([code, stderr]).toEqual([2, expect.stringContaining('bash, zsh, fish')]);
  });
});
