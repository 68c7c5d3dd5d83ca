import { describe, expect, it } from 'vitest';
import { isImageAllowed } from '../../../../src/executor/docker/allow-list.ts';
import { fullImageName } from '../../../../src/executor/docker/image-name.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const OTHER_DIGEST = `sha256:${'b'.repeat(64)}`;

describe('fullImageName', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:stable', 'docker.io/library/busybox:stable'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/acme/tool:1', 'docker.io/acme/tool:1'],
    ['acme/tool', 'docker.io/acme/tool:latest'],
    ['ghcr.io/acme/tool:v1.2', 'ghcr.io/acme/tool:v1.2'],
    ['localhost/tool', 'localhost/tool:latest'],
    ['127.0.0.1:5000/tool:1', '127.0.0.1:5000/tool:1'],
    [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    [`busybox:stable@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    // Not an id: given to the engine in full it can only be a name.
    ['4ed054c64936', 'docker.io/library/4ed054c64936:latest'],
  ])('%s', (name, full) => {
    expect(fullImageName(name)).toBe(full);
  });

  it.each([
    '',
    ' ',
    'Busybox',
    'a b',
    'a//b',
    '/a',
    'a/',
    'a:',
    'a:b:c',
    '-a',
    '--privileged',
    'a@sha256:12',
    'a@b@c',
    '../a',
    'a\n',
    'http://a/b',
    'a?x=1',
    `${'a/'.repeat(200)}b`,
  ])('refuses %j', (name) => {
    expect(fullImageName(name)).toBeNull();
  });
});

describe('isImageAllowed', () => {
  it.each([
    ['busybox', ['docker.io/library/busybox:latest'], true],
    ['docker.io/library/busybox:latest', ['busybox'], true],
    ['busybox:stable', ['busybox'], false],
    ['busybox:stable', ['busybox:*'], true],
    ['busybox:stable', [], false],
    ['evil/busybox:stable', ['busybox:*'], false],
    ['ghcr.io/busybox:stable', ['busybox:*'], false],
    ['anything/at/all:1', ['*'], true],
    ['no image name!', ['*'], false],
    ['ghcr.io/acme/tool:1', ['ghcr.io/acme/*'], true],
    ['ghcr.io/acme/deep/tool:1', ['ghcr.io/acme/*'], false],
    ['ghcr.io/acme/deep/tool:1', ['ghcr.io/acme/**'], true],
    ['ghcr.io/acmeX/tool:1', ['ghcr.io/acme/*'], false],
    ['ghcrXio/acme/tool:1', ['ghcr.io/acme/*'], false],
    ['acme/tool:latest', ['acme/t*l'], true],
    ['acme/tool:1', ['acme/t*l'], false],
    ['python:3.12', ['python*'], true],
    ['python:3.12', [' python:3.* '], true],
    [`busybox@${DIGEST}`, ['busybox'], false],
    [`busybox:latest@${DIGEST}`, ['busybox'], false],
    [`busybox@${DIGEST}`, [`busybox@${DIGEST}`], true],
    [`busybox@${OTHER_DIGEST}`, [`busybox@${DIGEST}`], false],
    [`evil/tool@${DIGEST}`, [DIGEST], true],
    [`evil/tool@${OTHER_DIGEST}`, [DIGEST], false],
    ['busybox', [DIGEST], false],
    [`busybox@${DIGEST}`, ['busybox@*'], true],
    ['127.0.0.1:5000/tool:1', ['127.0.0.1:5000/*'], true],
  ])('%s by %j: %s', (image, allowed, expected) => {
    expect(isImageAllowed(image, allowed)).toBe(expected);
  });
});
