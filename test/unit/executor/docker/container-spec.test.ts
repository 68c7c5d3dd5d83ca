import { describe, expect, it } from 'vitest';
import {
  type ContainerSpec,
  containerSpec,
  type SpecContext,
  warmKey,
  warmSpec,
} from '../../../../src/executor/docker/container-spec.ts';
import { DOCKER_QUIRKS, quirksOf } from '../../../../src/executor/docker/engine-quirks.ts';
import { ExecutorError, type Job } from '../../../../src/executor/executor.ts';
import { nodeId, taskId } from '../../../../src/task/id.ts';

const MIB = 1024 * 1024;
const IMAGE_ID = `sha256:${'1'.repeat(64)}`;
const DIGEST = `sha256:${'2'.repeat(64)}`;
const JOB: Job = {
  key: { taskId: taskId('t-1'), nodeId: nodeId('n-1'), incarnation: 'inc', epoch: 7 },
  attempt: 2,
  image: 'busybox:stable',
  program: { kind: 'command', argv: ['prog', 'a b'] },
  env: { A: '1' },
  cpus: 0.5,
  memoryBytes: 128 * MIB,
  timeoutMs: 1000,
};
const SETTINGS = {
  cpus: 2,
  cpuShares: 256,
  memoryBytes: 512 * MIB,
  timeoutMs: 60_000,
  pidsLimit: 128,
  runtime: null as string | null,
  workDirBytes: 32 * MIB,
};
const CONTEXT: SpecContext = {
  gridId: 'g',
  nonce: '00ff00ff00ff00ff',
  maxOutputBytes: MIB,
  engineCpus: 4,
  imageId: IMAGE_ID,
  imageDigest: DIGEST,
  imageVolumes: [],
  networkMode: 'none',
  quirks: DOCKER_QUIRKS,
};

function build(job: Partial<Job> = {}, settings: Partial<typeof SETTINGS> = {}, context: Partial<SpecContext> = {}) {
  return containerSpec({ ...JOB, ...job }, { ...SETTINGS, ...settings }, { ...CONTEXT, ...context });
}

function rejection(run: () => unknown): ExecutorError {
  try {
    run();
  } catch (error) {
    if (error instanceof ExecutorError) return error;
    throw error;
  }
  throw new Error('was not rejected');
}

const tmpfs = `rw,exec,nosuid,nodev,size=${32 * MIB},mode=0700,uid=65534,gid=65534`;

describe('containerSpec', () => {
  it('is exactly this, for a command', () => {
    const expected: ContainerSpec = {
      // By its id: the name may stand for another one by now.
      Image: IMAGE_ID,
      User: '65534:65534',
      Entrypoint: ['prog', 'a b'],
      Cmd: [],
      Env: ['HOME=/dgrid', 'TMPDIR=/dgrid', 'A=1', 'DGRID_TASK_ID=t-1', 'DGRID_ATTEMPT=2', 'DGRID_NODE_ID=n-1'],
      WorkingDir: '/dgrid',
      Labels: {
        'io.dgrid.grid': 'g',
        'io.dgrid.node': 'n-1',
        'io.dgrid.incarnation': 'inc',
        'io.dgrid.task': 't-1',
        'io.dgrid.epoch': '7',
        'io.dgrid.attempt': '2',
        'io.dgrid.program': 'command',
        'io.dgrid.nonce': '00ff00ff00ff00ff',
        'io.dgrid.image': 'busybox:stable',
        'io.dgrid.digest': DIGEST,
      },
      AttachStdin: false,
      OpenStdin: false,
      StdinOnce: false,
      AttachStdout: true,
      AttachStderr: true,
      Tty: false,
      HostConfig: {
        NetworkMode: 'none',
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        ReadonlyRootfs: true,
        Tmpfs: { '/dgrid': tmpfs },
        IpcMode: 'private',
        CgroupnsMode: 'private',
        ShmSize: 16 * MIB,
        PidsLimit: 128,
        Memory: 128 * MIB,
        MemorySwap: 128 * MIB,
        NanoCpus: 500_000_000,
        CpuShares: 256,
        OomScoreAdj: 500,
        Init: true,
        Ulimits: [
          { Name: 'nofile', Soft: 4096, Hard: 4096 },
          { Name: 'core', Soft: 0, Hard: 0 },
          { Name: 'fsize', Soft: 32 * MIB, Hard: 32 * MIB },
        ],
        LogConfig: { Type: 'json-file', Config: { 'max-size': String(8 * MIB), 'max-file': '2' } },
        RestartPolicy: { Name: 'no' },
        AutoRemove: false,
      },
    };
    expect(build()).toEqual(expected);
  });

  it('differs for a script in how the program comes in, and in nothing else', () => {
    const script = build({ program: { kind: 'script', script: 'echo secret-text' } });
    const command = build();
    expect(script).toEqual({
      ...command,
      HostConfig: { ...command.HostConfig, Tmpfs: script.HostConfig.Tmpfs },
      Entrypoint: script.Entrypoint,
      WorkingDir: '/',
      Labels: { ...command.Labels, 'io.dgrid.program': 'script' },
      AttachStdin: true,
      OpenStdin: true,
      StdinOnce: true,
    });
    expect(JSON.stringify(script)).not.toContain('secret-text');
    expect(script.Entrypoint[0]).toBe('/bin/sh');
    expect(script.Entrypoint.at(-1)).toBe(CONTEXT.nonce);
  });

  it('names a runtime when the operator chose one', () => {
    expect(build({}, { runtime: 'runsc' }).HostConfig.Runtime).toBe('runsc');
  });

  it('keeps the working directory within the memory of a small task', () => {
    const { HostConfig } = build({ memoryBytes: 16 * MIB });
    expect(HostConfig.Tmpfs['/dgrid']).toContain(`size=${8 * MIB},`);
    expect(HostConfig.ShmSize).toBe(8 * MIB);
  });

  it('asks for no more CPUs than the machine has', () => {
    expect(build({ cpus: 2 }, {}, { engineCpus: 1 }).HostConfig.NanoCpus).toBe(1e9);
    expect(build({ cpus: 2 }, {}, { engineCpus: null }).HostConfig.NanoCpus).toBe(2e9);
  });

  it('mounts memory over the volumes of an image', () => {
    const { Tmpfs } = build({}, {}, { imageVolumes: ['/data', '/dgrid'] }).HostConfig;
    expect(Tmpfs).toEqual({ '/data': tmpfs, '/dgrid': tmpfs });
  });

  it('says the same to engines that take it in other words', () => {
    expect(quirksOf(['Engine', 'containerd'])).toEqual(DOCKER_QUIRKS);
    const { HostConfig, ...rest } = build({}, {}, { quirks: quirksOf(['Podman Engine', 'Conmon']) });
    const open = `rw,exec,nosuid,nodev,size=${32 * MIB},mode=1777,notmpcopyup`;
    expect({ ...rest, HostConfig: { ...HostConfig, Tmpfs: { '/dgrid': tmpfs } } }).toEqual(build());
    const closed = 'rw,noexec,nosuid,nodev,size=65536,mode=0755,notmpcopyup';
    expect(HostConfig.Tmpfs).toEqual({ '/run': closed, '/tmp': closed, '/var/tmp': closed, '/dgrid': open });
  });

  it('lets our variables win, and names each once', () => {
    const { Env } = build({ env: { DGRID_TASK_ID: 'x', DGRID_NODE_ID: 'x', DGRID_ATTEMPT: '9', HOME: '/h' } });
    expect(Env).toEqual(['HOME=/h', 'TMPDIR=/dgrid', 'DGRID_TASK_ID=t-1', 'DGRID_NODE_ID=n-1', 'DGRID_ATTEMPT=2']);
  });

  it('lets nothing else of a hostile job through', () => {
    const hostile = {
      ...JOB,
      env: { ...JOB.env, __proto__: { Privileged: 'true' } },
      Privileged: true,
      HostConfig: { Privileged: true, Binds: ['/:/host'] },
      User: '0:0',
      Binds: ['/:/host'],
      key: { ...JOB.key, Labels: { x: 'y' }, gridId: 'other' },
      program: { kind: 'command', argv: ['prog', 'a b'], Entrypoint: ['/evil'], script: 'x' },
    } as unknown as Job;
    expect(build(hostile)).toEqual(build());
  });

  it.each<[string, Partial<Job>, RegExp]>([
    ['an image that is none', { image: '../x' }, /image/],
    ['too many CPUs', { cpus: 2.5 }, /cpus/],
    ['no CPU', { cpus: 0 }, /cpus/],
    ['CPUs that are no number', { cpus: Number.NaN }, /cpus/],
    ['too much memory', { memoryBytes: 513 * MIB }, /memory/],
    ['too little memory', { memoryBytes: MIB }, /memory/],
    ['too much time', { timeoutMs: 60_001 }, /time/],
    ['no time', { timeoutMs: 0 }, /time/],
    ['an empty command', { program: { kind: 'command', argv: [] } }, /empty/],
    ['a command without a name', { program: { kind: 'command', argv: ['', 'x'] } }, /empty/],
    ['a NUL in the command', { program: { kind: 'command', argv: ['a\0b'] } }, /NUL/],
    ['a NUL in a variable', { env: { A: '\0' } }, /NUL/],
    ['a variable with an odd name', { env: { 'A=B': 'x' } }, /name/],
    ['a variable without a name', { env: { '': 'x' } }, /name/],
    ['an argument that is too long', { program: { kind: 'command', argv: ['x'.repeat(131_072)] } }, /longer/],
    [
      'too many arguments',
      { program: { kind: 'command', argv: Array.from({ length: 20 }, () => 'x'.repeat(100_000)) } },
      /over/,
    ],
  ])('rejects %s', (_what, job, message) => {
    const error = rejection(() => build(job));
    expect(error.kind).toBe('rejected');
    expect(error.message).toMatch(message);
  });

  it.each([
    'host',
    'default',
    'container:abc',
    'container:0123456789ab',
    'ns:/proc/1/ns/net',
    '',
    'by-name',
    'slirp4netns',
  ])('rejects the network mode %j', (networkMode) => {
    expect(rejection(() => build({}, {}, { networkMode })).kind).toBe('rejected');
  });

  it('rejects an image with more volumes than can be covered', () => {
    const imageVolumes = Array.from({ length: 17 }, (_, index) => `/v${index}`);
    expect(rejection(() => build({}, {}, { imageVolumes })).kind).toBe('rejected');
  });
});

describe('secrets of a task', () => {
  const secrets = [{ name: 'key', bytes: Buffer.from('canary-0123456789') }];
  const script = { kind: 'script' as const, script: 'true' };

  it('reach nothing of the request: only the place where they will be is named', () => {
    const [without, with_] = [build({ program: script }), build({ program: script, secrets })];
    expect(with_).toEqual({ ...without, Env: [...without.Env, 'DGRID_SECRETS_DIR=/dgrid-secrets'] });
    expect(with_.HostConfig.Tmpfs['/dgrid-secrets']).toBe(
      'rw,noexec,nosuid,nodev,size=262144,mode=0700,uid=65534,gid=65534',
    );
    expect(JSON.stringify(with_)).not.toContain('canary');
  });

  it('are refused to a command, which has no way to get them', () => {
    expect(rejection(() => build({ secrets }))).toMatchObject({
      kind: 'rejected',
      message: expect.stringContaining('script'),
    });
    expect(build().HostConfig.Tmpfs).not.toHaveProperty('/dgrid-secrets');
  });
});

describe('a container that is made before its task is known', () => {
  const ID = `sha256:${'0'.repeat(64)}`;
  const OWNER = { gridId: 'g', nodeId: nodeId('n-1'), nonce: 'ff00ff00ff00ff00' };
  const script = (job: Partial<Job> = {}) => build({ program: { kind: 'script', script: 'echo' }, ...job });

  it('differs in its image by id, its labels, its nonce and its variables, and in nothing else', () => {
    const cold = script();
    const warm = warmSpec(cold, ID, OWNER);
    expect(warm.Image).toBe(ID);
    expect(warm).toEqual({
      ...cold,
      Image: ID,
      Entrypoint: [...cold.Entrypoint.slice(0, -1), OWNER.nonce],
      Env: ['HOME=/dgrid', 'TMPDIR=/dgrid'],
      Labels: {
        'io.dgrid.grid': 'g',
        'io.dgrid.node': 'n-1',
        'io.dgrid.warm': 'yes',
        'io.dgrid.nonce': OWNER.nonce,
      },
    });
  });

  it('can take the place of another one of any task with the same limits', () => {
    const other: Partial<Job> = {
      key: { taskId: taskId('t-2'), nodeId: nodeId('n-1'), incarnation: 'other', epoch: 9 },
      attempt: 3,
      env: { CANARY: 'x' },
      program: { kind: 'script', script: 'other' },
      timeoutMs: 5,
    };
    expect(warmKey(script(other), ID)).toBe(warmKey(script(), ID));
    expect(warmKey(script(other), ID)).not.toContain('CANARY');
  });

  it.each<[string, ContainerSpec]>([
    ['memory', script({ memoryBytes: 64 * MIB })],
    ['processors', script({ cpus: 1 })],
    ['network', build({ program: { kind: 'script', script: '' } }, {}, { networkMode: 'a'.repeat(64) })],
    ['runtime', build({ program: { kind: 'script', script: '' } }, { runtime: 'runsc' })],
    ['size of the work directory', build({ program: { kind: 'script', script: '' } }, { workDirBytes: MIB })],
    ['size of the log', build({ program: { kind: 'script', script: '' } }, {}, { maxOutputBytes: 9 * MIB })],
    ['volumes', build({ program: { kind: 'script', script: '' } }, {}, { imageVolumes: ['/v'] })],
  ])('cannot take the place of one with other %s', (_what, other) => {
    expect(warmKey(other, ID)).not.toBe(warmKey(script(), ID));
  });

  it('cannot take the place of one of another image, whatever that is called', () => {
    expect(warmKey(script(), `sha256:${'1'.repeat(64)}`)).not.toBe(warmKey(script(), ID));
  });
});
