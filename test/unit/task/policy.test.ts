import { expect, it } from 'vitest';
import { taskId } from '../../../src/task/id.ts';
import { checkAgainstPolicy } from '../../../src/task/policy.ts';
import type { TaskSpec } from '../../../src/task/spec.ts';

const policy = {
  allowsImage: (name: string) => name === 'alpine:3',
  allowsNetwork: (name: string) => name === 'builds',
  maxCpus: 1,
  maxMemoryBytes: 512 * 1024 ** 2,
  maxTimeoutMs: 3_600_000,
};
const plain: TaskSpec = {
  taskId: taskId('t'),
  program: { kind: 'script', script: 'true' },
  timeoutMs: 60_000,
  image: null,
  env: {},
  network: null,
  cpus: null,
  memoryBytes: null,
  priority: 'medium',
  retries: 0,
  requires: [],
  admission: null,
  secrets: [],
  follow: false,
};

it('gives secrets to scripts only', () => {
  const asking = { ...plain, secrets: ['key'] };
  expect(checkAgainstPolicy(asking, policy)).toEqual([]);
  expect(checkAgainstPolicy({ ...asking, program: { kind: 'command', argv: ['true'] } }, policy)).toEqual([
    'secrets: can be handed to a script only; write the command as a script, or leave secrets out',
  ]);
});

it('gives no network that is not on the list', () => {
  expect(checkAgainstPolicy({ ...plain, network: 'builds' }, policy)).toEqual([]);
  expect(checkAgainstPolicy({ ...plain, network: 'host' }, policy)).toEqual([
    'network: "host" is not on the operator\'s list (ALLOWED_NETWORKS); use one that is, or leave network out',
  ]);
});

it('lets the defaults and everything up to the caps pass', () => {
  expect(checkAgainstPolicy(plain, policy)).toEqual([]);
  const full = { ...plain, image: 'alpine:3', cpus: 1, memoryBytes: 512 * 1024 ** 2, timeoutMs: 3_600_000 };
  expect(checkAgainstPolicy(full, policy)).toEqual([]);
});

it('names field, value, cap, setting and remedy, for all at once', () => {
  const greedy = { ...plain, image: 'evil', cpus: 2.5, memoryBytes: 1024 ** 3, timeoutMs: 7_200_000 };
  expect(checkAgainstPolicy(greedy, policy)).toEqual([
    'image: "evil" is not on the operator\'s list (ALLOWED_IMAGES); use one that is, or leave image out',
    "cpus: 2.5 is above the operator's cap of 1 (DOCKER_CPUS); ask for 1 or less",
    "memory: 1g is above the operator's cap of 512m (DOCKER_MEMORY); ask for 512m or less",
    "timeout_seconds: 7200 is above the operator's cap of 3600 (DOCKER_TIMEOUT); ask for 3600 or less",
  ]);
});
