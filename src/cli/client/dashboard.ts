/** `dgrid dashboard`: the grid in a browser, straight from the repository. */
import type { Command } from 'commander';
import type { GridClient } from '../../client/grid-client.ts';
import type { GridWatcher } from '../../client/grid-watcher.ts';
import { isLoopback } from '../../config/loopback.ts';
import type { ClientSettings } from '../../config/settings.ts';
import { Failure } from '../failure.ts';
import type { Output } from '../output.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { packageVersion } from '../version.ts';
import { withClient } from './with-client.ts';

const DEFAULT_PORT = 8080;
const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_INTERVAL_SECONDS = 1;
const MIN_INTERVAL_SECONDS = 0.2;
const MAX_INTERVAL_SECONDS = 3_600;
const MAX_PORT = 65_535;

export function addDashboardCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'dashboard',
    summary: 'show the grid in a browser',
    description:
      'Serves pages that show the whole grid as it is now: queue, nodes, tasks with their output. They come straight from\n' +
      'the repository, so no worker has to be reachable, and nothing can be changed there. The pages have no password, so\n' +
      'they are for this machine alone. With --static the same is written once, as files for a host of static pages.\n' +
      'Stop serving with Ctrl-C.',
    examples: ['dgrid dashboard', 'dgrid dashboard --port 0 --interval 5', 'dgrid dashboard --static public'],
    settings: 'client',
  });
  command.option('--port <number>', `where to listen; 0: any free port (default: ${DEFAULT_PORT})`);
  command.option('--host <address>', `a loopback address to listen on (default: ${DEFAULT_HOST})`);
  command.option('--interval <seconds>', `time between two looks (default: ${DEFAULT_INTERVAL_SECONDS})`);
  command.option('--static <directory>', 'write the site there, and end');
  command.action(async () => {
    const output = outputOf(command, cli);
    const { directory, host, intervalMs, port } = optionsOf(command.opts());
    await withClient(command, cli, output, async (client, settings) => {
      const source = directory === null ? 'client' : 'static';
      const watcher = await watcherOf(client, settings, { source, intervalMs });
      // What is wrong from the beginning is for whoever typed the command, and not for a page.
      await watcher.look();
      if (directory === null) await serve(client, watcher, output, { host, port });
      else await write(client, watcher, output, directory);
    });
  });
}

async function watcherOf(
  client: GridClient,
  settings: ClientSettings,
  { source, intervalMs }: { source: 'client' | 'static'; intervalMs: number },
): Promise<GridWatcher> {
  // Loaded here: no other command of this program needs the documents of the pages.
  const { GridWatcher } = await import('../../client/grid-watcher.ts');
  return new GridWatcher({
    client,
    source,
    version: packageVersion(),
    repository: settings.git.repoUrl,
    maxTaskBytes: settings.maxTaskBytes,
    intervalMs,
  });
}

/** Until the signal; the exit code is the interruption's. */
async function serve(
  client: GridClient,
  watcher: GridWatcher,
  output: Output,
  { host, port }: { host: string; port: number },
): Promise<void> {
  const [{ createDashboardApp }, { listen }] = await Promise.all([
    import('./dashboard-app.ts'),
    import('../../observe/http/server.ts'),
  ]);
  const server = await listen({
    host,
    port,
    load: (http, signal) =>
      createDashboardApp(http, {
        source: watcher.pages,
        host,
        version: packageVersion(),
        clock: client.clock,
        signal,
        onAsked: () => watcher.asked(),
      }),
  }).catch((cause: unknown) => {
    const { code, message } = cause as NodeJS.ErrnoException;
    const remedy =
      code === 'EADDRINUSE' ? 'something else listens there: choose another --port, or 0 for any' : message;
    throw new Failure('failed', `cannot listen on ${host}, port ${port}: ${remedy}`, { cause });
  });
  try {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${server.port}/`;
    output.document({ url });
    output.line(`The grid is shown at ${url} until you stop this with Ctrl-C.`);
    await watcher.watch();
  } finally {
    await server.close();
  }
}

async function write(client: GridClient, watcher: GridWatcher, output: Output, directory: string): Promise<void> {
  const [{ StaticSiteError, writeStaticSite }, { BusyError }, { readAsset }] = await Promise.all([
    import('../../client/static-site.ts'),
    import('../../pages/turnstile.ts'),
    import('../../assets.ts'),
  ]);
  try {
    const written = await writeStaticSite({ directory, pages: watcher.pages, readAsset, signal: client.signal });
    output.document({ directory, ...written });
    output.line(`The grid as it is now was written to ${directory}: the page, and ${written.tasks} tasks.`);
  } catch (error) {
    if (error instanceof StaticSiteError) throw new Failure('usage', error.message, { cause: error.cause });
    if (error instanceof BusyError) throw new Failure('failed', error.message);
    throw error;
  }
}

interface DashboardOptions {
  host: string;
  port: number;
  intervalMs: number;
  /** null: serve. */
  directory: string | null;
}

/** @throws Failure that names each option that is wrong */
function optionsOf(given: Record<string, unknown>): DashboardOptions {
  const problems: { name: string; message: string }[] = [];
  const text = (name: string): string | null => (typeof given[name] === 'string' ? given[name] : null);
  const host = text('host') ?? DEFAULT_HOST;
  if (!isLoopback(host)) {
    const remedy =
      'to look from elsewhere, forward the port with ssh -L, or put a proxy that asks for a password before it';
    problems.push({
      name: '--host',
      message: `must be a loopback address, since the pages have no password; ${remedy}`,
    });
  }
  const port = text('port') ?? String(DEFAULT_PORT);
  if (!/^\d{1,5}$/.test(port) || Number(port) > MAX_PORT) {
    problems.push({ name: '--port', message: `must be a whole number from 0 to ${MAX_PORT}` });
  }
  const interval = text('interval') ?? String(DEFAULT_INTERVAL_SECONDS);
  const seconds = /^\d+(?:\.\d+)?$/.test(interval) ? Number(interval) : Number.NaN;
  if (!(seconds >= MIN_INTERVAL_SECONDS && seconds <= MAX_INTERVAL_SECONDS)) {
    const message = `must be a number of seconds from ${MIN_INTERVAL_SECONDS} to ${MAX_INTERVAL_SECONDS}`;
    problems.push({ name: '--interval', message });
  }
  const directory = text('static');
  if (directory?.trim() === '') problems.push({ name: '--static', message: 'must name a directory' });
  const serving = ['host', 'port', 'interval'].filter((name) => text(name) !== null);
  if (directory !== null && serving.length > 0) {
    const message = `writes files and serves nothing: leave away --${serving.join(', --')}`;
    problems.push({ name: '--static', message });
  }
  if (problems.length > 0) throw new Failure('usage', 'this cannot be shown', { problems });
  return { host, port: Number(port), intervalMs: seconds * 1000, directory };
}
