/**
 * The page in front of the real programs: a worker and `dgrid dashboard`, on one repository over HTTP. Whatever happens to a
 * task has to show in an open browser within two seconds of when the program could know it, and the page has to ask nobody
 * else and complain of nothing.
 */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, type TestContext } from 'vitest';
import { startClient } from '../../support/client-program.ts';
import { freePort } from '../../support/free-port.ts';
import { GitServer } from '../../support/git-server.ts';
import { StubWorkerProcess } from '../../support/stub-worker-process.ts';
import { TaskRepository } from '../../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../../support/temp.ts';
import { useBrowser } from '../../support/test-browser.ts';
import { until } from '../../support/until.ts';
import { watchedPage } from '../../support/viewed-pages.ts';

const WITHIN_MS = 2_000;
const browser = useBrowser();
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('live');
});

afterAll(async () => {
  await server.stop();
  directory.remove();
});

async function grid(name: string): Promise<TaskRepository> {
  const tasks = new TaskRepository(await server.createRepository(name));
  await tasks.commit({ 'README.md': 'tasks\n' });
  return tasks;
}

function shown(page: Page, table: string, text: string): Promise<void> {
  return page.locator(`table.${table} tbody tr`, { hasText: text }).first().waitFor({ timeout: 20_000 });
}

/** A worker on a grid of its own, and a tab for its page. */
async function besideWorker(name: string, onTestFinished: TestContext['onTestFinished']) {
  const tasks = await grid(name);
  const port = await freePort();
  const worker = StubWorkerProcess.start({
    directory: directory.path,
    name: `box-${name}`,
    repoUrl: server.url(name),
    env: { HTTP_PORT: String(port), PULL_INTERVAL: '0.5' },
  });
  onTestFinished(async () => void (await worker.stop('SIGKILL')));
  await worker.logged('worker.ready');
  const home = `http://127.0.0.1:${port}/`;
  const { page, troubles, close } = await watchedPage(browser(), home);
  onTestFinished(() => close());
  return { tasks, worker, home, page, troubles };
}

it('shows what a worker does as it does it', async ({ onTestFinished }) => {
  const { tasks, worker, home, page, troubles } = await besideWorker('worker', onTestFinished);
  await page.goto(home);
  await page.locator('.connection', { hasText: 'live' }).waitFor();
  const delays: Record<string, number> = {};
  const measured = async (what: string, known: Promise<unknown>, seen: Promise<void>): Promise<void> => {
    await known;
    const knownMs = performance.now();
    await seen;
    delays[what] = performance.now() - knownMs;
  };
  const claimed = worker.logged('task.started', ({ task }) => task === 'live-1');
  const running = shown(page, 'running', 'live-1');
  await tasks.queue({ 'live-1': { script: 'sleep 2500' } });
  await measured('running', claimed, running);
  await measured(
    'recent',
    worker.logged('task.finished', ({ task }) => task === 'live-1'),
    shown(page, 'recent', 'live-1'),
  );
  expect(
    Object.values(delays).every((ms) => ms < WITHIN_MS),
    JSON.stringify(delays),
  ).toBe(true);
  await page.locator('table.recent a', { hasText: 'live-1' }).click();
  await page.getByRole('heading', { name: /live-1/ }).waitFor();
  await page.getByRole('heading', { name: 'Phases' }).waitFor();
  expect(troubles).toEqual([]);
  expect(await worker.stop()).toBe(0);
});

it('shows what a task writes as it writes it, and stays at the end of it', async ({ onTestFinished }) => {
  const { tasks, worker, home, page, troubles } = await besideWorker('writing', onTestFinished);
  await tasks.queue({ writes: { script: 'lines 300 60' } });
  await worker.logged('task.started');
  await page.goto(`${home}#/tasks/writes`);
  await page.getByRole('heading', { name: 'Output so far' }).waitFor({ timeout: 20_000 });
  const output = page.getByRole('region', { name: 'Standard output' });
  const lines = async (): Promise<number> => ((await output.textContent()) ?? '').split('\n').length;
  const isAtEnd = (): Promise<boolean> =>
    output.evaluate(({ clientHeight, scrollHeight, scrollTop }) => scrollHeight - scrollTop - clientHeight < 8);
  await output.waitFor();
  // More than fits.
  await until('much of it', async () => (await lines()) > 50, 15_000);
  expect(await isAtEnd()).toBe(true);
  // Whoever looks at something further up is left there, with what was selected.
  const region = `document.querySelector('[aria-label="Standard output"]')`;
  await page.evaluate(`${region}.scrollTop = 20`);
  await page.evaluate(`getSelection().setBaseAndExtent(${region}.firstChild, 0, ${region}.firstChild, 10)`);
  const selection = (): Promise<unknown> => page.evaluate('String(getSelection())');
  const selected = await selection();
  expect(selected).toHaveLength(10);
  const before = await lines();
  await until('more of it', async () => (await lines()) > before);
  expect(await output.evaluate(({ scrollTop }) => scrollTop)).toBe(20);
  expect(await selection()).toBe(selected);
  await page.getByRole('heading', { name: 'Output', exact: true }).waitFor({ timeout: 40_000 });
  expect(await lines()).toBe(301);
  expect(troubles).toEqual([]);
  expect(await worker.stop()).toBe(0);
});

it('shows the whole grid from a laptop', async ({ onTestFinished }) => {
  const tasks = await grid('laptop');
  const worker = StubWorkerProcess.start({
    directory: directory.path,
    name: 'box-2',
    repoUrl: server.url('laptop'),
    env: { PULL_INTERVAL: '0.5' },
  });
  onTestFinished(async () => void (await worker.stop('SIGKILL')));
  await worker.logged('worker.ready');
  const userHome = directory.sub('user');
  mkdirSync(userHome, { recursive: true });
  const program = startClient(['dashboard', '--repo', server.url('laptop'), '--port', '0', '--json'], {
    home: userHome,
  });
  onTestFinished(async () => {
    const ended = once(program, 'exit');
    if (program.kill('SIGINT')) await ended;
  });
  if (!program.stdout) throw new Error('the program has no output');
  const lines: string[] = [];
  createInterface({ input: program.stdout }).on('line', (line) => lines.push(line));
  const address = (): string | undefined => /http:\/\/[^"]+/.exec(lines.join('\n'))?.[0];
  await until('the address', () => address() !== undefined);
  const home = address() ?? '';
  const { page, troubles, close } = await watchedPage(browser(), home);
  onTestFinished(() => close());
  await page.goto(home);
  await page.locator('.connection', { hasText: 'live' }).waitFor();
  const seen = shown(page, 'recent', 'laptop-1');
  await tasks.queue({ 'laptop-1': { script: 'true' } });
  await worker.logged('result.acknowledged', ({ task }) => task === 'laptop-1');
  const knownMs = performance.now();
  await seen;
  expect(performance.now() - knownMs).toBeLessThan(WITHIN_MS);
  await page.getByText('box-2').first().waitFor();
  expect(troubles).toEqual([]);
});
