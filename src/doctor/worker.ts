/** The worker of this state directory, if one runs: what it says of itself; and whether its port is free, if none does. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { lookForHolder } from '../host/instance-lock.ts';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';
import { askWorker } from './worker-pages.ts';

export async function* checkWorker({ settings }: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const { stateDir, httpPort, httpHost, nodeId } = settings;
  let runs = false;
  try {
    const found = await lookForHolder(stateDir);
    runs = found !== null;
    yield ok('worker', runs ? `one runs here${describe(found?.holder ?? null)}` : 'none runs in this state directory');
  } catch (error) {
    yield broken('worker', error, 'make DGRID_STATE_DIR usable: no worker can start there');
  }
  if (httpPort === 0) {
    yield ok('health pages', 'off (HTTP_PORT=0)');
    return;
  }
  const health = await askWorker(settings, '/health', signal);
  if ('body' in health) yield* judgeHealth(health.body, nodeId, runs);
  else if (runs) {
    const finding = `the worker does not answer on ${httpHost}:${httpPort}: ${health.problem}`;
    yield warning(
      'health pages',
      finding,
      'if it was started with another HTTP_PORT, set the same here; else restart it',
    );
  } else yield await checkPort(httpHost, httpPort);
}

function describe(holder: { pid: number; nodeId: string; since: string } | null): string {
  return holder === null ? '' : `: process ${holder.pid}, node ${holder.nodeId}, since ${holder.since}`;
}

/** Pure. @param body of `/health`, which may be anybody's */
export function* judgeHealth(body: string, nodeId: string, runs: boolean): Generator<CheckResult> {
  const check = 'running worker';
  const said = readHealth(body);
  if (said === null || said.node !== nodeId) {
    const who = said === null ? 'somebody else' : `the worker of node ${String(said.node)}`;
    const finding = `HTTP_PORT is used by ${who}${runs ? ', so this worker has no pages' : ''}`;
    yield warning('health pages', finding, 'set another HTTP_PORT');
    return;
  }
  const state = `${said.state}, ${said.running} tasks in work`;
  if (said.paused.length === 0) {
    yield ok(check, state);
    return;
  }
  const why = said.paused.map(({ reason, text }) => `${reason}: ${text}`).join('; ');
  yield warning(check, `${state}; claims nothing: ${why}`, 'docs/host.md says of each reason what ends it');
}

interface Health {
  node: unknown;
  state: string;
  running: number;
  paused: { reason: string; text: string }[];
}

function readHealth(body: string): Health | null {
  try {
    const said = JSON.parse(body) as Record<string, unknown> | null;
    if (typeof said !== 'object' || said === null || !('node' in said) || !Array.isArray(said['paused'])) return null;
    return {
      node: said['node'],
      state: String(said['state']),
      running: Array.isArray(said['running']) ? said['running'].length : 0,
      paused: (said['paused'] as { reason?: unknown; text?: unknown }[]).map((entry) => ({
        reason: String(entry?.reason),
        text: String(entry?.text),
      })),
    };
  } catch {
    return null;
  }
}

/** By taking it for a moment. */
async function checkPort(host: string, port: number): Promise<CheckResult> {
  const check = 'health pages';
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
    return ok(check, `${host}:${port} is free for them`);
  } catch (error) {
    return warning(
      check,
      `cannot be served on ${host}:${port}: ${messageOf(error)}`,
      'set another HTTP_HOST or HTTP_PORT',
    );
  } finally {
    server.close();
  }
}
