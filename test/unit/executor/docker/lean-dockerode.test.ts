import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { loadDockerode } from '../../../../src/executor/docker/lean-dockerode.ts';

it('loads dockerode without gRPC, protobuf and its ssh client', () => {
  const Docker = loadDockerode();
  const docker = new Docker({ socketPath: '/nowhere' });
  expect(typeof docker.modem.dial).toBe('function');
  const loaded = Object.keys(createRequire(import.meta.url).cache);
  expect(loaded.some((path) => path.includes('/dockerode/'))).toBe(true);
  expect(loaded.filter((path) => /\/(?:@grpc|protobufjs|ssh2)\//.test(path))).toEqual([]);
  expect(loadDockerode()).toBe(Docker);
});
