/** `dgrid top` in real pseudo-terminals, over a real grid: keys pressed, the screen read, the terminal given back. */
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { runClient } from '../../support/client-program.ts';
import { git } from '../../support/git.ts';
import { tryProgram } from '../../support/programs.ts';
import { PseudoTerminal } from '../../support/pseudo-terminal.ts';
import { StubWorkerProcess } from '../../support/stub-worker-process.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../../support/temp.ts';
import { until } from '../../support/until.ts';

const MAIN = fileURLToPath(new URL('../../../src/cli/client-main.ts', import.meta.url));
const PROGRAM = `import(${JSON.stringify(MAIN)}).then((module) => module.main(process.argv))`;

let directory: TempDir;
let repository: string;
let home: string;

beforeEach(async ({ onTestFinished }) => {
  directory = makeTempDir('top');
  const made = directory;
  onTestFinished(() => made.remove());
  home = directory.sub('home');
  mkdirSync(home);
  repository = directory.sub('tasks.git');
  await git(directory.path, ['init', '--quiet', '--bare', '--initial-branch=main', repository]);
});

async function submit(...tasks: object[]): Promise<void> {
  const stdin = tasks.map((task) => JSON.stringify({ script: 'exit 0', ...task })).join('\n');
  expect(await runClient(['submit', '-', '--repo', repository], { home, stdin })).toMatchObject({ code: 0 });
}

async function top(
  size: { columns: number; rows: number },
  onTestFinished: (end: () => void) => void,
  env: Record<string, string> = {},
): Promise<PseudoTerminal> {
  const command = [process.execPath, '-e', PROGRAM, '--', 'dgrid', 'top', '--repo', repository, '--interval', '0.3'];
  const terminal = await PseudoTerminal.start(command, {
    ...size,
    cwd: home,
    env: hermeticEnv(home, { TERM: 'xterm-256color', RETRY_ATTEMPTS: '1', LC_ALL: 'C.UTF-8', ...env }),
  });
  onTestFinished(() => terminal.stop());
  return terminal;
}

function expectGivenBack(terminal: PseudoTerminal): void {
  const { picture } = terminal;
  expect([picture.isOnOtherScreen, picture.cursorIsShown, picture.wraps, picture.unknown]).toEqual([
    false,
    true,
    true,
    [],
  ]);
}

describe('dgrid top', () => {
  it('shows a task from the queue to the end of its output, and cancels another', async ({ onTestFinished }) => {
    await submit({ task_id: 'urgent', priority: 'critical' }, { task_id: 'later', priority: 'low' });
    const terminal = await top({ columns: 100, rows: 24 }, onTestFinished);
    await terminal.shows(/^> urgent +queued +critical/m);
    await terminal.shows(/^2 queued {2}0 in work/m);
    terminal.press('jc');
    await terminal.shows('cancel later? y: yes');
    terminal.press('n');
    await terminal.shows('not cancelled');
    terminal.press('cy');
    await terminal.shows('later cancelled');
    await terminal.shows(/^ {2}later +failed/m);
    expect(await git(repository, ['for-each-ref', '--format=%(refname)'])).toContain('refs/dgrid/tasks/later');
    const worker = StubWorkerProcess.start({ directory: directory.path, name: 'box-1', repoUrl: repository });
    onTestFinished(() => void worker.child.kill('SIGKILL'));
    await submit({ task_id: 'slow', script: 'sleep 5000' });
    await terminal.shows(/^ {2}box-1 +alive +\[█+\] 1\/1/m);
    await terminal.shows(/^[> ] slow +running +medium +box-1 +1 +\d\.\d s/m);
    await terminal.shows(/^ {2}urgent +success .*box-1/m);
    // From one pane to the other, where what was searched for is searched too.
    terminal.press('\t/urgent\r');
    await terminal.shows(/^> urgent +success/m);
    terminal.press('\r');
    await terminal.shows(/^status +success$/m);
    await terminal.shows(/^── stdout \(\d+ bytes\)$/m);
    terminal.press('q/\u001b');
    await terminal.shows(/RESULTS \(\d\)/);
    terminal.press('q');
    expect(await terminal.end()).toEqual({ code: 0, isCooked: true });
    expectGivenBack(terminal);
  });

  it('shows what a task writes as it writes it, stays at the end of it, and goes on to its result', async ({
    onTestFinished,
  }) => {
    const worker = StubWorkerProcess.start({
      directory: directory.path,
      name: 'box-1',
      repoUrl: repository,
      env: { MAX_PARALLEL_TASKS: '2', FOLLOW_INTERVAL: '0.5' },
    });
    onTestFinished(() => void worker.child.kill('SIGKILL'));
    await submit(
      { task_id: 'told', script: 'lines 60 200', follow: true },
      { task_id: 'untold', script: 'sleep 500000' },
    );
    const terminal = await top({ columns: 100, rows: 24 }, onTestFinished);
    await terminal.shows(/^ {2}box-1 +alive +\[█+\] 2\/2/m);
    terminal.press('/untold\r\r');
    await terminal.shows(/^its file does not say "follow": true, so its output comes with its result$/m);
    terminal.press('q\u001b/told\rg');
    await terminal.shows(/^> told +running/m);
    terminal.press('\r');
    await terminal.shows(/^state +in work$/m);
    await terminal.shows(/^── stdout \(\d+ bytes so far\)$/m);
    terminal.press('G');
    // Further down than the screen is high.
    await terminal.shows(/^line 29 /m, 20_000);
    expect(terminal.picture.text).not.toMatch(/^line 5 /m);
    await terminal.shows(/^line 60 /m, 20_000);
    terminal.press('g');
    await terminal.shows(/^status +success$/m, 20_000);
    await terminal.shows(/^── stdout \(\d+ bytes\)$/m);
    terminal.press('qq');
    expect(await terminal.end()).toEqual({ code: 0, isCooked: true });
  });

  it('fits small terminals and follows their size', async ({ onTestFinished }) => {
    await submit(...Array.from({ length: 40 }, (_, at) => ({ task_id: `t-${at + 10}` })));
    const terminal = await top({ columns: 60, rows: 15 }, onTestFinished);
    await terminal.shows('t-10');
    expect(terminal.picture.width).toBeLessThanOrEqual(60);
    expect(terminal.picture.lines[14]).toMatch(/^q quit/);
    await terminal.resize(120, 30);
    await until('a larger frame', () => (terminal.picture.lines[29] ?? '').startsWith('q quit'));
    await terminal.resize(30, 6);
    await terminal.shows('too small: 40x8 is needed');
    terminal.press('\u0003');
    expect(await terminal.end()).toEqual({ code: 0, isCooked: true });
  });

  it('has no colours with NO_COLOR, and some without', async ({ onTestFinished }) => {
    await submit({ task_id: 'a' });
    // oxlint-disable-next-line no-control-regex -- colours
    const colours = /\u001b\[(?:[1-9]|[1-9]\d)m/;
    for (const [env, expected] of [
      [{ NO_COLOR: '1' }, false],
      [{}, true],
    ] as const) {
      const terminal = await top({ columns: 80, rows: 24 }, onTestFinished, env);
      await terminal.shows(/^> a +queued/m);
      terminal.press('q');
      await terminal.end();
      expect(colours.test(terminal.raw)).toBe(expected);
    }
  });

  it('goes on with keys while the repository cannot be read, and says so until it can', async ({ onTestFinished }) => {
    await submit({ task_id: 'a' }, { task_id: 'b' });
    const terminal = await top({ columns: 100, rows: 24 }, onTestFinished);
    await terminal.shows(/^> a +queued/m);
    renameSync(repository, `${repository}.away`);
    await terminal.shows(/^! trying again in .*: git ls-remote failed/m);
    terminal.press('j');
    await terminal.shows(/^> b +queued/m);
    renameSync(`${repository}.away`, repository);
    await until('the problem to go', () => !/^! /m.test(terminal.picture.text), 20_000);
    terminal.press('p');
    await terminal.shows('PAUSED');
    await submit({ task_id: 'c' });
    terminal.press('p');
    await terminal.shows(/^ {2}c +queued/m);
    terminal.press('q');
    expect(await terminal.end()).toEqual({ code: 0, isCooked: true });
  });

  it.each([
    ['SIGTERM', 130],
    ['SIGINT', 130],
    ['SIGHUP', 130],
  ] as const)('gives the terminal back after %s', async (signal, code) => {
    await submit({ task_id: 'a' });
    const terminal = await top({ columns: 80, rows: 24 }, () => undefined);
    await terminal.shows(/^> a +queued/m);
    expect(await terminal.modes()).toContain('-icanon');
    process.kill(terminal.pid, signal);
    expect(await terminal.end()).toEqual({ code, isCooked: true });
    expectGivenBack(terminal);
  });

  it('gives the terminal back after a crash, and its message stays to be read', async ({ onTestFinished }) => {
    await submit({ task_id: 'a' });
    const crash = 'setTimeout(() => { throw new Error("crashed on purpose"); }, 3000).unref();';
    const terminal = await PseudoTerminal.start(
      [process.execPath, '-e', `${crash}${PROGRAM}`, '--', 'dgrid', 'top', '--repo', repository],
      { columns: 80, rows: 24, cwd: home, env: hermeticEnv(home, { TERM: 'xterm' }) },
    );
    onTestFinished(() => terminal.stop());
    await terminal.shows(/^> a +queued/m);
    expect(await terminal.end()).toMatchObject({ isCooked: true });
    expect(terminal.raw.slice(terminal.raw.indexOf('\u001b[?1049l'))).toContain('crashed on purpose');
    expect(terminal.picture.isOnOtherScreen).toBe(false);
  });

  it.each(['key', 'signal'])('is suspended by a %s with the terminal given back, and comes again', async (by) => {
    await submit({ task_id: 'a' });
    const terminal = await top({ columns: 80, rows: 24 }, () => undefined);
    await terminal.shows(/^> a +queued/m);
    if (by === 'key') terminal.press('\u001a');
    else process.kill(terminal.pid, 'SIGTSTP');
    const stateOf = (): string => /\) (\S)/.exec(readFileSync(`/proc/${terminal.pid}/stat`, 'utf8'))?.[1] ?? '';
    await until('it to stop', () => stateOf() === 'T');
    await until('the screen to be given back', () => !terminal.picture.isOnOtherScreen);
    expect(await terminal.modes()).not.toContain('-icanon');
    process.kill(terminal.pid, 'SIGCONT');
    await terminal.shows(/^> a +queued/m);
    expect(await terminal.modes()).toContain('-icanon');
    terminal.press('q');
    expect(await terminal.end()).toEqual({ code: 0, isCooked: true });
  });

  it('needs a terminal, and names what does without', async () => {
    const ends = [
      await runClient(['top', '--repo', repository], { home }),
      await runClient(['top', '--repo', repository, '--json'], { home }),
      await runClient(['top', '--repo', repository, '--interval', '0'], { home }),
    ];
    expect(ends.map(({ code }) => code)).toEqual([2, 2, 2]);
    expect(ends.map(({ err }) => err)).toEqual([
      expect.stringContaining('dgrid status --watch'),
      expect.stringContaining('dgrid status --json'),
      expect.stringContaining('--interval must be a number of seconds from 0.2 to 3600'),
    ]);
    const dumb = await tryProgram(
      'sh',
      [
        '-c',
        'script -qec "$0" /dev/null </dev/null',
        `TERM=dumb ${process.execPath} -e '${PROGRAM}' -- dgrid top --repo ${repository}`,
      ],
      { cwd: home, env: hermeticEnv(home) },
    );
    expect(dumb.stdout).toContain('dgrid status --watch');
  });
});
