import { describe, expect, it } from 'vitest';
import { engineAddress } from '../../../../src/executor/docker/engine-address.ts';
import { sshArgv } from '../../../../src/executor/docker/ssh-agent.ts';

function address(host: string | null, tls: { tlsVerify?: boolean; certPath?: string } = {}, existing: string[] = []) {
  return engineAddress(
    { host, tlsVerify: tls.tlsVerify ?? false, certPath: tls.certPath ?? null },
    { homeDir: '/home/me', runtimeDir: '/run/user/1', exists: (path) => existing.includes(path) },
  );
}

describe('engineAddress', () => {
  it('finds the socket where none is named', () => {
    const system = '/var/run/docker.sock';
    const rootless = '/run/user/1/docker.sock';
    expect(address(null)).toEqual({ kind: 'unix', socketPath: system });
    expect(address('')).toEqual({ kind: 'unix', socketPath: system });
    expect(address('unix://', {}, [rootless])).toEqual({ kind: 'unix', socketPath: rootless });
    expect(address(null, {}, [rootless, system])).toEqual({ kind: 'unix', socketPath: system });
  });

  it.each([
    ['unix:///x/y.sock', {}, { kind: 'unix', socketPath: '/x/y.sock' }],
    ['/x/y.sock', {}, { kind: 'unix', socketPath: '/x/y.sock' }],
    ['tcp://box', {}, { kind: 'tcp', host: 'box', port: 2375, certPath: null }],
    ['box:1234', {}, { kind: 'tcp', host: 'box', port: 1234, certPath: null }],
    ['tcp://[::1]:99', {}, { kind: 'tcp', host: '::1', port: 99, certPath: null }],
    ['tcp://box', { tlsVerify: true }, { kind: 'tcp', host: 'box', port: 2376, certPath: '/home/me/.docker' }],
    ['tcp://box:1', { tlsVerify: true, certPath: '/c' }, { kind: 'tcp', host: 'box', port: 1, certPath: '/c' }],
    ['tcp://box:1', { certPath: '/c' }, { kind: 'tcp', host: 'box', port: 1, certPath: null }],
    ['ssh://box', {}, { kind: 'ssh', host: 'box', port: null, user: null }],
    ['ssh://me@box:22', {}, { kind: 'ssh', host: 'box', port: 22, user: 'me' }],
  ])('reads %s with %j', (host, tls, expected) => {
    expect(address(host, tls)).toEqual(expected);
  });

  it.each(['gopher://box', 'tcp://', 'ssh://-oProxyCommand=x', 'ssh://-l@box', 'ssh://me:secret@box', 'tcp://b o x'])(
    'refuses %s',
    (host) => {
      expect(() => address(host)).toThrow(expect.objectContaining({ kind: 'engine-unavailable' }));
    },
  );

  it('does not repeat a password', () => {
    expect(() => address('ssh://me:secret@box')).toThrow(/^(?!.*secret).*password.*$/);
  });
});

describe('sshArgv', () => {
  it('never asks, and ends its options before the host', () => {
    const argv = sshArgv({ kind: 'ssh', host: 'box', port: null, user: null });
    expect(argv).toEqual([
      '-o',
      'BatchMode=yes',
      '-o',
      'ConnectTimeout=15',
      '--',
      'box',
      'docker',
      'system',
      'dial-stdio',
    ]);
  });
});
