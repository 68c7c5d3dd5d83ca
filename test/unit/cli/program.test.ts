import { describe, expect, test } from 'vitest';
import { CLIENT_COMMANDS } from '../../../src/cli/client/commands.ts';
import { CLIENT_PROGRAM } from '../../../src/cli/client-main.ts';
import { displayWidth } from '../../../src/cli/display-width.ts';
import { Failure } from '../../../src/cli/failure.ts';
import { Interruption } from '../../../src/cli/interruption.ts';
import { Output } from '../../../src/cli/output.ts';
import {
  type AddCommand,
  buildProgram,
  type Cli,
  clientSettings,
  defineCommand,
  outputOf,
  type ProgramInfo,
  runProgram,
  type Surroundings,
} from '../../../src/cli/program.ts';
import { ProgressBar } from '../../../src/cli/progress-bar.ts';
import { WORKER_COMMANDS } from '../../../src/cli/worker/commands.ts';
import { WORKER_PROGRAM } from '../../../src/cli/worker-main.ts';
import { systemClock } from '../../../src/runtime.ts';

const SECRET = 'hunter22-hunter22';

interface World extends Surroundings {
  out: string;
  err: string;
}

function world(more: { env?: Record<string, string>; isTTY?: boolean; columns?: number } = {}): World {
  const self: World = {
    out: '',
    err: '',
    env: more.env ?? {},
    // No .env is in a place that does not exist.
    machine: { cwd: '/nowhere', hostName: 'box', homeDir: '/home/me', isRoot: false, xdgStateHome: null },
    clock: systemClock,
    stdout: { isTTY: more.isTTY ?? false, columns: more.columns ?? 80, write: (text) => (self.out += text) },
    stderr: { isTTY: more.isTTY ?? false, columns: more.columns ?? 80, write: (text) => (self.err += text) },
    interruption: new Interruption(() => {}),
  };
  return self;
}

function run(
  cli: Surroundings,
  program: ProgramInfo,
  commands: readonly AddCommand[],
  ...args: string[]
): Promise<number> {
  return runProgram(program, commands, ['node', program.name, ...args], cli);
}

const worker = (cli: Surroundings, ...args: string[]): Promise<number> =>
  run(cli, WORKER_PROGRAM, WORKER_COMMANDS, ...args);

/** For building without running. */
function whole(surroundings: Surroundings): Cli {
  return { ...surroundings, output: (json) => new Output({ ...surroundings, json }), setExitCode: () => {} };
}

function failing(error: () => unknown): AddCommand {
  return (program, cli) => {
    const command = defineCommand(program, cli, {
      name: 'fail',
      summary: 'fail',
      description: 'Fails.',
      examples: ['dgrid fail'],
      settings: 'client',
    });
    command.action(() => {
      throw error();
    });
  };
}

describe.each([[WORKER_PROGRAM, WORKER_COMMANDS] as const, [CLIENT_PROGRAM, CLIENT_COMMANDS] as const])(
  '$name',
  (info, commands) => {
    test('every command has --json, a summary, and help with an example', async () => {
      for (const { name } of buildProgram(info, commands, whole(world())).commands.map((command) => ({
        name: command.name(),
      }))) {
        const cli = world();
        expect(await run(cli, info, commands, name, '--help'), name).toBe(0);
        expect(cli.out).toContain('--json');
        expect(cli.out).toMatch(new RegExp(`Examples?:\n {2}${info.name} ${name}`));
        expect(cli.err).toBe('');
      }
    });
    test('help and version', async () => {
      const cli = world();
      expect(await run(cli, info, commands, '--help')).toBe(0);
      expect(await run(cli, info, commands, '--version')).toBe(0);
      expect(cli.out).toContain(`Usage: ${info.name}`);
      expect(cli.out).toMatch(/^\d+\.\d+\.\d+\n$/m);
    });
  },
);

describe('wrong usage', () => {
  test.each([[[]], [['cofig']], [['config', '--bogus']], [['config', 'extra']], [['config', '--repo']]])(
    '%j exits with 2 and says so on stderr',
    async (args) => {
      const cli = world();
      expect(await worker(cli, ...args)).toBe(2);
      expect(cli.out).toBe('');
      expect(cli.err).toMatch(/^dgrid-worker: .+/m);
    },
  );
  test('with --json the answer is a document', async () => {
    const cli = world();
    expect(await worker(cli, 'config', '--bogus', '--json')).toBe(2);
    expect(JSON.parse(cli.out)).toMatchObject({ error: { kind: 'usage', message: "unknown option '--bogus'" } });
  });
});

describe('dgrid-worker config', () => {
  const env = { DGRID_REPO_URL: '/srv/tasks.git', GIT_TOKEN: SECRET };

  test('shows name, value, unit and source, and masks secrets', async () => {
    const cli = world({ env });
    expect(await worker(cli, 'config', '--profile', 'edge')).toBe(0);
    expect(cli.err).toBe('');
    expect(cli.out).toMatch(/^PULL_INTERVAL +60 +seconds +profile edge$/m);
    expect(cli.out).toMatch(/^DGRID_REPO_URL +\/srv\/tasks\.git +environment$/m);
    expect(cli.out).toMatch(/^DGRID_PROFILE +edge +flag --profile$/m);
    expect(cli.out).toMatch(/^GIT_TOKEN +\*\*\* +environment$/m);
    expect(cli.out).toMatch(/^HTTP_PORT +8000 +default$/m);
    expect(cli.out).not.toContain(SECRET);
  });

  test('--json', async () => {
    const cli = world({ env });
    expect(await worker(cli, 'config', '--json', '--repo', '/other')).toBe(0);
    const { settings, problems } = JSON.parse(cli.out) as { settings: Record<string, unknown>[]; problems: unknown[] };
    expect(problems).toEqual([]);
    expect(settings.find((one) => one['name'] === 'DGRID_REPO_URL')).toMatchObject({ value: '/other', source: 'flag' });
    expect(settings.find((one) => one['name'] === 'HEARTBEAT_INTERVAL')).toMatchObject({ value: 60, unit: 'seconds' });
    expect(cli.out).not.toContain(SECRET);
  });

  test('names every problem, exits with 2, and still shows the rest', async () => {
    const wrong = { PULL_INTERVAL: SECRET, HTTP_PORT: 'x', DGRID_NOED_ID: 'a' };
    const cli = world({ env: wrong });
    expect(await worker(cli, 'config')).toBe(2);
    expect(cli.err).toContain('the configuration has 4 problems');
    for (const name of ['DGRID_REPO_URL', ...Object.keys(wrong)]) expect(cli.err).toContain(`  ${name} `);
    expect(cli.out).toMatch(/^PULL_INTERVAL +\(wrong\)/m);
    expect(cli.out).toMatch(/^DGRID_REPO_URL +\(missing\)/m);
    expect(cli.out).toMatch(/^NODE_ID +box /m);

    const json = world({ env: wrong });
    expect(await worker(json, 'config', '--json')).toBe(2);
    expect((JSON.parse(json.out) as { problems: unknown[] }).problems).toHaveLength(4);
    expect(cli.out + cli.err + json.out + json.err).not.toContain(SECRET);
  });

  test('fits a narrow terminal, coloured only there and only if wanted', async () => {
    const tty = world({ env: { ...env, DGRID_STATE_DIR: `/${'x'.repeat(200)}` }, isTTY: true, columns: 60 });
    expect(await worker(tty, 'config')).toBe(0);
    for (const line of tty.out.split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(60);
    expect(tty.out).toContain('\u001b[');
    const plain = world({ env: { ...env, NO_COLOR: '1' }, isTTY: true });
    await worker(plain, 'config');
    const piped = world({ env });
    await worker(piped, 'config');
    expect(plain.out + piped.out).not.toContain('\u001b');
  });

  test('help lists all settings', async () => {
    const cli = world();
    await worker(cli, 'config', '--help');
    expect(cli.out).toContain('RECORD_BATCH_SIZE  (default: 50; in results)');
  });
});

describe('errors', () => {
  test.each([
    [new Failure('usage', 'x'), 2],
    [new Failure('configuration', 'x', { problems: [{ name: 'A', message: 'b' }] }), 2],
    [new Failure('failed', 'x'), 1],
    [new Failure('task-failed', 'x'), 3],
    [new Error('x', { cause: new Error('because') }), 1],
    ['x', 1],
  ])('%s: exit code %i', async (error, code) => {
    const cli = world();
    expect(await run(cli, CLIENT_PROGRAM, [failing(() => error)], 'fail')).toBe(code);
    expect(cli.err).toMatch(/^dgrid: x\n/);
    if (error instanceof Error && error.cause) expect(cli.err).toContain('caused by: because');
    if (error instanceof Failure && error.problems.length > 0) expect(cli.err).toContain('  A b');
    expect(cli.out).toBe('');
  });
  test('with --json: one document', async () => {
    const cli = world();
    expect(await run(cli, CLIENT_PROGRAM, [failing(() => new Error('x'))], 'fail', '--json')).toBe(1);
    expect(JSON.parse(cli.out)).toEqual({ error: { kind: 'failed', message: 'x', problems: [], causes: [] } });
  });
  test('an interrupted command ends with 130 whatever it throws', async () => {
    const cli = world();
    const add = failing(() => {
      cli.interruption.interrupt(130);
      return new Error('aborted');
    });
    expect(await run(cli, CLIENT_PROGRAM, [add], 'fail')).toBe(130);
    expect(cli.err).toBe('');
  });
});

test('the client’s settings: --repo beats the environment, the worker’s mistakes do not matter', async () => {
  const cli = world({ env: { DGRID_REPO_URL: '/a', HTTP_PORT: 'x' } });
  const add: AddCommand = (program, cli) => {
    const command = defineCommand(program, cli, {
      name: 'look',
      summary: 'look',
      description: 'Looks.',
      examples: ['dgrid look'],
      settings: 'client',
    });
    command.action(() => outputOf(command, cli).document(clientSettings(command, cli).git.repoUrl));
  };
  expect(await run(cli, CLIENT_PROGRAM, [add], 'look', '--repo', '/b', '--json')).toBe(0);
  expect(cli.out).toBe('"/b"\n');
  expect(await run(world({ env: {} }), CLIENT_PROGRAM, [add], 'look')).toBe(2);
});

test('a second document would make the output unreadable', () => {
  const cli = world();
  const output = new Output({ ...cli, json: true });
  output.line('for people');
  output.table([{ title: 'A' }], [['b']]);
  output.document({ a: 1 });
  expect(() => output.document({ b: 2 })).toThrow('one document');
  expect(JSON.parse(cli.out)).toEqual({ a: 1 });
});

describe('interruption', () => {
  const make = (): { codes: number[]; interruption: Interruption } => {
    const codes: number[] = [];
    return { codes, interruption: new Interruption((code) => codes.push(code)) };
  };
  test('ends the process at once when nobody watches', () => {
    const { codes, interruption } = make();
    interruption.interrupt(130);
    expect(codes).toEqual([130]);
  });
  test('watched: aborts first, ends on the second; signals are given back', () => {
    const before = process.listenerCount('SIGINT');
    const { codes, interruption } = make();
    const signal = interruption.signal();
    process.emit('SIGINT');
    expect([signal.aborted, codes, interruption.code]).toEqual([true, [], 130]);
    process.emit('SIGTERM');
    expect(codes).toEqual([130]);
    interruption.release();
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
  test('a closed pipe aborts too, and its code stays', () => {
    const { codes, interruption } = make();
    const signal = interruption.signal();
    interruption.interrupt(0);
    interruption.interrupt(0);
    expect([signal.aborted, codes, interruption.code]).toEqual([true, [], 0]);
    interruption.release();
  });
});

describe('the progress bar', () => {
  const make = (isTerminal: boolean): { bar: ProgressBar; text: () => string; now: { ms: number } } => {
    let text = '';
    const now = { ms: 0 };
    const target = { isTerminal, columns: 40, write: (more: string) => void (text += more) };
    return { bar: new ProgressBar(target, { ...systemClock, monotonicMs: () => now.ms }, 4), text: () => text, now };
  };
  const lines = (text: string): string[] => text.split('\r\u001b[2K').slice(1);

  test('draws within the width, not too often, the end always, and cleans up', () => {
    const { bar, text, now } = make(true);
    bar.update(1, 'a label that is much too long for this');
    bar.update(2);
    now.ms = 100;
    bar.update(3, 'x\u001b[2J');
    bar.update(4);
    bar.finish();
    bar.finish();
    bar.update(4);
    expect(lines(text())).toEqual([
      '[██░░░░░░] 1/4 a label that is much to…',
      '[██████████████████░░░░░░] 3/4 x [2J',
      '[████████████████████████] 4/4',
      '',
    ]);
  });
  test('is silent where there is no terminal', () => {
    const { bar, text } = make(false);
    bar.update(1);
    bar.finish();
    expect(text()).toBe('');
  });
});
