import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { dockerHost, imageName, imagePattern, networkName, networkPattern } from '../../../src/config/docker-kind.ts';
import type { Machine } from '../../../src/config/machine.ts';
import { nodeIdFromHost } from '../../../src/config/node-name.ts';
import { OPTIONS } from '../../../src/config/options.ts';
import { parseRepoUrl } from '../../../src/config/repo-url.ts';
import type { ValueKind } from '../../../src/config/value-kind.ts';

const cwd = mkdtempSync(join(tmpdir(), 'dgrid-address-'));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));
const machine: Machine = { cwd, hostName: 'box', homeDir: '/home/me', isRoot: false, xdgStateHome: null };

describe('the address of the repository', () => {
  test.each([
    'https://git.example.com/team/tasks.git',
    'https://org@dev.example.com/org/tasks',
    'http://127.0.0.1:8080/tasks.git',
    'ssh://git@git.example.com:2222/team/tasks.git',
    'git://git.example.com/tasks.git',
    'file:///srv/tasks.git',
    'git@git.example.com:team/tasks.git',
    'box:tasks.git',
    'git@[::1]:tasks.git',
  ])('%s is taken as it is', (address) => expect(parseRepoUrl(address, machine)).toEqual({ ok: true, value: address }));

  test.each([
    ['/srv/tasks.git', '/srv/tasks.git'],
    ['./tasks.git', () => join(cwd, 'tasks.git')],
    ['~/tasks.git', '/home/me/tasks.git'],
    ['/srv/my tasks.git', '/srv/my tasks.git'],
  ])('the path %s becomes absolute', (path, expected) => {
    const value = typeof expected === 'function' ? expected() : expected;
    expect(parseRepoUrl(path, machine)).toEqual({ ok: true, value });
  });

  test.each([
    'https://user:hunter22@git.example.com/tasks.git',
    'https://:hunter22@git.example.com/tasks.git',
    'https://user:hunt/er22@git.example.com/tasks.git',
    'https://ghp_hunter22@git.example.com/tasks.git',
    'https://glpat-hunter22@git.example.com/tasks.git',
    'https://hunter22hunter22hunter22hunter22hunter22@git.example.com/tasks.git',
    'https://git.example.com/tasks.git?private_token=hunter22',
    'ssh://git:hunter22@git.example.com/tasks.git',
    'git:hunter22@git.example.com:tasks.git',
  ])('a secret in it is refused and not repeated', (address) => {
    const parsed = parseRepoUrl(address, machine);
    expect(parsed.ok, address).toBe(false);
    if (parsed.ok) return;
    expect(parsed.message).not.toContain('hunter22');
    if (!address.includes('hunt/er22')) expect(parsed.message).toContain('GIT_TOKEN_FILE');
  });

  test.each([
    'ftp://git.example.com/tasks.git',
    'ext::sh -c touch% /tmp/x',
    '--upload-pack=touch /tmp/x',
    'https://git.example.com',
    'https:///tasks.git',
    'https://git.example.com/a b',
    'file://host/tasks.git',
    'git.example.com/team/tasks',
    'two words',
    'a\nb',
    'host:',
  ])('%j is refused', (address) => expect(parseRepoUrl(address, machine).ok).toBe(false));
});

function accepts(kind: ValueKind<unknown>, good: readonly string[], wrong: readonly string[]): void {
  for (const text of good) expect(kind.parse(text, machine).ok, text).toBe(true);
  for (const text of wrong) expect(kind.parse(text, machine).ok, text).toBe(false);
}

test('image names', () =>
  accepts(
    imageName(),
    ['busybox', 'busybox:stable', 'registry.example.com:5000/a/b:1.2', `alpine@sha256:${'a'.repeat(64)}`],
    ['Busybox', 'a b', '-x', 'a:', 'a@sha256:12', '*', '../x', 'a//b'],
  ));

test('image patterns', () =>
  accepts(
    imagePattern(),
    ['*', 'busybox:*', 'r.example.com/team/*', `sha256:${'a'.repeat(64)}`],
    // What could match no image is a mistake, and not a list that allows less than it seems to.
    ['a b', '-x', 'a\nb', 'Busybox', 'busybox:?', 'a@sha256:12', 'sha256:12', 'a:b:c/d'],
  ));

test('networks: never the host’s or another container’s', () =>
  accepts(
    networkName(),
    ['none', 'bridge', 'tasks_net'],
    ['host', 'HOST', 'container:web', 'ns:/proc/1/ns/net', '-x', ''],
  ));

test('patterns of networks: nor by any pattern that is one', () =>
  accepts(
    networkPattern(),
    ['*', 'team-*', 'builds', 'bridge'],
    ['host', 'Host', 'default', 'container:*', 'ns:*', '-x', 'a b', ''],
  ));

test('engine addresses', () =>
  accepts(
    dockerHost(),
    ['unix:///var/run/docker.sock', 'tcp://10.0.0.1:2376', 'ssh://me@box'],
    ['/var/run/docker.sock', 'tcp://', 'unix://', 'ssh://me:secret@box', 'ftp://x'],
  ));

test('branch names', () =>
  accepts(
    OPTIONS.DGRID_BRANCH.kind,
    ['main', 'team/queue', 'v1.2', 'x'],
    ['-x', 'refs/heads/main', 'a..b', 'a b', 'a~1', 'a:b', 'x.lock', '/x', 'x/', '.x', 'a/.b', 'a//b', 'x.', '@{x'],
  ));

test('HTTP hosts', () =>
  accepts(
    OPTIONS.HTTP_HOST.kind,
    ['127.0.0.1', '::1', '0.0.0.0', 'localhost', 'a-b.example.com'],
    ['a b', '-x', 'http://x'],
  ));

test('credential helpers: none with a password in it', () =>
  accepts(
    OPTIONS.GIT_CREDENTIAL_HELPER.kind,
    ['store --file=/etc/c', 'cache', '!f() { echo "password=$(cat /etc/token)"; }; f'],
    ['!f() { echo password=hunter22; }; f'],
  ));

describe('from host name to node id', () => {
  test.each([
    ['box', 'box'],
    ['Edge-01.Example.COM', 'edge-01-example-com'],
    ['_x', 'x'],
    ['-box-', 'box'],
    ['käse', 'k-se'],
  ])('%s', (host, id) => expect(nodeIdFromHost(host)).toBe(id));
  test('nothing usable', () => expect(nodeIdFromHost('---')).toBeNull());
  test('long names stay apart', () => {
    const [a, b] = ['a', 'b'].map((end) => nodeIdFromHost(`${'x'.repeat(80)}${end}`));
    expect(a).toMatch(/^[a-z0-9][a-z0-9_-]{0,62}$/);
    expect(a).not.toBe(b);
  });
});
