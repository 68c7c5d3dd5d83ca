/** The two programs as processes, run from their sources. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const cwd = mkdtempSync(join(tmpdir(), 'dgrid-programs-'));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const source = (path: string): string => fileURLToPath(new URL(`../../../src/cli/${path}`, import.meta.url));

function start(script: string, args: readonly string[], env: Record<string, string> = {}): ReturnType<typeof child> {
  return child(script, args, env);
}

function child(script: string, args: readonly string[], env: Record<string, string>) {
  return spawn(process.execPath, ['-e', script, 'program', ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: cwd, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function finish(process: ReturnType<typeof child>): Promise<{ code: number | null; out: string; err: string }> {
  const [[code], out, err] = await Promise.all([
    once(process, 'close') as Promise<[number | null]>,
    text(process.stdout),
    text(process.stderr),
  ]);
  return { code, out, err };
}

const program = (file: string): string => `import(${JSON.stringify(source(file))}).then((m) => m.main(process.argv))`;

describe.each(['worker-main.ts', 'client-main.ts'])('%s', (file) => {
  test('--version', async () => {
    expect(await finish(start(program(file), ['--version']))).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\./),
      err: '',
    });
  });
  test('an unknown flag is wrong usage', async () => {
    const { code, out, err } = await finish(start(program(file), ['--bogus']));
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain("unknown option '--bogus'");
  });
});

test('the worker ends when it is done, whatever is still open then, and says what that is', async () => {
  const open = 'require("node:net").createServer().listen(0, "127.0.0.1");';
  const { code, out, err } = await finish(start(`${open} ${program('worker-main.ts')}`, ['start', '--bogus']));
  expect([code, out]).toEqual([2, '']);
  expect(err).toMatch(/^dgrid-worker: done, but held up by what is still open: .*TCPServerWrap/m);
});

test.each(['dgrid', 'dgrid-worker'])(
  '%s itself says that a file of settings is not there, and not Node',
  async (name) => {
    const file = fileURLToPath(new URL(`../../../bin/${name}`, import.meta.url));
    const command = name === 'dgrid' ? 'status' : 'config';
    const process = spawn(file, [command, '--env-file', 'none.env'], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const { code, err } = await finish(process);
    expect([code, err]).toEqual([2, expect.stringContaining('none.env cannot be read: there is no such file')]);
  },
);

describe('dgrid-worker config', () => {
  test('reads .env in the working directory, and exits with 0', async () => {
    writeFileSync(join(cwd, '.env'), 'DGRID_REPO_URL=/srv/tasks.git\nDGRID_PROFILE=edge\n');
    const { code, out, err } = await finish(
      start(program('worker-main.ts'), ['config', '--json'], { PULL_INTERVAL: '3' }),
    );
    expect([code, err]).toEqual([0, '']);
    const { settings } = JSON.parse(out) as { settings: { name: string; value: unknown; source: string }[] };
    const of = (name: string): unknown => settings.find((one) => one.name === name);
    expect(of('DGRID_REPO_URL')).toMatchObject({ value: '/srv/tasks.git', source: 'env-file' });
    expect(of('PULL_INTERVAL')).toMatchObject({ value: 3, source: 'environment' });
    expect(of('MAX_TASKS_PER_HOUR')).toMatchObject({ value: 10, source: 'profile' });
    rmSync(join(cwd, '.env'));
  });

  test('exits with 2 and all problems', async () => {
    const { code, err } = await finish(
      start(program('worker-main.ts'), ['config'], { HTTP_PORT: 'x', LOG_LEVEL: 'loud' }),
    );
    expect(code).toBe(2);
    for (const name of ['DGRID_REPO_URL', 'HTTP_PORT', 'LOG_LEVEL']) expect(err).toContain(name);
  });

  test('a reader that goes away is no error', async () => {
    const process = start(program('worker-main.ts'), ['config'], { DGRID_REPO_URL: '/srv/tasks.git' });
    process.stdout.destroy();
    const [[code], err] = await Promise.all([once(process, 'close') as Promise<[number | null]>, text(process.stderr)]);
    expect([code, err]).toEqual([0, '']);
  });
});

describe('pages that other machines could read', () => {
  const env = { DGRID_REPO_URL: '/srv/tasks.git', HTTP_HOST: '0.0.0.0', DGRID_STATE_DIR: join(cwd, 'state') };

  test('are not served without a token: the worker does not start', async () => {
    const { code, err } = await finish(start(program('worker-main.ts'), ['start'], env));
    expect(code).toBe(2);
    expect(err).toMatch(/HTTP_HOST.*HTTP_TOKEN_FILE/s);
  });

  test('with a token it is shown to nobody who looks at the settings', async () => {
    const HTTP_TOKEN = 'seen-by-nobody-at-all';
    const { code, out, err } = await finish(start(program('worker-main.ts'), ['config'], { ...env, HTTP_TOKEN }));
    expect(code).toBe(0);
    expect(out).toContain('HTTP_TOKEN');
    expect(out + err).not.toContain(HTTP_TOKEN);
  });
});

describe('signals', () => {
  const waiting = (watch: boolean): string => `
    import(${JSON.stringify(source('program.ts'))}).then(async ({ runProgram, processSurroundings, defineCommand }) => {
      const cli = processSurroundings();
      cli.interruption.listen();
      const add = (program, cli) => {
        const command = defineCommand(program, cli, { name: 'wait', summary: 's', description: 'd', examples: ['e'], settings: null });
        command.action(() => new Promise((resolve) => {
          const keepAlive = setInterval(() => {}, 1000);
          if (${watch}) cli.interruption.signal().addEventListener('abort', () => {
            clearInterval(keepAlive);
            cli.stdout.write('cleaned up\\n');
            resolve();
          });
          cli.stdout.write('ready\\n');
        }));
      };
      process.exitCode = await runProgram({ name: 'p', description: 'd' }, [add], process.argv, cli);
    });`;

  test.each([
    [true, 'SIGINT', 'ready\ncleaned up\n'],
    [true, 'SIGTERM', 'ready\ncleaned up\n'],
    [false, 'SIGINT', 'ready\n'],
  ] as const)('watched %s, %s: exit code 130', async (watch, signal, output) => {
    const process = start(waiting(watch), ['wait']);
    const finished = finish(process);
    await once(process.stdout, 'data');
    process.kill(signal);
    expect(await finished).toEqual({ code: 130, out: output, err: '' });
  });
});

test('the generated documentation is checked by the script itself', async () => {
  const script = fileURLToPath(new URL('../../../scripts/generate-docs.ts', import.meta.url));
  const process = spawn(globalThis.process.execPath, [script, '--check'], { stdio: ['ignore', 'pipe', 'pipe'] });
  expect(await finish(process)).toEqual({ code: 0, out: '', err: '' });
});
