/**
 * What a worker needs of any engine, one scenario each: run on Docker, through the filter, on Podman, and rootless, so
 * that what differs shows by name. Each makes executors of its own and leaves nothing behind.
 */
import { expect } from 'vitest';
import type { DockerSettings } from '../../src/config/settings.ts';
import { gridIdOf } from '../../src/executor/docker/grid-id.ts';
import type { Job } from '../../src/executor/executor.ts';
import { finish, type Outcome, TEST_NODE, type TestExecutor, testExecutor, testJob } from './docker-jobs.ts';
import type { EngineApi } from './engine-api.ts';
import { makeTempDir } from './temp.ts';
import { runWarm, WARM_LIMITS } from './warm-pool.ts';

export interface Site {
  /** The engine itself, for looking at what is there. */
  engine: EngineApi;
  /** Where the executor finds it. */
  host: string;
}

export const SITE_REPO = 'https://git.example.com/team/tasks.git';
export const SITE_IMAGES = ['busybox:stable', 'no-shell', 'with-volume'];

const MIB = 1024 * 1024;
const GRID = gridIdOf(SITE_REPO);
const HUNGRY = 'head -c 200000000 /dev/zero | tail >/dev/null';

export interface Scenario {
  name: string;
  /** Beside an engine that answers: cgroups that it may use, and that it tells when memory ran out. */
  needs?: 'limits' | 'word-on-memory';
  run(site: Site): Promise<void>;
}

/** Before the first scenario. */
export async function prepareSite(engine: EngineApi): Promise<void> {
  await engine.importBusybox();
  await engine.importWithoutShell('no-shell:latest', 'echo');
  await engine.importBusybox('with-volume:latest', ['VOLUME /data']);
}

async function open(
  site: Site,
  changes: Partial<DockerSettings> = {},
  ownedImagesFile?: string,
): Promise<TestExecutor> {
  const options = { gridId: GRID, ...(ownedImagesFile === undefined ? {} : { ownedImagesFile }) };
  return await testExecutor(site.host, { allowedImages: SITE_IMAGES, ...changes }, options);
}

async function runOne(site: Site, program: string | readonly string[], changes: Partial<Job> = {}): Promise<Outcome> {
  await using test = await open(site);
  return await finish(await test.executor.start(testJob(program, changes)));
}

function succeeded(outcome: Outcome): void {
  expect(outcome.verdict, outcome.stderr).toEqual({ kind: 'exited', exitCode: 0, outOfMemory: false });
}

export const CORE_SCENARIOS: readonly Scenario[] = [
  {
    name: 'the engine says what it is',
    async run(site) {
      await using test = await open(site);
      const info = await test.executor.probe();
      expect(info.version).toMatch(/^\d+\./);
      expect(info.cpus).toBeGreaterThan(0);
      expect(info.memoryBytes).toBeGreaterThan(MIB);
      expect(info.dataRoot).toMatch(/^\//);
      expect(['1', '2']).toContain(info.cgroupVersion);
    },
  },
  {
    name: 'a script, its outputs and its exit code',
    async run(site) {
      const end = await runOne(site, 'echo out; echo err >&2; exit 3');
      expect(end.verdict).toEqual({ kind: 'exited', exitCode: 3, outOfMemory: false });
      expect([end.stdout, end.stderr]).toEqual(['out\n', 'err\n']);
      expect(end.image.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    },
  },
  {
    name: 'a command in an image without a shell',
    async run(site) {
      const end = await runOne(site, ['/echo', 'a b', '$HOME', '*'], { image: 'no-shell' });
      succeeded(end);
      expect(end.stdout).toBe('a b $HOME *\n');
    },
  },
  {
    name: 'a program that is not there',
    async run(site) {
      for (const program of ['/no/such/program', '/etc']) {
        const { stderr, verdict } = await runOne(site, [program]);
        expect(verdict, stderr).toMatchObject({ kind: 'unstartable' });
      }
    },
  },
  {
    name: 'a long script with variables, and five megabytes of output',
    async run(site) {
      const script = `echo "$A|$PWD|$DGRID_NODE_ID"; : ${'x'.repeat(300_000)}\nhead -c 5000000 /dev/zero | tr '\\0' x`;
      const end = await runOne(site, script, { env: { A: `it's "x"` } });
      succeeded(end);
      expect(end.stdout.startsWith(`it's "x"|/dgrid|${TEST_NODE}\nxxx`)).toBe(true);
      expect(end.raw.stdout.totalBytes).toBe(5_000_000 + `it's "x"|/dgrid|${TEST_NODE}\n`.length);
    },
  },
  {
    name: 'bytes that are no text',
    async run(site) {
      const end = await runOne(site, String.raw`printf '\000\001\377\200'`);
      expect([...end.raw.stdout.bytes]).toEqual([0, 1, 255, 128]);
    },
  },
  {
    name: 'a time limit, also for a task that ignores TERM',
    async run(site) {
      const polite = await runOne(site, 'sleep 100', { timeoutMs: 1000 });
      expect(polite.verdict).toEqual({ kind: 'stopped', reason: 'timeout', exitCode: 143 });
      const stubborn = await runOne(site, "trap '' TERM; while :; do sleep 1; done", { timeoutMs: 1000 });
      expect(stubborn.verdict).toEqual({ kind: 'stopped', reason: 'timeout', exitCode: 137 });
    },
  },
  {
    name: 'memory that runs out',
    needs: 'limits',
    async run(site) {
      const { verdict } = await runOne(site, `exec sh -c '${HUNGRY}'`, { memoryBytes: 32 * MIB });
      expect(verdict).toMatchObject({ kind: 'exited', exitCode: 137 });
    },
  },
  {
    name: 'memory that runs out shows as such, also in a child',
    needs: 'word-on-memory',
    async run(site) {
      const whole = await runOne(site, `exec sh -c '${HUNGRY}'`, { memoryBytes: 32 * MIB });
      expect(whole.verdict).toEqual({ kind: 'exited', exitCode: 137, outOfMemory: true });
      const child = `(echo 1000 >/proc/self/oom_score_adj; ${HUNGRY}); sleep 1; exit 0`;
      const end = await runOne(site, child, { memoryBytes: 32 * MIB });
      expect(end.verdict).toEqual({ kind: 'exited', exitCode: 0, outOfMemory: false, childOutOfMemory: true });
    },
  },
  {
    name: 'a limit on processes',
    needs: 'limits',
    async run(site) {
      const end = await runOne(site, 'i=0; while [ $i -lt 100 ]; do sleep 3 & i=$((i+1)); done; wait', {
        timeoutMs: 10_000,
      });
      expect(end.stderr).toMatch(/fork/);
    },
  },
  {
    name: 'figures of what was used',
    needs: 'limits',
    async run(site) {
      const end = await runOne(site, 'i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done; sleep 3');
      expect(end.usage.cpuSeconds).toBeGreaterThan(0.01);
      expect(end.usage.peakMemoryBytes).toBeGreaterThan(100_000);
    },
  },
  {
    name: 'walls: nobody, no capabilities, no new privileges, seccomp',
    async run(site) {
      const end = await runOne(site, 'id -u; id -g; grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status');
      expect(end.stdout.split('\n').slice(0, 2)).toEqual(['65534', '65534']);
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        expect(end.stdout).toContain(`${set}:\t0000000000000000`);
      }
      expect(end.stdout).toContain('NoNewPrivs:\t1');
      expect(end.stdout).toContain('Seccomp:\t2');
    },
  },
  {
    name: 'walls: one small place to write, no network',
    async run(site) {
      const end = await runOne(
        site,
        [
          // More than the 64 KiB that take the place of what an engine would open by itself.
          'for d in / /etc /bin /run /tmp /var /var/tmp /usr; do',
          '  (head -c 100000 /dev/zero >$d/f) 2>/dev/null && echo "wrote $d"',
          'done',
          'stat -c "%a %u" /dgrid',
          'head -c 30000000 /dev/zero >big 2>/dev/null || echo full',
          'stat -c "size %s" big',
          'grep " /dgrid " /proc/mounts; ls /sys/class/net',
        ].join('\n'),
      );
      expect(end.stdout).not.toContain('wrote');
      // Its own, or everybody's where there is nobody else.
      expect(end.stdout).toMatch(/^(700 65534|1777 0)$/m);
      expect(end.stdout).toContain('full\n');
      expect(Number(/^size (\d+)$/m.exec(end.stdout)?.[1])).toBeLessThanOrEqual(16 * MIB);
      expect(end.stdout).toMatch(/tmpfs \/dgrid tmpfs rw,nosuid,nodev/);
      expect(end.stdout.endsWith('\nlo\n')).toBe(true);
    },
  },
  {
    name: "an image's volume is covered",
    async run(site) {
      const end = await runOne(site, 'echo x >/data/f && grep " /data " /proc/mounts', { image: 'with-volume' });
      expect(end.stdout).toMatch(/^tmpfs \/data tmpfs rw,nosuid,nodev/);
      const { body } = await site.engine.api<{ Volumes: unknown[] | null }>('GET', '/volumes');
      expect(body.Volumes ?? []).toEqual([]);
    },
  },
  {
    name: 'a container made ahead takes a task',
    async run(site) {
      await using test = await open(site, { warmPoolSize: 1, ...WARM_LIMITS });
      test.executor.prepare('fill');
      const end = await runWarm(test.executor, testJob('echo "$A"; exit 4', { env: { A: 'b' } }));
      expect(end.verdict).toEqual({ kind: 'exited', exitCode: 4, outOfMemory: false });
      expect(end.stdout).toBe('b\n');
    },
  },
  {
    name: 'a task is taken up again after a restart, running and ended',
    async run(site) {
      using directory = makeTempDir('adoption');
      const file = directory.sub('images.json');
      const before = await open(site, {}, file);
      const job = testJob('echo first; sleep 4; echo last; exit 5');
      await before.executor.start(job);
      const quick = testJob('echo done; exit 6');
      await (await before.executor.start(quick)).ended;
      await before.executor.close();
      await using after = await open(site, {}, file);
      const found = await after.executor.findRuns(TEST_NODE);
      expect(found.map(({ key }) => key.taskId).toSorted()).toEqual(
        [job, quick].map((one) => one.key.taskId).toSorted(),
      );
      const ends = new Map<string, Outcome>();
      for (const run of found) ends.set(run.key.taskId, await finish(run.resume(job)));
      const long = ends.get(job.key.taskId);
      expect(long?.verdict).toEqual({ kind: 'exited', exitCode: 5, outOfMemory: false });
      expect(long?.stdout).toBe('first\nlast\n');
      const short = ends.get(quick.key.taskId);
      expect(short?.verdict).toEqual({ kind: 'exited', exitCode: 6, outOfMemory: false });
      expect(short?.stdout).toBe('done\n');
    },
  },
  {
    name: 'the default image is made on the spot, and goes when space is needed',
    async run(site) {
      await using test = await open(site, { imagePullPolicy: 'never', image: 'busybox:stable' });
      // Where the engine cannot pull, there is none; here it is taken away for as long.
      await site.engine.api('DELETE', '/images/docker.io/library/busybox:stable?force=true');
      try {
        const { name } = await test.executor.ensureImage('busybox:stable');
        expect(name).toBe('dgrid-busybox:local');
        succeeded(await finish(await test.executor.start(testJob('true', { image: name }))));
      } finally {
        await site.engine.importBusybox();
      }
      // It was used a moment ago, so this worker leaves it; the next one need not.
      const own = { kind: 'own-image', image: 'docker.io/library/dgrid-busybox:local' } as const;
      expect((await test.executor.clean(own)).removed).toEqual([]);
      await using next = await open(site, {}, test.ownedImagesFile);
      const { removed } = await next.executor.clean(own);
      expect(removed).toEqual(['docker.io/library/dgrid-busybox:local']);
    },
  },
  {
    name: 'what ended and was not removed is cleaned up, and nothing is left',
    async run(site) {
      using directory = makeTempDir('clean');
      const file = directory.sub('images.json');
      const before = await open(site, {}, file);
      await (await before.executor.start(testJob('true'))).ended;
      await before.executor.close();
      await using after = await open(site, {}, file);
      expect((await after.executor.clean({ kind: 'own-containers' })).removed).toHaveLength(1);
      expect(await site.engine.countLeftovers()).toBe(0);
    },
  },
];
