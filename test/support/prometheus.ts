/** A real Prometheus of a test's own, with data in a directory of the test. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Daemon } from './daemon.ts';
import { freePort } from './free-port.ts';

export interface Series {
  metric: Record<string, string>;
  value: [number, string];
}

export interface Alert {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  state: 'pending' | 'firing';
}

interface Rule {
  name: string;
  query: string;
}

export class Prometheus {
  readonly #daemon: Daemon;
  readonly #base: string;

  private constructor(daemon: Daemon, base: string) {
    this.#daemon = daemon;
    this.#base = base;
  }

  /** @param config YAML, with the paths of rule files relative to `directory` */
  static async start(directory: string, config: string): Promise<Prometheus> {
    const file = join(directory, 'prometheus.yml');
    await writeFile(file, config);
    const base = `http://127.0.0.1:${await freePort()}`;
    const daemon = await Daemon.start(
      [
        'prometheus',
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=${new URL(base).host}`,
      ],
      {
        log: join(directory, 'prometheus.log'),
        cwd: directory,
        probe: async () => {
          const { ok } = await fetch(`${base}/-/ready`);
          if (!ok) throw new Error('Prometheus is not ready');
        },
      },
    );
    return new Prometheus(daemon, base);
  }

  /** @throws Error with what Prometheus says against the query */
  async query(expression: string): Promise<Series[]> {
    const { result } = await this.#ask<{ result: Series[] }>(
      `query?${new URLSearchParams({ query: expression }).toString()}`,
    );
    return result;
  }

  async alerts(): Promise<Alert[]> {
    return (await this.#ask<{ alerts: Alert[] }>('alerts')).alerts;
  }

  async rules(): Promise<Rule[]> {
    const { groups } = await this.#ask<{ groups: { rules: Rule[] }[] }>('rules');
    return groups.flatMap(({ rules }) => rules);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop();
  }

  async #ask<T>(path: string): Promise<T> {
    const answer = await fetch(`${this.#base}/api/v1/${path}`);
    const { data, error } = (await answer.json()) as { data: T; error?: string };
    if (!answer.ok) throw new Error(`${path}: ${error}`);
    return data;
  }
}

/** @throws Error with all that it said when it finds fault */
export async function promtool(args: readonly string[], cwd: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('promtool', args, { cwd });
  return stdout + stderr;
}

/** @returns what it has against a scrape; empty: nothing */
export async function complaintsAbout(scrape: string): Promise<string> {
  const child = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk));
  child.stdin.end(scrape);
  const [code] = (await once(child, 'close')) as [number];
  return code === 0 ? said : `exit code ${code}: ${said}`;
}
