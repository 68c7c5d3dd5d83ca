/** A real Prometheus scrapes real workers: what the dashboard and the alerts ask for is there, and one alert goes off. */
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { METRIC_NAMES } from '../../src/observe/metrics/catalogue.ts';
import { freePort } from '../support/free-port.ts';
import { GitServer } from '../support/git-server.ts';
import { ROOT } from '../support/markdown.ts';
import { complaintsAbout, Prometheus, promtool } from '../support/prometheus.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const MONITORING = join(ROOT, 'monitoring');
const TOKEN = 'the-token-of-these-workers';
/** What a good day, a stub engine or an old kernel has nothing to say about. */
const MAY_BE_EMPTY =
  /dgrid_pool_|dgrid_pressure_ratio|dgrid_git_retries_total|dgrid_cleanup_|dgrid_paused|dgrid_disk_inodes|dgrid_swaps_total/;

interface Dashboard {
  panels: { title: string; targets?: { expr: string }[] }[];
}

let directory: TempDir;
let server: GitServer;
const workers: { name: string; port: number; process: WorkerProcess }[] = [];

beforeAll(async () => {
  directory = makeTempDir('monitoring');
  server = await GitServer.start();
});

afterAll(async () => {
  for (const { process } of workers) await process.stop('SIGKILL');
  await server.stop();
  directory.remove();
});

async function startWorker(name: string, env: Record<string, string>): Promise<void> {
  const port = await freePort();
  const process = StubWorkerProcess.start({
    directory: directory.path,
    name,
    repoUrl: server.url('watched'),
    env: { HTTP_PORT: String(port), HTTP_TOKEN: TOKEN, LOG_LEVEL: 'info', MAX_PARALLEL_TASKS: '2', ...env },
  });
  workers.push({ name, port, process });
  await process.logged('worker.ready');
}

function scrapeConfig(): string {
  const targets = workers.map(({ port }) => `127.0.0.1:${port}`);
  const global = { scrape_interval: '1s', evaluation_interval: '1s' };
  const authorization = { credentials_file: 'token' };
  const jobs = [{ job_name: 'dgrid', authorization, static_configs: [{ targets }] }];
  return JSON.stringify({ global, rule_files: ['alerts.yml'], scrape_configs: jobs });
}

describe('monitoring', () => {
  it('is what promtool expects', async () => {
    expect(await promtool(['check', 'rules', 'prometheus-alerts.yml'], MONITORING)).toMatch(
      /SUCCESS: \d\d rules found/,
    );
    expect(await promtool(['test', 'rules', 'prometheus-alerts.test.yml'], MONITORING)).toContain('SUCCESS');
    expect(await promtool(['check', 'config', '--syntax-only', 'prometheus.yml'], MONITORING)).toContain('SUCCESS');
  });

  it('shows a grid at work, and tells of a worker that died', async () => {
    const repo = new TaskRepository(await server.createRepository('watched'));
    await repo.commit({ 'README.md': 'tasks\n' });
    await startWorker('one', { MAX_TASKS_PER_HOUR: '1000' });
    await startWorker('two', { GIT_PUSHES_PER_MINUTE: '600' });
    const place = join(directory.path, 'prometheus');
    await mkdir(place);
    await writeFile(join(place, 'token'), `${TOKEN}\n`);
    // Nobody waits for five minutes here.
    const alerts = readFileSync(join(MONITORING, 'prometheus-alerts.yml'), 'utf8');
    await writeFile(join(place, 'alerts.yml'), alerts.replace(/^( +for:) .*$/gm, '$1 1s'));
    await using prometheus = await Prometheus.start(place, scrapeConfig());
    const figure = async (expression: string): Promise<number> =>
      Number((await prometheus.query(expression))[0]?.value[1] ?? Number.NaN);

    await until('both to be scraped', async () => (await figure('sum(up{job="dgrid"})')) === 2, 30_000);
    const tasks = Object.fromEntries(
      Array.from({ length: 12 }, (_, at) => [`task-${at}`, { script: at % 4 === 0 ? 'exit 3' : 'sleep 200' }]),
    );
    await repo.queue({
      ...tasks,
      again: { script: 'exit 1', retries: 1 },
      greedy: { script: 'exit 0', memory: '10g' },
    });
    const finished = 'sum(dgrid_tasks_finished_total)';
    await until('all tasks to be seen', async () => (await figure(finished)) === 14, 60_000);
    expect(await figure('sum(dgrid_tasks_finished_total{status="success"})')).toBe(9);
    expect(await figure('sum(dgrid_tasks_finished_total{reason="exit-code"})')).toBe(4);
    expect(await figure('sum(dgrid_tasks_finished_total{reason="rejected"})')).toBe(1);
    expect(await figure('sum(dgrid_task_phase_seconds_count{phase="run"})')).toBe(13);
    expect(await figure('sum(dgrid_task_retries_total)')).toBe(1);
    expect(await figure('sum(dgrid_claims_total{result="won"})')).toBeGreaterThanOrEqual(15);
    await until('all records to be seen', async () => (await figure('sum(dgrid_records_total)')) === 14, 60_000);
    await until(
      'an empty queue',
      async () => (await figure('max(dgrid_queue_tasks{priority="medium"})')) === 0,
      60_000,
    );
    // What they say of their traffic is what came through the server, but for what is under way.
    const received = await figure('sum(dgrid_git_received_bytes_total)');
    expect(received).toBeGreaterThan(0);
    expect(received).toBeLessThanOrEqual(server.bytesOut);

    const dashboard = JSON.parse(readFileSync(join(MONITORING, 'grafana-dashboard.json'), 'utf8')) as Dashboard;
    const empty: string[] = [];
    for (const { targets = [], title } of dashboard.panels) {
      for (const { expr } of targets) {
        const asked = expr
          .replaceAll('$job', 'dgrid')
          .replaceAll('$instance', '.*')
          .replaceAll('$__rate_interval', '1m');
        expect(asked, title).not.toContain('$');
        if ((await prometheus.query(asked)).length === 0 && !MAY_BE_EMPTY.test(asked)) empty.push(`${title}: ${asked}`);
      }
    }
    expect(empty).toEqual([]);

    const rules = await prometheus.rules();
    expect(rules.length).toBeGreaterThan(10);
    for (const { query } of rules) await prometheus.query(query);
    expect((await prometheus.alerts()).filter(({ labels }) => labels['alertname'] === 'DGridWorkerDown')).toEqual([]);

    const scrape = await fetch(`http://127.0.0.1:${workers[0]!.port}/metrics`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const text = await scrape.text();
    expect(await complaintsAbout(text)).toBe('');
    const shown = new Set(text.match(/^# TYPE (\S+)/gm)?.map((line) => line.slice('# TYPE '.length)));
    expect(METRIC_NAMES.filter((name) => !shown.has(name))).toEqual([]);
    for (const id of Object.keys(tasks)) expect(text).not.toContain(id);

    const dead = workers[1]!;
    await dead.process.stop('SIGKILL');
    await until(
      'the alert',
      async () =>
        (await prometheus.alerts()).some(
          ({ labels, state }) => state === 'firing' && labels['alertname'] === 'DGridWorkerDown',
        ),
      30_000,
    );
    const fired = (await prometheus.alerts()).filter(({ labels }) => labels['alertname'] === 'DGridWorkerDown');
    expect(fired.map(({ labels }) => labels['instance'])).toEqual([`127.0.0.1:${dead.port}`]);
    expect(fired[0]?.annotations['runbook']).toBe('docs/monitoring.md#worker-down');
  });
});
