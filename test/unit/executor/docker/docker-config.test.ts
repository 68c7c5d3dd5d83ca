import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Credential,
  entryFor,
  parseDockerConfig,
  registryAuthHeader,
} from '../../../../src/executor/docker/docker-config.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const parse = (config: object) => parseDockerConfig(JSON.stringify(config));
const password = (username: string, secret: string): Credential => ({ kind: 'password', username, password: secret });

describe('parseDockerConfig', () => {
  it.each([
    [{ auth: base64('me:a:b') }, password('me', 'a:b')],
    [{ auth: base64('me:pw\0\0') }, password('me', 'pw')],
    [{ username: 'me', password: 'pw' }, password('me', 'pw')],
    [
      { auth: base64('me:pw'), identitytoken: 'tok' },
      { kind: 'identity-token', token: 'tok' },
    ],
    [{ registrytoken: 'tok' }, { kind: 'registry-token', token: 'tok' }],
    [{}, undefined],
  ])('reads an entry %j', (entry, expected) => {
    expect(parse({ auths: { 'r.example': entry } }).auths.get('r.example')).toEqual(expected);
  });

  it('knows nothing of an empty file', () => {
    expect(parse({})).toEqual({ auths: new Map(), helpers: new Map(), store: null });
  });

  it.each([
    ['{"auths": {"r": {"auth": "canary-text', 'it is not JSON'],
    ['[]', 'the file must be a JSON object'],
    [JSON.stringify({ auths: { r: { auth: base64('canary-text') } } }), '"auth" must be user:password'],
    [JSON.stringify({ auths: { r: { username: ['canary-text'] } } }), '"username" must be a text'],
    [JSON.stringify({ auths: { r: 'canary-text' } }), 'auths, r must be a JSON object'],
    [JSON.stringify({ credsStore: '../canary-text' }), 'credsStore: must be the name of a helper'],
    [JSON.stringify({ credHelpers: { r: 'a/b' } }), 'credHelpers, r: must be the name of a helper'],
  ])('refuses %s without repeating what may be a secret', (text, message) => {
    expect(() => parseDockerConfig(text)).toThrow(message);
    expect(() => parseDockerConfig(text)).not.toThrow('canary-text');
  });
});

describe('entryFor', () => {
  const entries = (...keys: string[]) => new Map(keys.map((key) => [key, key]));

  it.each([
    ['r.example:5000', 'r.example:5000'],
    ['r.example:5000', 'https://r.example:5000/v2/'],
    ['r.example:5000', 'http://r.example:5000'],
    ['docker.io', 'https://index.docker.io/v1/'],
    ['docker.io', 'docker.io'],
  ])('finds for %s what is under %s', (host, key) => {
    expect(entryFor(entries('other.example', key), host)).toBe(key);
  });

  it.each([
    ['r.example', 'r.example:5000'],
    ['r.example:5000', 'r.example'],
    ['example', 'r.example'],
    ['r.example', 'r.example.evil'],
    ['r.example', 'evil/r.example'],
    ['r.example', 'https://evil/r.example'],
    ['docker.io', 'hub.docker.io'],
    ['evil', 'https://index.docker.io/v1/'],
  ])('finds for %s nothing under %s', (host, key) => {
    expect(entryFor(entries(key), host)).toBeNull();
  });

  it('prefers the entry that is spelled as it is asked for', () => {
    expect(entryFor(entries('https://r.example/v1/', 'r.example'), 'r.example')).toBe('r.example');
  });
});

describe('registryAuthHeader', () => {
  it('is what the engine decodes: base64 for addresses, with padding', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.string(), (username, secret) => {
        const header = registryAuthHeader(password(username, secret), 'r.example');
        expect(header).toMatch(/^[A-Za-z0-9_-]+={0,2}$/);
        expect(header.length % 4).toBe(0);
        const decoded = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as unknown;
        expect(decoded).toEqual({ username, password: secret, serveraddress: 'r.example' });
      }),
    );
  });

  it.each([
    [{ kind: 'identity-token', token: 't' } as const, { identitytoken: 't' }],
    [{ kind: 'registry-token', token: 't' } as const, { registrytoken: 't' }],
  ])('carries %j', (credential, fields) => {
    const decoded = JSON.parse(Buffer.from(registryAuthHeader(credential, 'docker.io'), 'base64url').toString('utf8'));
    expect(decoded).toEqual({ ...fields, serveraddress: 'https://index.docker.io/v1/' });
  });
});
