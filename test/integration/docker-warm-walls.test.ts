/**
 * A container that waited for its task has exactly the walls of one that was made for it: what the engine says of the two,
 * field by field, and what a task sees inside.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapArgv, bootstrapInput, WORK_DIR } from '../../src/executor/docker/bootstrap.ts';
import type { Run } from '../../src/executor/executor.ts';
import { finish, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { runWarm, untilWaiting, WARM_LIMITS } from '../support/warm-pool.ts';

let engine: PrivateEngine;
let cold: TestExecutor;
let warm: TestExecutor;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox('busybox:stable', ['VOLUME /data', 'ENV OF_IMAGE=yes']);
  cold = await testExecutor(engine.host, WARM_LIMITS);
  warm = await testExecutor(engine.host, { warmPoolSize: 1, ...WARM_LIMITS });
  warm.executor.prepare('fill');
});

afterAll(async () => {
  await cold[Symbol.asyncDispose]();
  await warm[Symbol.asyncDispose]();
  await engine.stop();
});

type Leaves = Record<string, unknown>;

/** Every value with the way to it. */
function leaves(value: unknown, path = ''): Leaves {
  if (typeof value !== 'object' || value === null) return { [path]: value };
  const entries = Object.entries(value);
  if (entries.length === 0) return { [path]: Array.isArray(value) ? '[]' : '{}' };
  return Object.assign({}, ...entries.map(([name, inner]) => leaves(inner, path === '' ? name : `${path}.${name}`)));
}

/** What the engine says of the one container that runs. */
async function inspectOnly(): Promise<Leaves> {
  const { body } = await engine.api<{ Id: string }[]>('GET', '/containers/json');
  expect(body).toHaveLength(1);
  return leaves((await engine.api('GET', `/containers/${body[0]?.Id}/json`)).body);
}

function differences(a: Leaves, b: Leaves): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((path) => a[path] !== b[path]).toSorted();
}

/** Of its own in every container, whatever it is for. */
const ITS_OWN =
  /^(Id|Name|Created|LogPath|ResolvConfPath|HostnamePath|HostsPath|State\.(Pid|StartedAt)|Config\.Hostname|GraphDriver\.Data\..*|NetworkSettings\.(SandboxID|SandboxKey|Networks\.none\.(EndpointID|NetworkID)))$/;

describe('what the engine says', () => {
  it('is the same but for the labels, the nonce and the variables of the task', async () => {
    const job = testJob('echo ready; sleep 1000', { env: { OF_TASK: 'x' } });
    await untilWaiting(warm.executor, 1);
    const seen: Leaves[] = [];
    // What waits is looked at before its task, and after.
    seen.push(await inspectOnly());
    warm.executor.prepare('hold');
    const runs: Run[] = [await warm.executor.start(job)];
    seen.push(await inspectOnly());
    await runs[0]?.dispose();
    runs.push(await cold.executor.start(job));
    seen.push(await inspectOnly());
    await runs[1]?.dispose();
    warm.executor.prepare('fill');
    const [waiting = {}, given = {}, made = {}] = seen;

    expect(differences(waiting, given)).toEqual([]);
    const differing = differences(given, made).filter((path) => !ITS_OWN.test(path));
    const nonce = Object.keys(made).filter((path) => /^(Args|Config\.Entrypoint)\./.test(path)).length;
    expect(nonce).toBeGreaterThan(0);
    expect(differing.filter((path) => !/^(Config\.(Labels\.|Env\.))/.test(path))).toEqual([
      'Args.3',
      'Config.Entrypoint.4',
    ]);
    expect(differing.filter((path) => path.startsWith('HostConfig.'))).toEqual([]);
    expect(given['Config.Image']).toBe(made['Image']);
    const variables = (all: Leaves) =>
      Object.keys(all)
        .filter((path) => path.startsWith('Config.Env.'))
        .map((path) => String(all[path]));
    const ofTask = ['OF_TASK=x', `DGRID_TASK_ID=${job.key.taskId}`, 'DGRID_ATTEMPT=1', 'DGRID_NODE_ID=node-1'];
    expect([...variables(given), ...ofTask].toSorted()).toEqual(variables(made).toSorted());
  });
});

/** Figures that are different in each container, or each time. */
const PROBES: Readonly<Record<string, string>> = {
  status:
    'grep -vE "^(Pid|PPid|NSpid|NStgid|NSpgid|NSsid|Ngid|Tgid|Vm|Rss|Hugetlb|voluntary|nonvoluntary|Mems|Cpus|SigQ|THP)" /proc/self/status',
  'status of the first process':
    'grep -E "^(Name|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Threads|Sig[BIC])" /proc/1/status',
  mounts: 'sed -E "s/[0-9a-f]{64}/ID/g; s#overlay2/[^:, ]*#overlay2/L#g; s#/vfs/[^ ]*#/vfs/L#g" /proc/mounts | sort',
  limits: 'cat /proc/self/limits; ulimit -a',
  'open files':
    // Into a file: the pipe of a substitution is among the shell's own files as long as it takes to start a program.
    'for f in 0 1 2 3 4 5 6 7 8 9 11 12; do echo "$f:"; readlink /proc/$$/fd/$f; done >open; sed "s/\\[[0-9]*\\]/[N]/" open',
  directory:
    'pwd; ls -lan / /dgrid /data | grep -vE " (\\.\\.|proc)$" | sed -E "s/ [A-Z][a-z]{2} +[0-9]+ +[0-9:]+ / DATE /"',
  'who it is': 'id; umask; cat /proc/self/attr/current 2>/dev/null; cat /proc/self/oom_score_adj',
  processes: 'ps -o user,args >p; sed -E "s/[0-9a-f]{32}/NONCE/; /[{ ]ps[} ]/d" p',
  network: 'ls /sys/class/net; cat /proc/net/route',
  devices: 'ls /dev; ls -ln /dev/shm',
  memory: 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null',
  variables: 'export -p | grep -vE "HOSTNAME|DGRID_TASK_ID"; set | grep -i dgrid_ | grep -vE "DGRID_TASK_ID"',
  arguments: 'echo "$0" $# "$@"; tr "\\0" " " </proc/$$/cmdline',
  namespaces: 'ls -l /proc/self/ns | sed -E "s/.* ([a-z_]+) -> .*/\\1/; /^total/d"',
  'what it may not write':
    'for d in / /etc /bin /proc/sys/kernel; do (echo x >$d/f) 2>/dev/null && echo "wrote $d"; done; echo done',
};

describe('what a task sees', () => {
  it.each(Object.entries(PROBES))('of its %s is the same', async (_what, script) => {
    const inWarm = await runWarm(warm.executor, testJob(script, { env: { A: 'x' } }));
    const inCold = await finish(await cold.executor.start(testJob(script, { env: { A: 'x' } })));
    expect(inWarm.stdout).toBe(inCold.stdout);
    expect(inWarm.stderr).toBe(inCold.stderr);
    expect(inCold.stdout).not.toBe('');
  });
});

describe('the variables of a task', () => {
  const ODD = {
    code: `'; exit 9; '"$(exit 9)" \`exit 9\` \\`,
    lines: '\n\n$x\r\n',
    bytes: Array.from({ length: 0x7ff }, (_, index) => String.fromCharCode(index + 1)).join(''),
    PATH: '/nowhere',
    HOME: '~',
    LC_ALL: 'no_SUCH',
  };

  it.each([
    ['dash', ['/bin/dash']],
    ['bash', ['/bin/bash']],
    ['busybox', ['/bin/busybox', 'sh']],
  ])('come through %s as they are', async (_what, shell) => {
    const directory = await mkdtemp(join(tmpdir(), 'dgrid-bootstrap-'));
    try {
      const [, option = '', program = '', ...rest] = bootstrapArgv('00ff00ff');
      const [command = '', ...first] = shell;
      const child = spawn(command, [...first, option, program.replaceAll(WORK_DIR, directory), ...rest], {
        argv0: command === '/bin/bash' ? 'sh' : command,
        env: { PATH: process.env['PATH'] },
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      const script = `#!${process.execPath}\nprocess.stdout.write(JSON.stringify(process.env))`;
      child.stdin.end(bootstrapInput(script, ODD));
      expect(await once(child, 'close')).toEqual([0, null]);
      expect(stderr).toBe('dgrid-bootstrap 00ff00ff ready\n');
      const seen = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, string>;
      expect(seen).toMatchObject(ODD);
      expect(Object.keys(seen).filter((name) => name.startsWith('DGRID_'))).toEqual([]);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
