/** What a worker takes of its machine while there is nothing to do, and how large it is. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../test/support/free-port.ts';
import { runProgram } from '../../test/support/programs.ts';
import { WORKER_IMAGE, WorkerImage } from '../../test/support/worker-image.ts';
import { atMost, type Figure, figure, missingFigure } from '../frame/figure.ts';
import { fastImport, historyStream } from '../frame/fixtures.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import { startTaskServer } from '../frame/task-server.ts';
import { cpuMs, residentMib } from '../frame/usage.ts';
import { BenchWorker } from '../frame/worker.ts';

const ROOT = join(import.meta.dirname, '../..');
const SAMPLE_EVERY_MS = 500;
const READY_BOUND_MS = 60_000;
const MIB = 1024 ** 2;
const EMPTY = 'an empty Node.js process';
/** As a worker is set up when nothing is set, and not as tests like it. */
const DEFAULTS = { PULL_INTERVAL: '', HEARTBEAT_INTERVAL: '', RECORD_DELAY: '', LOG_LEVEL: '' };

export const footprint: Suite = {
  name: 'footprint',
  title: 'an idle worker',
  method:
    'dgrid-worker start with the default settings, its health pages listening, on a real container engine and ' +
    'a bare repository behind git http-backend on loopback. After half a minute to settle, its resident memory is sampled ' +
    'twice a second for a minute, with that of its children, and its processor time is what it and its children used in that minute; an ' +
    'empty Node.js process is watched in the same minute. Time to ready is from the start of the process until it says so, ' +
    'with the clone on disk, in turns with an empty Node.js process from start to end. Sizes are those of npm pack, and of ' +
    'the image as built from docker/Dockerfile.',
  aim: '≤ 80 MiB; ≤ 0.5 % of a core; ready in ≤ 1 s after the clone',
  limits:
    'an empty Node.js process with its HTTP client loaded takes 60 MiB (42 without), of which 44 are its own program ' +
    'mapped into memory; the parts that a worker cannot do without (zod, pino, dockerode, simple-git, systeminformation, ' +
    'commander) bring it to 80 before the worker has done anything, each measured in a process of its own. What was tried: ' +
    'one bundled file (1.5 MiB less), V8’s own settings for small memory (2 MiB less than now, and slower), fewer arenas of ' +
    'the allocator (2 MiB less).',
  boundMinutes: 45,
  run,
};

async function run(lab: Lab): Promise<Figure[]> {
  const server = lab.use(await startTaskServer());
  await fastImport(server.path, historyStream({ commits: 200, results: 400, queued: 0 }));
  const engine = await lab.engine();
  await engine.importBusybox();
  // Any that is free: the default one may be taken on this machine.
  const port = String(await freePort());
  const start = (): BenchWorker =>
    lab.use(
      BenchWorker.start({
        directory: lab.directory.path,
        name: 'worker',
        repoUrl: server.url,
        engine: { host: engine.host },
        env: { ...DEFAULTS, HTTP_PORT: port },
      }),
    );
  return [...(await idle(lab, start)), await startUp(lab, start), ...(await packageSizes()), ...(await imageSize(lab))];
}

async function idle(lab: Lab, start: () => BenchWorker): Promise<Figure[]> {
  const watchMs = lab.size(3_000, 60_000);
  const worker = start();
  await worker.next('worker.ready', READY_BOUND_MS);
  const empty = lab.use(emptyProcess('setInterval(() => undefined, 1 << 30)'));
  lab.tell(`watching for ${watchMs / 1000} s`);
  await pause(lab.size(1_000, 30_000));
  const pids = { worker: worker.process.pid, empty: empty.pid };
  const memory: Record<keyof typeof pids, number[]> = { worker: [], empty: [] };
  const before = { worker: cpuMs(pids.worker), empty: cpuMs(pids.empty) };
  const startedMs = performance.now();
  while (performance.now() - startedMs < watchMs) {
    for (const who of ['worker', 'empty'] as const) memory[who].push(residentMib(pids[who]) ?? Number.NaN);
    await pause(SAMPLE_EVERY_MS);
  }
  const tookMs = performance.now() - startedMs;
  const percent = (who: keyof typeof pids) => ({
    value: (100 * ((cpuMs(pids[who]) ?? Number.NaN) - (before[who] ?? Number.NaN))) / tookMs,
    samples: 1,
  });
  const figures = [
    figure({
      name: 'resident memory while idle',
      unit: 'MiB',
      values: memory.worker,
      baseline: { name: EMPTY, values: memory.empty },
      aim: atMost(80, '≤ 80 MiB'),
    }),
    figure({
      name: 'share of one core while idle',
      unit: '%',
      ...percent('worker'),
      baseline: { name: EMPTY, ...percent('empty') },
      aim: atMost(0.5, '≤ 0.5 %'),
    }),
  ];
  await worker.stop();
  await empty[Symbol.asyncDispose]();
  return figures;
}

/** The clone is there: the worker has run before. */
async function startUp(lab: Lab, start: () => BenchWorker): Promise<Figure> {
  const rounds = lab.size(2, 20);
  const ready: number[] = [];
  const empty: number[] = [];
  lab.tell(`starting ${rounds} times`);
  for (let round = 0; round < rounds; round += 1) {
    const worker = start();
    const { arrivedMs } = await worker.next('worker.ready', READY_BOUND_MS);
    ready.push(arrivedMs - worker.startedMs);
    await worker.stop();
    const startedMs = performance.now();
    await using child = emptyProcess('');
    await child.ended;
    empty.push(performance.now() - startedMs);
  }
  return figure({
    name: 'from start to ready',
    unit: 'ms',
    values: ready,
    baseline: { name: EMPTY, values: empty },
    aim: atMost(1000, '≤ 1 s'),
  });
}

async function packageSizes(): Promise<Figure[]> {
  // What npm builds before it packs says so on standard output too.
  const out = await runProgram('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT });
  const [packed] = JSON.parse(out) as { size: number; unpackedSize: number }[];
  if (!packed) throw new Error('npm pack said nothing of the package');
  return [
    figure({ name: 'package, packed', unit: 'MiB', value: packed.size / MIB, samples: 1 }),
    figure({ name: 'package, unpacked', unit: 'MiB', value: packed.unpackedSize / MIB, samples: 1 }),
  ];
}

async function imageSize(lab: Lab): Promise<Figure[]> {
  const frame = { name: 'image of the worker', unit: 'MiB' } as const;
  lab.tell(lab.quick ? 'the image is left out with --quick: building it takes minutes' : 'building the image');
  if (lab.quick) return [];
  try {
    const image = await WorkerImage.build(await lab.engine(), lab.directory.sub('docker'));
    const { Size } = await image.inspect<{ Size: number }>('image', WORKER_IMAGE);
    return [figure({ ...frame, value: Size / MIB, samples: 1 })];
  } catch (error) {
    return [missingFigure(frame, `it could not be built here: ${String(error).slice(0, 300)}`)];
  }
}

function emptyProcess(script: string): AsyncDisposable & { pid: number; ended: Promise<unknown> } {
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  return {
    pid: child.pid ?? 0,
    ended,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    },
  };
}
