import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ContainerSpec, containerSpec, warmSpec } from '../../../../../src/executor/docker/container-spec.ts';
import { DOCKER_QUIRKS, quirksOf } from '../../../../../src/executor/docker/engine-quirks.ts';
import {
  checkSpec,
  firstDifference,
  MAX_SPEC_BYTES,
  parseSpec,
  SpecRefused,
  type SpecRules,
} from '../../../../../src/executor/docker/filter/spec-check.ts';
import type { Job } from '../../../../../src/executor/executor.ts';
import { nodeId, taskId } from '../../../../../src/task/id.ts';

const MIB = 1024 * 1024;
const NODE = nodeId('node-1');
const IMAGE_ID = `sha256:${'a'.repeat(64)}`;

const RULES: SpecRules = {
  settings: {
    cpus: 2,
    memoryBytes: 512 * MIB,
    timeoutMs: 3_600_000,
    pidsLimit: 128,
    cpuShares: 0,
    runtime: null,
    workDirBytes: 64 * MIB,
  },
  gridId: 'grid',
  nodeId: NODE,
  maxOutputBytes: MIB,
};

const JOB: Job = {
  key: { taskId: taskId('hello'), nodeId: NODE, incarnation: 'life-1', epoch: 3 },
  attempt: 1,
  image: 'busybox:stable',
  program: { kind: 'script', script: 'echo' },
  env: { GREETING: 'hello' },
  cpus: 1,
  memoryBytes: 128 * MIB,
  timeoutMs: 60_000,
};

const PODMAN_QUIRKS = quirksOf(['Podman Engine']);

function specOf(
  job: Job = JOB,
  rules = RULES,
  imageVolumes: readonly string[] = [],
  { engineCpus = null as number | null, quirks = DOCKER_QUIRKS } = {},
) {
  return containerSpec(job, rules.settings, {
    gridId: rules.gridId,
    nonce: 'ab'.repeat(16),
    maxOutputBytes: rules.maxOutputBytes,
    engineCpus,
    imageId: IMAGE_ID,
    imageDigest: null,
    imageVolumes,
    networkMode: 'none',
    quirks,
  });
}

function warmOf(spec: ContainerSpec): ContainerSpec {
  return warmSpec(spec, IMAGE_ID, { gridId: RULES.gridId, nodeId: NODE, nonce: 'cd'.repeat(16) });
}

function check(text: string, volumes: readonly string[] = [], rules = RULES, quirks = DOCKER_QUIRKS): ContainerSpec {
  return checkSpec(parseSpec(Buffer.from(text)), { volumes, networkMode: 'none', quirks }, rules);
}

type Open = Record<string, unknown>;

/** The text of a copy that has something else at a place, which is named by the fields on the way to it. */
function changed(spec: ContainerSpec, place: string, change: (old: unknown) => unknown): string {
  const copy = structuredClone(spec) as unknown as Open;
  const path = place.split(' ');
  const last = path.pop() ?? '';
  const parent = path.reduce((at, field) => at[field] as Open, copy);
  parent[last] = change(parent[last]);
  return JSON.stringify(copy);
}

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,12}$/);
const value = fc.string({ unit: 'binary', maxLength: 30 }).filter((text) => !text.includes('\0'));
const argument = value.filter((text) => text !== '');
const job: fc.Arbitrary<Job> = fc.record({
  key: fc.record({
    taskId: fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,62}$/).map(taskId),
    nodeId: fc.constant(NODE),
    incarnation: fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/),
    epoch: fc.nat(),
  }),
  attempt: fc.nat(),
  image: fc.constantFrom('busybox', 'busybox:stable', 'registry.example:5000/a/b', `x@sha256:${'0'.repeat(64)}`),
  program: fc.oneof(
    fc.record({ kind: fc.constant('script' as const), script: fc.string() }),
    fc.record({ kind: fc.constant('command' as const), argv: fc.array(argument, { minLength: 1, maxLength: 5 }) }),
  ),
  env: fc.dictionary(name, value, { maxKeys: 6 }),
  cpus: fc.double({ min: 0.01, max: 2, noNaN: true }),
  memoryBytes: fc.integer({ min: 6 * MIB, max: 512 * MIB }),
  timeoutMs: fc.integer({ min: 1, max: 3_600_000 }),
});
const rules: fc.Arbitrary<SpecRules> = fc.record({
  settings: fc.record({
    cpus: fc.constantFrom(2, 2.000_000_000_4, 64),
    memoryBytes: fc.integer({ min: 512 * MIB, max: 2 ** 40 }),
    timeoutMs: fc.constant(3_600_000),
    pidsLimit: fc.integer({ min: 2, max: 4_194_304 }),
    cpuShares: fc.constantFrom(0, 2, 512, 1024),
    runtime: fc.constantFrom(null, 'runsc'),
    workDirBytes: fc.integer({ min: 64 * 1024, max: 2 ** 40 }),
  }),
  gridId: fc.constant('grid'),
  nodeId: fc.constant(NODE),
  maxOutputBytes: fc.integer({ min: 0, max: 2 ** 30 }),
});
const volumes = fc.uniqueArray(fc.stringMatching(/^(\/[a-z]{1,8}){1,3}$/), { maxLength: 16 });

const machine = fc.record({
  engineCpus: fc.constantFrom(null, 1, 4),
  quirks: fc.constantFrom(DOCKER_QUIRKS, PODMAN_QUIRKS),
});

describe('what the worker makes', () => {
  it('passes, whatever the task and the settings, and goes on unchanged', () => {
    fc.assert(
      fc.property(job, rules, volumes, machine, (made, allowed, mounts, its) => {
        const spec = specOf(made, allowed, mounts, its);
        expect(check(JSON.stringify(spec), mounts, allowed, its.quirks)).toEqual(spec);
      }),
    );
  });

  it('passes ahead of a task as well', () => {
    fc.assert(
      fc.property(job, rules, volumes, machine, (made, allowed, mounts, its) => {
        const script = { ...made, program: { kind: 'script', script: '' } } as const;
        const spec = warmOf(specOf(script, allowed, mounts, its));
        expect(check(JSON.stringify(spec), mounts, allowed, its.quirks)).toEqual(spec);
      }),
    );
  });

  it('does not pass with any field away, empty, renamed, or in another case', () => {
    for (const spec of [specOf(), warmOf(specOf()), specOf({ ...JOB, program: { kind: 'command', argv: ['true'] } })]) {
      for (const path of pathsOf(spec)) {
        const last = path.at(-1) ?? '';
        const other = last.toUpperCase() === last ? last.toLowerCase() : last.toUpperCase();
        const changes: ((parent: Open) => Open)[] = [
          (parent) => Object.fromEntries(Object.entries(parent).filter(([field]) => field !== last)),
          (parent) => ({ ...parent, [last]: null }),
          (parent) => ({ ...parent, [last]: {} }),
          ({ [last]: moved, ...rest }) => ({ ...rest, [other]: moved }),
          (parent) => ({ ...parent, [other]: parent[last] }),
        ];
        for (const change of changes) {
          const text = changed({ spec } as never, ['spec', ...path.slice(0, -1)].join(' '), (old) =>
            change(old as Open),
          );
          const body = JSON.stringify((JSON.parse(text) as Open)['spec']);
          expect(() => check(body), `${path.join('.')}: ${body}`).toThrow(SpecRefused);
        }
      }
    }
  });
});

/** Of each named field, however deep. */
function pathsOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) => [[...path, key], ...pathsOf(inner, [...path, key])]);
}

describe('what nobody may ask for', () => {
  const inHost: Record<string, unknown> = {
    Binds: ['/:/host'],
    Mounts: [{ Type: 'bind', Source: '/', Target: '/host' }],
    VolumesFrom: ['other'],
    Devices: [{ PathOnHost: '/dev/sda', PathInContainer: '/dev/sda', CgroupPermissions: 'rwm' }],
    DeviceRequests: [{ Count: -1, Capabilities: [['gpu']] }],
    DeviceCgroupRules: ['a *:* rwm'],
    Privileged: true,
    CapAdd: ['SYS_ADMIN'],
    PidMode: 'host',
    UTSMode: 'host',
    UsernsMode: 'host',
    CgroupParent: '/',
    Cgroup: 'host',
    MaskedPaths: [],
    ReadonlyPaths: [],
    Sysctls: { 'kernel.msgmax': '1' },
    StorageOpt: { size: '1T' },
    PortBindings: { '80/tcp': [{ HostPort: '80' }] },
    PublishAllPorts: true,
    Links: ['other'],
    ExtraHosts: ['a:1'],
    Dns: ['1.1.1.1'],
    GroupAdd: ['0'],
    Annotations: { 'run.oci.keep_original_groups': '1' },
    OomKillDisable: true,
    VolumeDriver: 'local',
    ContainerIDFile: '/etc/passwd',
    CpuRealtimeRuntime: 1,
    BlkioWeight: 10,
    Isolation: 'process',
    privileged: true,
  };
  it.each(Object.entries(inHost))('HostConfig.%s', (field, wanted) => {
    const text = changed(specOf(), 'HostConfig', (old) => ({ ...(old as Open), [field]: wanted }));
    expect(() => check(text)).toThrow(SpecRefused);
    expect(() => check(text)).toThrow(field);
  });

  const more = (value: unknown) => (old: unknown) => [...(old as unknown[]), value];
  const instead = (value: unknown) => () => value;
  const merged = (fields: Open) => (old: unknown) => ({ ...(old as Open), ...fields });
  const changes: Record<string, [place: string, change: (old: unknown) => unknown]> = {
    'another user': ['User', instead('0:0')],
    "the host's network": ['HostConfig NetworkMode', instead('host')],
    "another container's network": ['HostConfig NetworkMode', instead('container:abc')],
    "the host's IPC": ['HostConfig IpcMode', instead('host')],
    "the host's cgroups": ['HostConfig CgroupnsMode', instead('host')],
    'fewer capabilities dropped': ['HostConfig CapDrop', instead(['NET_RAW'])],
    'no seccomp': ['HostConfig SecurityOpt', more('seccomp=unconfined')],
    'new privileges': ['HostConfig SecurityOpt', instead([])],
    'a writable root': ['HostConfig ReadonlyRootfs', instead(false)],
    'other mount options': ['HostConfig Tmpfs /dgrid', instead('rw,exec,suid,dev')],
    'a mount more': ['HostConfig Tmpfs', merged({ '/etc': 'rw,exec,nosuid,nodev' })],
    'more memory than allowed': ['HostConfig', merged({ Memory: 513 * MIB, MemorySwap: 513 * MIB })],
    swap: ['HostConfig MemorySwap', instead(-1)],
    'no memory limit': ['HostConfig', merged({ Memory: 0, MemorySwap: 0 })],
    'more processors than allowed': ['HostConfig NanoCpus', instead(2_000_000_001)],
    'no processor limit': ['HostConfig NanoCpus', instead(0)],
    'a fraction of a billionth': ['HostConfig NanoCpus', instead(1_000_000_000.5)],
    'more processes': ['HostConfig PidsLimit', instead(-1)],
    'another runtime': ['HostConfig Runtime', instead('other')],
    'more open files': ['HostConfig Ulimits 0 Hard', instead(1_000_000)],
    'a limit more': ['HostConfig Ulimits', more({ Name: 'nproc', Soft: 1, Hard: 1 })],
    'another log driver': ['HostConfig LogConfig Type', instead('syslog')],
    'another log size': ['HostConfig LogConfig Config max-size', instead('100g')],
    'another restart policy': ['HostConfig RestartPolicy Name', instead('always')],
    'a host name': ['Hostname', instead('other')],
    'volumes of its own': ['Volumes', instead({ '/data': {} })],
    ports: ['ExposedPorts', instead({ '80/tcp': {} })],
    'networks of its own': ['NetworkingConfig', instead({ EndpointsConfig: { bridge: {} } })],
    'a health check': ['Healthcheck', instead({ Test: ['CMD', 'true'] })],
    'another command behind the bootstrap': ['Cmd', more('x')],
    'another bootstrap': ['Entrypoint 2', instead('echo')],
    'a label more': ['Labels', merged({ 'com.example': '1' })],
    'a label of others': ['Labels io.dgrid.node', instead('node-2')],
    'another grid': ['Labels io.dgrid.grid', instead('other')],
    'no labels': ['Labels', instead({})],
    'an image by its name': ['Image', instead('docker.io/library/busybox:stable')],
    'an image by a part of its id': ['Image', instead(IMAGE_ID.slice(0, 20))],
    'the network of the host': ['HostConfig NetworkMode', instead('host')],
    'another network than the one that was looked at': ['HostConfig NetworkMode', instead('c'.repeat(64))],
    'a variable twice': ['Env', more('HOME=/')],
    'a variable without a name': ['Env', more('=x')],
    'a variable without a value': ['Env', more('x')],
    "another task's id in the variables": ['Env 3', instead('DGRID_TASK_ID=other')],
  };
  it.each(Object.entries(changes))('%s', (_, [place, change]) => {
    const text = changed(specOf(), place, change);
    expect(text).not.toBe(JSON.stringify(specOf()));
    expect(() => check(text)).toThrow(SpecRefused);
  });

  it('an image for a container ahead of a task that is named, not identified', () => {
    expect(() => check(changed(warmOf(specOf()), 'Image', instead('busybox:stable')))).toThrow(SpecRefused);
  });

  it('variables for a container ahead of a task', () => {
    expect(() => check(changed(warmOf(specOf()), 'Env', more('A=b')))).toThrow(SpecRefused);
  });

  it("the words of one engine at another's", () => {
    const spec = specOf(JOB, RULES, [], { quirks: PODMAN_QUIRKS });
    expect(() => check(JSON.stringify(spec))).toThrow('Tmpfs');
  });

  it("fewer mounts than the image's volumes", () => {
    expect(() => check(JSON.stringify(specOf()), ['/data'])).toThrow('Tmpfs');
  });
});

describe('the body', () => {
  const text = JSON.stringify(specOf());

  it.each([
    ['a name twice', text.replace('"User":', '"User":"0:0","User":')],
    ['a name twice, the second of another case', text.replace('"User":', '"user":"0:0","User":')],
    ['spaces', ` ${text}`],
    ['something behind it', `${text}{}`],
    ['a number in another form', text.replace('"PidsLimit":128', '"PidsLimit":1.28e2')],
    ['an escape where none is needed', text.replace('"User"', '"\\u0055ser"')],
    ['a byte order mark', `\ufeff${text}`],
    ['no object', '[]'],
    ['nothing', ''],
    ['a tower of arrays', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['a wide array', JSON.stringify({ Image: Array.from({ length: 1_000_000 }, () => 0) })],
  ])('with %s is refused', (_, body) => {
    expect(() => check(body)).toThrow(SpecRefused);
  });

  it('is refused when it is no UTF-8, or too long', () => {
    const bytes = Buffer.concat([Buffer.from('{"Image":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    expect(() => parseSpec(bytes)).toThrow(SpecRefused);
    expect(() => parseSpec(Buffer.alloc(MAX_SPEC_BYTES + 1, 0x20))).toThrow('longer');
  });

  it('has room for the largest environment that the worker can ask for', () => {
    const env = Object.fromEntries(Array.from({ length: 7 }, (_, at) => [`V${at}`, '\u0001'.repeat(130_000)]));
    const body = Buffer.from(JSON.stringify(specOf({ ...JOB, env })));
    expect(body.length).toBeGreaterThan(5 * MIB);
    expect(
      checkSpec(parseSpec(body), { volumes: [], networkMode: 'none', quirks: DOCKER_QUIRKS }, RULES).Env,
    ).toHaveLength(12);
  });
});

describe('the first difference', () => {
  it.each([
    [{ a: 1 }, { a: 1 }, null],
    [{ a: 1 }, { a: 2 }, 'a'],
    [{ a: { b: [1, 2] } }, { a: { b: [1, 3] } }, 'a.b[1]'],
    [{ a: [1] }, { a: [1, 2] }, 'a'],
    [{ a: 1, b: 2 }, { a: 1 }, 'b'],
    [{}, { toString: 1 }, 'toString'],
    [{ a: [] }, { a: {} }, 'a'],
  ])('of %j and %j is %j', (given, made, path) => {
    expect(firstDifference(given, made, '')).toBe(path);
  });
});
