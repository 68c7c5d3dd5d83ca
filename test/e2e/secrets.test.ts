/** The token shows nowhere: not in logs, records, refs, process lists or errors, with a working and a failing remote. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { allProcesses } from '../support/processes.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const TOKEN = 'canary-7f3a91c05e2b4d68';
const SHAPES = [
  TOKEN,
  Buffer.from(TOKEN).toString('base64'),
  Buffer.from(`x-access-token:${TOKEN}`).toString('base64'),
];

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start({ auth: { user: 'x-access-token', token: TOKEN } });
  directory = makeTempDir('secrets');
});

afterAll(async () => {
  await server.stop();
  await engine.stop();
  directory.remove();
});

function expectAbsent(where: string, text: string): void {
  for (const shape of SHAPES) expect({ where, found: text.includes(shape) }).toEqual({ where, found: false });
}

/** Every command line of this machine that was seen while `work` went on. */
async function commandLinesDuring(work: Promise<unknown>): Promise<string> {
  const seen = new Set<string>();
  const over = new AbortController();
  const done = work.finally(() => over.abort());
  while (!over.signal.aborted) {
    for (const { commandLine } of allProcesses()) seen.add(commandLine);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await done;
  return [...seen].join('\n');
}

describe('the token', () => {
  it.each([
    // What proves that the command lines were looked at: the program that answers the push, or the one that makes it.
    { transport: 'auto', name: 'works', expected: 'receive-pack' },
    { transport: 'command', name: 'works-by-git', expected: 'git push' },
  ])('stays out of everything while the remote works ($transport)', async ({ transport, name, expected }) => {
    const repo = new TaskRepository(await server.createRepository(name));
    await repo.queue({ spy: { script: 'env; cat /proc/1/environ; ls -la /dgrid' }, other: { script: 'exit 1' } });
    const run = WorkerProcess.start({
      directory: directory.path,
      name,
      repoUrl: server.url(name),
      dockerHost: engine.host,
      env: { GIT_TOKEN: TOKEN, LOG_LEVEL: 'trace', GIT_TRANSPORT: transport },
      args: ['--until-idle'],
    });
    const commandLines = await commandLinesDuring(run.exit());
    expect(await run.exit()).toBe(0);
    expect(commandLines).toContain(expected);
    expectAbsent('command lines', commandLines);
    expectAbsent('log', run.output);
    expect((await repo.record('spy'))?.status).toBe('success');
    const everything = await git(repo.path, ['cat-file', '--batch-all-objects', '--batch', '--buffer']);
    expect(everything.length).toBeGreaterThan(1_000);
    expectAbsent('objects of the repository', everything);
    expectAbsent('refs', await git(repo.path, ['for-each-ref', '--format=%(refname) %(contents)']));
    for (const path of filesBelow(directory.sub(name, 'state'))) {
      expectAbsent(path, readFileSync(path).toString('latin1'));
    }
  });

  it('stays out of everything when the remote refuses it or is gone', async () => {
    await server.createRepository('fails');
    const wrong = `${TOKEN}-wrong`;
    const refused = WorkerProcess.start({
      directory: directory.path,
      name: 'fails',
      repoUrl: server.url('fails'),
      dockerHost: engine.host,
      env: { GIT_TOKEN: wrong, LOG_LEVEL: 'trace' },
    });
    expect(await refused.exit()).toBe(1);
    expect(refused.output).toContain('GIT_TOKEN');
    expectAbsent('log of a refused worker', refused.output);
    const gone = WorkerProcess.start({
      directory: directory.path,
      name: 'gone',
      repoUrl: 'http://127.0.0.1:9/gone.git',
      dockerHost: engine.host,
      env: { GIT_TOKEN: TOKEN, LOG_LEVEL: 'trace', RETRY_ATTEMPTS: '1' },
    });
    await gone.logged('poll.failed');
    expect(await gone.stop()).toBe(0);
    expectAbsent('log of a worker without a remote', gone.output);
  });

  it('in the URL stops the start, and is not repeated', async () => {
    const run = WorkerProcess.start({
      directory: directory.path,
      name: 'url',
      repoUrl: `http://someone:${TOKEN}@127.0.0.1:9/x.git`,
      dockerHost: engine.host,
    });
    expect(await run.exit()).toBe(2);
    expect(run.output).toContain('DGRID_REPO_URL');
    expectAbsent('the error', run.output);
  });
});

function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
