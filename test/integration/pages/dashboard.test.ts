/** `dgrid dashboard`: a real process that reads a real repository over HTTP, and the site that it writes. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { GridWatcher } from '../../../src/client/grid-watcher.ts';
import { openClient } from '../../../src/client/open-client.ts';
import { StaticSiteError, writeStaticSite } from '../../../src/client/static-site.ts';
import { loadClientSettings } from '../../../src/config/load.ts';
import { readMachine } from '../../../src/config/machine.ts';
import { type Overview, overview, taskDetail } from '../../../src/pages/model.ts';
import { systemClock, systemRandomFraction, systemRandomHex } from '../../../src/runtime.ts';
import { startClient } from '../../support/client-program.ts';
import { EventReader } from '../../support/event-reader.ts';
import { GitServer } from '../../support/git-server.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { StubWorkerProcess } from '../../support/stub-worker-process.ts';
import { TaskRepository } from '../../support/task-repository.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../../support/temp.ts';
import { until } from '../../support/until.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

let server: GitServer;
let tasks: TaskRepository;
let worker: WorkerProcess;
let directory: TempDir;

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('dashboard');
  tasks = new TaskRepository(await server.createRepository('grid'));
  await tasks.queue({ first: { script: 'true' }, fails: { script: 'exit 4' } });
  const options = { directory: directory.path, name: 'box', repoUrl: server.url('grid') };
  worker = StubWorkerProcess.start({ ...options, env: { PULL_INTERVAL: '0.5', RECORD_DELAY: '0' } });
  await until(
    'both are recorded',
    async () => (await tasks.record('first')) !== null && (await tasks.record('fails')) !== null,
    30_000,
  );
});

afterAll(async () => {
  await worker.stop('SIGKILL');
  await server.stop();
  directory.remove();
});

interface Dashboard {
  child: ChildProcess;
  base: string;
  overview: () => Promise<Overview>;
  end: (signal: NodeJS.Signals) => Promise<number | null>;
}

async function dashboard(name: string, args: readonly string[] = []): Promise<Dashboard> {
  const home = directory.sub(name);
  await mkdir(home, { recursive: true });
  const child = startClient(
    ['dashboard', '--repo', server.url('grid'), '--port', '0', '--json', '--interval', '0.5', ...args],
    { home },
  );
  // Whatever the test comes to.
  onTestFinished(() => void child.kill('SIGKILL'));
  if (!child.stdout || !child.stderr) throw new Error('the program has no output');
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()));
  let hasClosed = false;
  child.once('close', () => (hasClosed = true));
  const url = (): string | null => {
    try {
      return (JSON.parse(shown) as { url?: string }).url ?? null;
    } catch {
      return null;
    }
  };
  await until('it listens', () => url() !== null || hasClosed, 20_000);
  const base = url()?.replace(/\/$/, '');
  if (base === undefined) throw new Error(`it ended with ${child.exitCode}: ${shown}${said}`);
  return {
    child,
    base,
    overview: async () => overview.parse(await (await fetch(`${base}/api/v1/overview`)).json()),
    async end(signal) {
      const closed = once(child, 'close') as Promise<[number | null]>;
      child.kill(signal);
      return (await closed)[0];
    },
  };
}

describe('dgrid dashboard', () => {
  it('shows what was there before, and tells of each change within two seconds', async () => {
    const shown = await dashboard('shown');
    const before = await shown.overview();
    expect(before).toMatchObject({ source: 'client', this_node: null, problem: null, branch: 'main' });
    expect(before.recorded).toEqual({ completed: 1, failed: 1 });
    expect(before.recent.map((row) => row.task_id).toSorted()).toEqual(['fails', 'first']);
    expect(before.recent.find((row) => row.task_id === 'fails')).toMatchObject({
      reason: 'exit-code',
      state: 'recorded',
      node_id: 'box',
    });
    expect(before.nodes).toMatchObject([{ node_id: 'box', state: 'alive' }]);
    expect(before.series.points.reduce((sum, point) => sum + point.succeeded + point.failed, 0)).toBe(2);

    await using events = await EventReader.open(`${shown.base}/api/v1/events`);
    await until('the first event', () => events.events.length > 0);
    const runId = 'second';
    await tasks.queue({ [runId]: { script: 'sleep 2500' } });
    await worker.logged('task.claimed', (entry) => entry['task'] === runId);
    const claimedMs = performance.now();
    await until(
      'it shows as running',
      async () => (await shown.overview()).tasks.some((row) => row.task_id === runId && row.state === 'running'),
      2_000,
    );
    await until('an event', () => events.events.some(({ atMs }) => atMs >= claimedMs), 2_000);
    expect((await shown.overview()).tasks[0]?.claimed_at).toMatch(/^\d{4}-/);
    await until('it is recorded', async () => (await tasks.record(runId)) !== null, 20_000);
    const recordedMs = performance.now();
    await until(
      'it shows as recorded',
      async () =>
        (await shown.overview()).recent[0]?.task_id === runId &&
        (await shown.overview()).recent[0]?.state === 'recorded',
      2_000,
    );
    console.log(`shown ${Math.round(performance.now() - recordedMs)} ms after it was on the branch`);
    const row = (await shown.overview()).recent[0];
    expect(row?.run_ms).toBeGreaterThan(2_000);
    const detail = taskDetail.parse(await (await fetch(`${shown.base}/api/v1/tasks/fails`)).json());
    expect(detail.exit_code).toBe(4);
    expect(await shown.end('SIGINT')).toBe(130);
    await events.ended;
  });

  it('shows what a task writes while it runs', async () => {
    const shown = await dashboard('written');
    await tasks.queue({ loud: { script: 'lines 150 100', follow: true } });
    const detail = async () => taskDetail.parse(await (await fetch(`${shown.base}/api/v1/tasks/loud`)).json());
    const lines = async (): Promise<number> => {
      const answer = await fetch(`${shown.base}/api/v1/tasks/loud`);
      return answer.ok
        ? (((await answer.json()) as { stdout?: { text: string } }).stdout?.text ?? '').split('\n').length
        : 0;
    };
    await until('some of it', async () => (await lines()) > 2, 20_000);
    const before = await detail();
    expect(before).toMatchObject({ live: 'live', row: { state: 'running' } });
    await until('more of it', async () => (await lines()) > (before.stdout?.text ?? '').split('\n').length);
    await until('the result', async () => (await detail()).live === null, 40_000);
    expect((await detail()).stdout?.text.split('\n')).toHaveLength(151);
    expect(await shown.end('SIGINT')).toBe(130);
  });

  it('says what keeps it from looking, and goes on by itself', async () => {
    const shown = await dashboard('mended');
    await server.down();
    await until('it says so', async () => (await shown.overview()).problem !== null, 20_000);
    expect((await shown.overview()).recorded.completed).toBeGreaterThan(0);
    await server.up();
    await until('it is mended', async () => (await shown.overview()).problem === null, 40_000);
    expect(await shown.end('SIGTERM')).toBe(130);
  });

  it('answers this machine alone, and says what is wrong with its options', async () => {
    const shown = await dashboard('private');
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const url = new URL(`${shown.base}/api/v1/overview`);
      const asked = request(url, { headers: { host: 'evil.example.com' } }, (answer) =>
        resolve(answer.resume().statusCode),
      );
      asked.on('error', reject).end();
    });
    expect(status).toBe(403);
    await shown.end('SIGINT');
    for (const [args, wrong] of [
      [['--host', '0.0.0.0'], /--host must be a loopback address.*no password/s],
      [['--port', '70000'], /--port must be a whole number from 0 to 65535/],
      [['--interval', 'often'], /--interval must be a number of seconds/],
      [['--static', 'site'], /--static writes files and serves nothing: leave away --port, --interval/],
    ] as const) {
      await expect(dashboard('wrong', args)).rejects.toThrow(wrong);
    }
  });
});

describe('a static site', () => {
  const PAGE = '<!doctype html><html lang="en" data-source="live"><title>x</title></html>';
  const readAsset = async (): Promise<Buffer> => Buffer.from(PAGE);

  async function write(site: string): Promise<Awaited<ReturnType<typeof writeStaticSite>>> {
    const home = directory.sub('static-home');
    await mkdir(home, { recursive: true });
    const env = hermeticEnv(home, { DGRID_REPO_URL: server.url('grid') });
    const loaded = loadClientSettings({ env, machine: readMachine(env, home), flags: {}, envFile: null });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const ended = new AbortController();
    const opened = await openClient({
      settings: loaded.settings,
      cacheHome: join(home, '.cache'),
      clock: systemClock,
      random: systemRandomFraction,
      randomHex: systemRandomHex,
      emit: recordEvents().emit,
      operatorEnv: env,
      signal: ended.signal,
    });
    try {
      const watcher = new GridWatcher({
        client: opened.client,
        source: 'static',
        version: '1',
        repository: server.url('grid'),
        maxTaskBytes: 1024,
        intervalMs: 1_000,
      });
      await watcher.look();
      return await writeStaticSite({ directory: site, pages: watcher.pages, readAsset, signal: ended.signal });
    } finally {
      await opened.close();
    }
  }

  it('has the page, the overview and a document for each task, and is written anew without a trace', async () => {
    const site = directory.sub('site');
    await tasks.queue({ passing: { script: 'true', requires: ['nowhere'] } });
    const first = await write(site);
    const read = async (name: string): Promise<string> => readFile(join(site, name), 'utf8');
    expect(await read('index.html')).toBe(PAGE.replace('live', 'static'));
    const shown = overview.parse(JSON.parse(await read('data/overview.json')));
    expect(shown.source).toBe('static');
    const listed = [...shown.tasks, ...shown.recent].map((row) => row.task_id);
    expect(listed).toEqual(expect.arrayContaining(['first', 'fails', 'passing']));
    expect(first.tasks).toBe(listed.length);
    for (const id of listed)
      expect(taskDetail.parse(JSON.parse(await read(`data/tasks/${id}.json`))).row.task_id).toBe(id);
    expect(await read('.nojekyll')).toBe('');

    await writeFile(join(site, 'notes.txt'), 'mine');
    await writeFile(join(site, 'data', 'tasks', 'NOT A TASK.json'), 'mine');
    await tasks.commit({ 'tasks/queue/passing.json': null });
    const second = await write(site);
    expect(second).toEqual({ files: first.files - 1, tasks: first.tasks - 1, removed: 1 });
    expect(await readdir(join(site, 'data', 'tasks'))).not.toContain('passing.json');
    expect(await read('data/tasks/NOT A TASK.json')).toBe('mine');
    expect(await read('notes.txt')).toBe('mine');
    const names = await readdir(site, { recursive: true });
    expect(names.filter((name) => name.endsWith('.unfinished'))).toEqual([]);
  });

  it('is not written where other things are', async () => {
    const site = directory.sub('taken');
    await mkdir(site);
    await writeFile(join(site, 'thesis.doc'), 'mine');
    await expect(write(site)).rejects.toThrow(StaticSiteError);
    await expect(write(site)).rejects.toThrow(/other things in it, such as thesis\.doc: name an empty directory/);
    expect(await readdir(site)).toEqual(['thesis.doc']);
    await writeFile(directory.sub('file'), '');
    await expect(write(directory.sub('file'))).rejects.toThrow(/cannot be written/);
    const published = directory.sub('published');
    await mkdir(join(published, '.git'), { recursive: true });
    expect((await write(published)).tasks).toBeGreaterThan(0);
  });
});
