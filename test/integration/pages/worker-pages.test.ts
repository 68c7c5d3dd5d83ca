/** The pages of a worker: a real process, a real Git server, real HTTP. */
import { connect } from 'node:net';
import { describe, expect, it, type TestContext } from 'vitest';
import { nodeList, type Overview, overview, taskDetail, taskList } from '../../../src/pages/model.ts';
import { EventReader } from '../../support/event-reader.ts';
import { freePort } from '../../support/free-port.ts';
import { GitServer } from '../../support/git-server.ts';
import { StubWorkerProcess } from '../../support/stub-worker-process.ts';
import { TaskRepository } from '../../support/task-repository.ts';
import { makeTempDir } from '../../support/temp.ts';
import { until } from '../../support/until.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

interface Site {
  base: string;
  server: GitServer;
  tasks: TaskRepository;
  worker: WorkerProcess;
  overview: () => Promise<Overview>;
}

/** Tests that run side by side have to say whose it is. */
type Context = Pick<TestContext, 'onTestFinished'>;

async function site({ onTestFinished }: Context, env: Record<string, string> = {}): Promise<Site> {
  const server = await GitServer.start();
  onTestFinished(() => server.stop());
  const tasks = new TaskRepository(await server.createRepository('grid'));
  await tasks.commit({ 'README.md': 'tasks\n' });
  const directory = makeTempDir('pages');
  onTestFinished(() => directory.remove());
  const port = await freePort();
  const worker = StubWorkerProcess.start({
    directory: directory.path,
    name: 'box',
    repoUrl: server.url('grid'),
    env: { HTTP_PORT: String(port), MAX_PARALLEL_TASKS: '2', ...env },
  });
  onTestFinished(async () => void (await worker.stop('SIGKILL')));
  await worker.logged('worker.ready');
  const base = `http://127.0.0.1:${port}`;
  return {
    base,
    server,
    tasks,
    worker,
    overview: async () => overview.parse(await (await fetch(`${base}/api/v1/overview`)).json()),
  };
}

async function json(url: string): Promise<{ status: number; body: unknown; headers: Headers }> {
  const answer = await fetch(url);
  return { status: answer.status, body: await answer.json(), headers: answer.headers };
}

describe('the pages of a worker', { concurrent: true }, () => {
  it('show tasks from the queue to the result, and tell of each change within two seconds', async ({
    expect,
    onTestFinished,
  }) => {
    const { base, overview: read, tasks, worker } = await site({ onTestFinished });
    await using events = await EventReader.open(`${base}/api/v1/events`);
    await until('the first event', () => events.events.length > 0);
    await tasks.queue({
      slow: { script: 'sleep 3000', priority: 'high' },
      never: { script: 'true', requires: ['gpu'] },
    });

    const claimed = await worker.logged('task.claimed');
    const claimedMs = performance.now();
    await until('an event', () => events.events.some(({ atMs }) => atMs >= claimedMs - 50), 2_000);
    await until('it runs', async () => (await read()).tasks.some((row) => row.run_ms !== null && row.run_ms > 0));
    const running = await read();
    expect(running.this_node).toBe('box');
    expect(running.queue).toMatchObject({ pending: 1, by_priority: { medium: 1 } });
    expect(running.tasks.map((row) => [row.task_id, row.state, row.priority])).toEqual([
      ['slow', 'running', 'high'],
      ['never', 'queued', 'medium'],
    ]);
    expect(running.tasks[0]).toMatchObject({ node_id: 'box', attempt: 1, image: expect.any(String) });
    expect(running.tasks[0]?.started_at).toMatch(/^\d{4}-/);
    expect(running.tasks[1]?.labels).toEqual(['gpu']);
    expect(running.nodes).toMatchObject([{ node_id: 'box', state: 'alive', running: ['slow'], slots: 2 }]);
    expect(claimed['task']).toBe('slow');

    await worker.logged('task.finished');
    const finishedMs = performance.now();
    await until('the next event', () => events.events.some(({ atMs }) => atMs > finishedMs), 2_000);
    await until('it is recorded', async () => (await read()).recent[0]?.state === 'recorded');
    const done = await read();
    expect(done.recent).toMatchObject([{ task_id: 'slow', status: 'success', node_id: 'box', attempt: 1 }]);
    expect(done.recent[0]?.run_ms).toBeGreaterThan(2_000);
    expect(done.recorded).toEqual({ completed: 1, failed: 0 });
    await until('a sign of life tells the load', async () => (await read()).nodes[0]?.memory_percent !== null);
  });

  it('show what a task writes while it runs, here and on another node', async ({ expect, onTestFinished }) => {
    const { base, server, tasks, worker } = await site(
      { onTestFinished },
      { FOLLOW_INTERVAL: '0.5', NODE_LABELS: 'loud' },
    );
    const directory = makeTempDir('pages');
    onTestFinished(() => directory.remove());
    const port = await freePort();
    const other = StubWorkerProcess.start({
      directory: directory.path,
      name: 'other',
      repoUrl: server.url('grid'),
      env: { HTTP_PORT: String(port), PULL_INTERVAL: '0.5' },
    });
    onTestFinished(async () => void (await other.stop('SIGKILL')));
    await other.logged('worker.ready');
    await tasks.queue({
      asked: { script: 'lines 200 100', follow: true, requires: ['loud'] },
      silent: { script: 'lines 200 100', requires: ['loud'] },
    });
    const detail = async (at: string, id: string) => taskDetail.parse((await json(`${at}/api/v1/tasks/${id}`)).body);
    const isThere = async (at: string, id: string): Promise<boolean> => {
      const { status, body } = await json(`${at}/api/v1/tasks/${id}`);
      // A node that has not looked since knows of no such task.
      return status === 200 && (taskDetail.parse(body).stdout?.text ?? '').split('\n').length > 2;
    };
    const elsewhere = `http://127.0.0.1:${port}`;
    await worker.logged('task.started', ({ task }) => task === 'silent');
    await until('its own', async () => (await isThere(base, 'asked')) && (await isThere(base, 'silent')));
    await until('what was published', () => isThere(elsewhere, 'asked'), 15_000);
    const seen = await detail(elsewhere, 'asked');
    expect(seen).toMatchObject({ live: 'live', row: { state: 'running', node_id: 'box' }, stderr: { text: '' } });
    expect((await detail(base, 'silent')).live).toBe('live');
    // What its node publishes is known once a sign of life of it was read.
    await until('why', async () => (await detail(elsewhere, 'silent')).live === 'not-asked');
    expect((await detail(elsewhere, 'silent')).stdout).toBe(null);
    await until('the result', async () => (await detail(elsewhere, 'asked')).live === null, 40_000);
    const whole = await detail(elsewhere, 'asked');
    expect(whole.stdout?.text.startsWith(seen.stdout?.text ?? 'nothing')).toBe(true);
    expect(whole.stdout?.text.split('\n')).toHaveLength(201);
  });

  it('answer a task, its output and lists, and say what is wrong with other questions', async ({
    expect,
    onTestFinished,
  }) => {
    const { base, overview: read, tasks } = await site({ onTestFinished });
    await tasks.queue({
      good: { script: 'true' },
      bad: { script: 'exit 3' },
      waits: { script: 'true', requires: ['x'] },
    });
    await until(
      'both are recorded',
      async () => (await read()).recorded.completed + (await read()).recorded.failed === 2,
      20_000,
    );

    const bad = await json(`${base}/api/v1/tasks/bad`);
    const detail = taskDetail.parse(bad.body);
    expect(detail.row).toMatchObject({ state: 'recorded', status: 'failed', reason: 'exit-code' });
    expect(detail).toMatchObject({ exit_code: 3, task: { task_id: 'bad', script: 'exit 3' } });
    expect(detail.provenance).toMatchObject({ record_path: 'tasks/failed/bad.json', node_id: 'box', epoch: null });
    expect(detail.phases.map(({ phase }) => phase)).toEqual(['claim', 'pull', 'start', 'run', 'collect']);
    expect(taskDetail.parse((await json(`${base}/api/v1/tasks/waits`)).body)).toMatchObject({
      row: { state: 'queued', labels: ['x'] },
      task: { task_id: 'waits' },
      stdout: null,
    });

    const output = await fetch(`${base}/api/v1/tasks/good/output/stdout`);
    expect([output.status, output.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
    expect(output.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await output.text()).toBe(taskDetail.parse((await json(`${base}/api/v1/tasks/good`)).body).stdout?.text);

    const list = async (query: string) => taskList.parse((await json(`${base}/api/v1/tasks${query}`)).body);
    const ids = async (query: string) => (await list(query)).tasks.map((row) => row.task_id);
    expect(await ids('?state=queued')).toEqual(['waits']);
    expect(await ids('?status=failed')).toEqual(['bad']);
    expect((await ids('?node=box')).toSorted()).toEqual(['bad', 'good']);
    expect(await ids('?text=WAI')).toEqual(['waits']);
    const first = await list('?limit=2');
    expect([first.tasks.length, first.total]).toEqual([2, 3]);
    const second = await list(`?limit=2&cursor=${first.next_cursor}`);
    expect(second.next_cursor).toBeNull();
    expect([...first.tasks, ...second.tasks].map((row) => row.task_id).toSorted()).toEqual(['bad', 'good', 'waits']);
    expect(nodeList.parse((await json(`${base}/api/v1/nodes`)).body).nodes).toHaveLength(1);

    for (const [path, status, problem] of [
      ['tasks/nobody', 404, /no such task/],
      ['tasks/No%2FGood', 404, /no such task/],
      [`tasks/${'a'.repeat(500)}`, 414, /./],
      ['tasks/%zz', 400, /./],
      ['tasks/waits/output/stdout', 404, /no result yet/],
      ['tasks/good/output/stdin', 404, /stdout and stderr/],
      ['tasks?limit=0', 400, /limit must be a whole number from 1 to 500/],
      ['tasks?state=dead&color=red', 400, /state must be one of/],
      ['tasks?cursor=abc', 400, /cursor must be the next_cursor/],
      ['nothing', 404, /openapi\.json/],
    ] as const) {
      const answer = await json(`${base}/api/v1/${path}`);
      expect([answer.status, (answer.body as { problem: string }).problem], path).toEqual([
        status,
        expect.stringMatching(problem),
      ]);
    }
    const post = await fetch(`${base}/api/v1/overview`, { method: 'POST', body: 'x'.repeat(100_000) });
    expect(post.status).toBeGreaterThanOrEqual(400);
  });

  it('send a document only to those who lack it', async ({ expect, onTestFinished }) => {
    const { base } = await site(
      { onTestFinished },
      { PULL_INTERVAL: '60', PULL_INTERVAL_MAX: '60', HEARTBEAT_INTERVAL: '60' },
    );
    const first = await fetch(`${base}/api/v1/overview`);
    const tag = first.headers.get('etag');
    expect(tag).toMatch(/^"[0-9a-f]{16}"$/);
    const again = await fetch(`${base}/api/v1/overview`, { headers: { 'if-none-match': tag ?? '' } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    const other = await fetch(`${base}/api/v1/overview`, { headers: { 'if-none-match': '"other"' } });
    expect(other.status).toBe(200);
    expect(other.headers.get('content-security-policy')).toContain("default-src 'none'");
  });

  it('hold no more streams than they have room for, each for longer than idle connections live', async ({
    expect,
    onTestFinished,
  }) => {
    const { base, tasks } = await site({ onTestFinished }, { PULL_INTERVAL: '1' });
    const readers = await Promise.all(Array.from({ length: 16 }, () => EventReader.open(`${base}/api/v1/events`)));
    onTestFinished(() => readers.forEach((reader) => reader.close()));
    const refused = await fetch(`${base}/api/v1/events`);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await refused.json()).toEqual({ problem: expect.stringMatching(/too many streams/) });
    readers[0]?.close();
    await until('there is room again', async () => {
      const reader = await EventReader.open(`${base}/api/v1/events`).catch(() => null);
      reader?.close();
      return reader !== null;
    });
    // Beyond the ten seconds after which the server ends connections on which nothing passes.
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    expect(readers.filter(({ hasEnded }) => hasEnded)).toHaveLength(1);
    const before = readers[5]?.events.length ?? 0;
    await tasks.queue({ late: { script: 'true' } });
    await until('a change is told', () => (readers[5]?.events.length ?? 0) > before, 4_000);
  });

  it('let go of a reader that is gone without a word, and end with the worker', async ({ expect, onTestFinished }) => {
    const { base, worker } = await site({ onTestFinished });
    const { hostname, port } = new URL(base);
    const gone = Array.from({ length: 16 }, () => connect({ host: hostname, port: Number(port) }));
    for (const socket of gone) socket.write(`GET /api/v1/events HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
    await until('all are taken', async () => {
      const answer = await fetch(`${base}/api/v1/events`);
      await answer.body?.cancel();
      return answer.status === 503;
    });
    for (const socket of gone) socket.resetAndDestroy();
    await until('all are free', async () => {
      const reader = await EventReader.open(`${base}/api/v1/events`).catch(() => null);
      reader?.close();
      return reader !== null;
    });
    const reader = await EventReader.open(`${base}/api/v1/events`);
    expect(await worker.stop()).toBe(0);
    await reader.ended;
  });
});

describe('a worker with a page open', () => {
  it('asks the host for no more than one without', async ({ onTestFinished }) => {
    const measure = async (isOpen: boolean): Promise<{ requests: number; pushes: number; bytes: number }> => {
      const { base, server, tasks, worker } = await site(
        { onTestFinished },
        {
          PULL_INTERVAL: '1',
          PULL_INTERVAL_MAX: '0',
          HEARTBEAT_INTERVAL: '60',
        },
      );
      // The first looks bring different things into the clone, depending on the moment.
      await until('it has looked', () => worker.entries('poll.skipped').length >= 2);
      const reader = isOpen ? await EventReader.open(`${base}/api/v1/events`) : null;
      server.resetCounts();
      const looks = worker.entries('poll.skipped').length + worker.entries('poll.pulling').length;
      const looked = (): number =>
        worker.entries('poll.skipped').length + worker.entries('poll.pulling').length - looks;
      const finished = worker.entries('task.finished').length;
      await tasks.queue({ one: { script: 'true' } });
      await until('it is done', () => worker.entries('task.finished').length > finished, 20_000);
      await until(
        'it was recorded and swept',
        async () => (await tasks.refs('refs/dgrid/tasks')).length === 0 && (await tasks.queued()).length === 0,
        20_000,
      );
      let asked = 0;
      const settled = looked();
      while (looked() < settled + 6) {
        if (isOpen) {
          asked += 1;
          for (const path of ['overview', 'tasks', 'nodes']) await (await fetch(`${base}/api/v1/${path}`)).text();
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      expect(asked > 0).toBe(isOpen);
      const perLook = server.bytesIn / looked();
      await reader?.[Symbol.asyncDispose]();
      const { 'ls-refs': lists, fetch: fetches, 'receive-pack': pushes } = server.counts;
      return { requests: (lists + fetches) / looked(), pushes, bytes: perLook };
    };
    const without = await measure(false);
    const withPage = await measure(true);
    console.log('without a page', without, 'with a page', withPage);
    expect(withPage.pushes).toBe(without.pushes);
    // Looks that fall between two others differ from run to run, not what one of them asks for.
    expect(withPage.requests).toBeLessThan(without.requests * 1.25);
    expect(withPage.bytes).toBeLessThan(without.bytes * 1.25);
  });
});
