/**
 * A process of its own that does, on request, what a client of a Git server does: idle polls, first views, git commands.
 * So its processor time can be told from that of the server and of the benchmark.
 */
import { execFile } from 'node:child_process';
import { loadSettings } from '../../src/config/load.ts';
import { readMachine } from '../../src/config/machine.ts';
import { openRepository } from '../../src/git/open-repository.ts';
import { GridReader } from '../../src/ledger/grid-view.ts';
import { findNamespace } from '../../src/ledger/names.ts';
import { systemClock, systemRandomFraction } from '../../src/runtime.ts';
import { endedChildrenCpuMs } from '../frame/usage.ts';

export type ClientRequest =
  /** The worker's reader from nothing: the first contact, the clone, the view. */
  | { kind: 'view' }
  /** Looks again, when nothing has changed. */
  | { kind: 'polls'; count: number }
  | { kind: 'commands'; argv: readonly string[]; count: number };

export interface ClientAnswer {
  /** Of each. */
  ms: number[];
  /** Of all together: of this process and its children for polls, of the children alone for commands. */
  cpuMs: number;
  queued: number;
}

const MAX_OUTPUT_BYTES = 1024 ** 3;

let reader: GridReader | null = null;

async function openReader(): Promise<GridReader> {
  const machine = readMachine(process.env, process.cwd());
  const loaded = loadSettings({ env: process.env, machine, flags: {}, envFile: null });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { settings } = loaded;
  const parts = { clock: systemClock, emit: () => undefined, random: systemRandomFraction, operatorEnv: process.env };
  const repository = openRepository(settings.git, settings.repoPath, parts);
  const namespace = await findNamespace(repository);
  return new GridReader({ repository, clock: systemClock, namespace, branch: settings.git.branch });
}

async function serve(request: ClientRequest): Promise<ClientAnswer> {
  const count = request.kind === 'view' ? 1 : request.count;
  const before = { own: ownCpuMs(), children: endedChildrenCpuMs() };
  const ms: number[] = [];
  for (let done = 0; done < count; done += 1) {
    const startedMs = performance.now();
    await once(request);
    ms.push(performance.now() - startedMs);
  }
  const children = endedChildrenCpuMs() - before.children;
  const cpuMs = request.kind === 'commands' ? children : children + ownCpuMs() - before.own;
  return { ms, cpuMs, queued: reader?.view.queue.files.size ?? 0 };
}

async function once(request: ClientRequest): Promise<void> {
  if (request.kind === 'commands') return run(request.argv);
  if (request.kind === 'view') reader = await openReader();
  if (!reader) throw new Error('a poll needs a view first');
  const { fetched } = await reader.refresh();
  if (request.kind === 'polls' && fetched) throw new Error('this poll was not idle: it fetched');
}

function run([command = '', ...args]: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { maxBuffer: MAX_OUTPUT_BYTES }, (error, _stdout, stderr) => {
      if (error) reject(new Error(`${command} ${args.join(' ')}: ${stderr}`, { cause: error }));
      else resolve();
    });
  });
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

process.on('message', (request: ClientRequest) => {
  serve(request).then(
    (answer) => process.send?.({ answer }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
