import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GitCommand, type GitExit } from '../../src/git/git-command.ts';
import type { CommandEnvironment } from '../../src/git/git-environment.ts';
import { systemClock } from '../../src/runtime.ts';
import { initBare } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { processesWith } from '../support/processes.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';

let dir: TempDir;
let server: GitServer;
let events: unknown[];
beforeAll(async () => {
  dir = makeTempDir('command');
  server = await GitServer.start();
  await server.createRepository('r');
  await initBare(dir.sub('l.git'));
});
afterAll(async () => {
  await server.stop();
  dir.remove();
});
beforeEach(() => {
  events = [];
  server.onRequest = null;
});

function makeCommand(env: Record<string, string> = {}, maxOutputBytes?: number): GitCommand {
  return new GitCommand({
    clock: systemClock,
    emit: (name, fields) => events.push({ name, ...fields }),
    operatorEnv: hermeticEnv(dir.path, env),
    ...(maxOutputBytes === undefined ? {} : { maxOutputBytes }),
  });
}
const inClone = (extra: Partial<CommandEnvironment> = {}): CommandEnvironment => ({
  config: [],
  secrets: [],
  ...extra,
  variables: { GIT_DIR: dir.sub('l.git'), ...extra.variables },
});
const options = { cwd: '/', deadlineMs: 10_000 };

describe('GitCommand', () => {
  it('hands bytes in and out unchanged', async () => {
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, at) => at % 256));
    const git = makeCommand();
    const environment = inClone();
    const written = await git.run(['hash-object', '-w', '--stdin'], { ...options, environment, input: bytes });
    const id = written.stdout.toString().trim();
    expect((await git.run(['cat-file', 'blob', id], { ...options, environment })).stdout).toEqual(bytes);
    expect((await git.run(['show', id], { ...options, environment })).stdout).toEqual(bytes);
  });

  it('lets go of what a command was given once it has ended', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const git = makeCommand();
    const given = await (async () => {
      const input = Buffer.alloc(1024 * 1024);
      await git.run(['hash-object', '--stdin'], { ...options, environment: inClone(), input });
      return new WeakRef(input);
    })();
    await until('the input to be collected', () => {
      collect();
      return given.deref() === undefined;
    });
  });

  it('fails with kind, code and text, also when git has nothing to say', async () => {
    const git = makeCommand();
    await expect(git.run(['cat-file', '-p', 'none'], { ...options, environment: inClone() })).rejects.toMatchObject({
      kind: 'unknown',
      operation: 'cat-file',
      message: expect.stringContaining('Not a valid object name none') as string,
      cause: expect.objectContaining({ exitCode: 128 }) as GitExit,
    });
    const silent = git.run(['rev-parse', '--verify', '--quiet', 'none'], { ...options, environment: inClone() });
    await expect(silent).rejects.toMatchObject({ cause: { exitCode: 1, stderr: '' } });
  });

  it('tells of each command, without secrets', async () => {
    const environment = inClone({ secrets: ['s3cret'] });
    const failed = makeCommand().run(['cat-file', '-p', 's3cret'], { ...options, environment });
    await expect(failed).rejects.toMatchObject({ message: expect.not.stringContaining('s3cret') as string });
    expect(events).toEqual([
      { name: 'git.command', args: ['cat-file', '-p', '[redacted]'], exit_code: 128, ms: expect.any(Number) as number },
    ]);
  });

  it("does not see the operator's configuration, hooks or repository", async () => {
    mkdirSync(dir.sub('.config/git'), { recursive: true });
    writeFileSync(dir.sub('.gitconfig'), '[user]\n\tname = Outside\n');
    const git = makeCommand({ GIT_DIR: '/nonexistent', GIT_CONFIG_GLOBAL: dir.sub('.gitconfig') });
    const listed = await git.run(['config', '--list'], { ...options, environment: inClone() });
    expect(listed.stdout.toString()).not.toContain('Outside');
    expect(listed.stdout.toString()).toContain('core.hookspath=/dev/null');
  });

  it('ends a command that hangs, with its helpers, at the deadline', async () => {
    server.onRequest = () => ({ kind: 'hang' });
    const url = server.url('r');
    const running = makeCommand().run(['ls-remote', url], { ...options, deadlineMs: 700 });
    const outcome = expect(running).rejects.toMatchObject({
      kind: 'deadline',
      message: expect.stringContaining('1 s') as string,
    });
    await expect
      .poll(() => processesWith(url).filter((entry) => entry.commandLine.includes('remote-http')).length)
      .toBeGreaterThan(0);
    await outcome;
    expect(processesWith(url)).toEqual([]);
    await expect.poll(() => server.connections).toBe(0);
    expect(events).toMatchObject([{ name: 'git.command', ended_by: 'deadline' }]);
  });

  it('ends a command when the signal aborts, and does not start one after', async () => {
    server.onRequest = () => ({ kind: 'hang' });
    const controller = new AbortController();
    const url = server.url('r');
    const running = makeCommand().run(['ls-remote', url], { ...options, signal: controller.signal });
    const outcome = expect(running).rejects.toMatchObject({ kind: 'aborted' });
    await expect.poll(() => server.connections).toBe(1);
    controller.abort();
    await outcome;
    expect(processesWith(url)).toEqual([]);
    await expect(makeCommand().run(['version'], { ...options, signal: controller.signal })).rejects.toMatchObject({
      kind: 'aborted',
    });
  });

  it('kills what does not listen to TERM', async () => {
    server.auth = { user: 'u', token: 't' };
    const stubborn = '!f() { trap "" TERM; while :; do sleep 1; done; }; : stubborn-helper; f';
    const environment = inClone({ config: [['credential.helper', stubborn]] });
    const startedMs = performance.now();
    const running = makeCommand().run(['ls-remote', server.url('r')], { ...options, environment, deadlineMs: 500 });
    await expect(running).rejects.toMatchObject({ kind: 'deadline' });
    server.auth = null;
    expect(processesWith('stubborn-helper')).toEqual([]);
    expect(performance.now() - startedMs).toBeLessThan(8_000);
  });

  it('ends a command that says too much', async () => {
    const git = makeCommand({}, 100_000);
    const environment = inClone();
    const big = await git.run(['hash-object', '-w', '--stdin'], {
      ...options,
      environment,
      input: Buffer.alloc(1_000_000, 'x'),
    });
    const id = big.stdout.toString().trim();
    await expect(git.run(['cat-file', 'blob', id], { ...options, environment })).rejects.toMatchObject({
      kind: 'unknown',
      message: expect.stringContaining('more output') as string,
    });
  });

  it('ends one that never stops to talk beside its answer', async () => {
    server.auth = { user: 'u', token: 't' };
    const talk = `!f() { while :; do echo ${'x'.repeat(10_000)}; done >&2; }; : talking-helper; f`;
    const environment = inClone({ config: [['credential.helper', talk]] });
    const startedMs = performance.now();
    await expect(makeCommand().run(['ls-remote', server.url('r')], { ...options, environment })).rejects.toMatchObject({
      kind: 'unknown',
      message: expect.stringContaining('more output') as string,
    });
    server.auth = null;
    expect(processesWith('talking-helper')).toEqual([]);
    expect(performance.now() - startedMs).toBeLessThan(15_000);
  });

  it('runs many commands at once without mixing them up', async () => {
    const git = makeCommand();
    const texts = Array.from({ length: 20 }, (_, at) => `text ${at}`);
    const environment = inClone();
    const ids = await Promise.all(
      texts.map(async (text) =>
        (await git.run(['hash-object', '-w', '--stdin'], { ...options, environment, input: Buffer.from(text) })).stdout
          .toString()
          .trim(),
      ),
    );
    const back = await Promise.all(
      ids.map(async (id) => (await git.run(['cat-file', 'blob', id], { ...options, environment })).stdout.toString()),
    );
    expect(back).toEqual(texts);
  });

  it('says what to do when git is missing or too old', async () => {
    expect(await makeCommand().checkVersion(5_000)).toMatch(/^\d+\.\d+/);
    mkdirSync(dir.sub('empty'));
    const remedy = { kind: 'no-git', message: expect.stringContaining('install git 2.31 or later') as string };
    await expect(makeCommand({ PATH: dir.sub('empty') }).checkVersion(5_000)).rejects.toMatchObject(remedy);
    mkdirSync(dir.sub('old'));
    writeFileSync(dir.sub('old/git'), '#!/bin/sh\necho git version 2.30.9\n');
    chmodSync(dir.sub('old/git'), 0o755);
    const old = makeCommand({ PATH: `${dir.sub('old')}:${process.env['PATH']}` });
    await expect(old.checkVersion(5_000)).rejects.toMatchObject(remedy);
  });

  it('fails with local-io in a directory that is not there', async () => {
    await expect(makeCommand().run(['version'], { ...options, cwd: dir.sub('nowhere') })).rejects.toMatchObject({
      kind: 'local-io',
    });
  });
});
