/** What a bundle shows of names and secrets. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { secretsOf } from '../../src/doctor/bundle-secrets.ts';
import { Pseudonyms } from '../../src/doctor/pseudonyms.ts';
import { Seal } from '../../src/doctor/seal.ts';
import { makeTempDir } from '../support/temp.ts';

describe('pseudonyms', () => {
  const names = (): Pseudonyms => {
    const made = new Pseudonyms();
    made.learn('host', 'git.corp.example');
    made.learn('repository', 'team/secret-project');
    made.learn('node', 'box-7');
    made.learn('home', '/home/alice');
    return made;
  };

  it.each([
    ['https://git.corp.example/team/secret-project.git', 'https://host-1/repository-1.git'],
    ['getaddrinfo ENOTFOUND proxy.corp.example', 'getaddrinfo ENOTFOUND host-2'],
    ['connect ECONNREFUSED 10.1.2.3:443', 'connect ECONNREFUSED address-1:443'],
    ['connect ECONNREFUSED 127.0.0.1:8000', 'connect ECONNREFUSED 127.0.0.1:8000'],
    ['fe80::1a2b:3c4d and 2001:db8::17', 'address-1 and address-2'],
    ['at 12:34:56', 'at 12:34:56'],
    ['0::/system.slice', '0::/system.slice'],
    ['git 2.39.5, kernel 6.1.0-18', 'git 2.39.5, kernel 6.1.0-18'],
    ['mail bob@corp.example', 'mail mail-1'],
    ['/home/alice/.ssh/id and /home/bob/x', '~/.ssh/id and /home/user-1/x'],
    ['refs/dgrid/tasks/customer-42 and refs/dgrid/nodes/box-7', 'refs/dgrid/tasks/task-1 and refs/dgrid/nodes/node-1'],
    ['tasks/queue/deep/customer-42.json', 'tasks/queue/deep/task-1.json'],
    ['tasks/completed/customer-42/stdout.log', 'tasks/completed/task-1/stdout.log'],
    ['container dgrid-customer-42-3-0a1b2c3d', 'container dgrid-task-1-3-0a1b2c3d'],
    [`customer-42.${'a'.repeat(40)}.result`, `task-1.${'a'.repeat(40)}.result`],
    ['inbox-7 and box-70 are other words', 'inbox-7 and box-70 are other words'],
    ['unix:///var/run/docker.sock', 'unix:///var/run/docker.sock'],
  ])('%s', (text, shown) => {
    expect(names().text(text)).toBe(shown);
  });

  it('are the same for the same name, in every file', () => {
    const made = names();
    expect(made.text('https://a.example/x https://b.example')).toBe('https://host-2/x https://host-3');
    expect(made.text('b.example is away')).toBe('host-3 is away');
    expect(made.list()).toContainEqual({ pseudonym: 'host-3', name: 'b.example' });
  });
});

describe('a seal', () => {
  it('masks what is known, what looks like a secret, and names in fields', () => {
    const seal = new Seal(['correct horse battery'], new Pseudonyms());
    const entry = {
      event: 'task.started',
      task: 'customer-42',
      tasks: ['a', 'b'],
      node: 'n1',
      err: { message: 'correct horse battery' },
    };
    const line = JSON.parse(seal.lines(JSON.stringify(entry))) as object;
    expect(line).toEqual({
      event: 'task.started',
      task: 'task-1',
      tasks: ['task-2', 'task-3'],
      node: 'node-1',
      err: { message: '***' },
    });
    expect(seal.takeCounts()).toMatchObject({ secrets: 1 });
    expect(seal.takeCounts()).toEqual({ secrets: 0, names: 0 });
  });

  it.each([
    'ghp_0123456789abcdefghij',
    'glpat-0123456789abcdefghij',
    'AKIA0123456789ABCDEF',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.sflKxwRJSMeKKF2QT4',
    'Authorization: Basic dXNlcjpwYXNzd29yZA==',
    'Authorization: Bearer abcdef0123456789',
    'https://user:hunter22@git.example/x',
    'https://0123456789abcdef0123456789@git.example/x',
    'password=hunter2222',
    '"api_key": "0123456789abc"',
    '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA',
  ])('knows %j for a secret by its looks', (text) => {
    const shown = new Seal([], null).text(`before ${text} after`);
    expect(shown).toContain('***');
    for (const part of text.match(/[A-Za-z0-9+/]{9,}/g) ?? []) {
      if (/(?:[0-9].*[a-z]|hunter|b3Blb|MIIE|dXNl)/.test(part)) expect(shown).not.toContain(part);
    }
  });

  it('knows a host by the field that it stands in', () => {
    const seal = new Seal([], new Pseudonyms());
    expect(seal.json({ host: 'git.corp.example', registry: 'r.corp.example', other: 'on git.corp.example' })).toEqual({
      host: 'host-1',
      registry: 'host-2',
      other: 'on host-1',
    });
    expect(seal.json({ host: '127.0.0.1' })).toEqual({ host: '127.0.0.1' });
  });

  it('leaves alone what only has a word in common', () => {
    const text = 'GIT_TOKEN_FILE: this user alone can read it; token: null; the secret is short; {"secret":false}';
    expect(new Seal([], null).text(text)).toBe(text);
  });

  it('lets no secret through, wherever in whatever document it stands', () => {
    // A document of nothing but letters, in which the secret cannot come about by itself.
    const secret = fc
      .stringMatching(/^[A-Za-z0-9+/=_.!"\\ %&-]{8,40}$/)
      .filter((text) => text.trim() === text && text.length >= 8);
    const filler = fc.stringMatching(/^[xyz]{0,8}$/);
    fc.assert(
      fc.property(secret, filler, filler, fc.boolean(), (hidden, before, after, keep) => {
        const seal = new Seal([hidden], keep ? null : new Pseudonyms());
        const text = `${before}${hidden}${after}`;
        const document = {
          task: text,
          [text]: [text, { deep: text }],
          encoded: Buffer.from(text).toString('base64'),
          url: encodeURIComponent(text),
        };
        const shown = JSON.stringify(seal.json(document)) + seal.lines(JSON.stringify(document)) + seal.lines(text);
        for (const form of [hidden, JSON.stringify(hidden).slice(1, -1), encodeURIComponent(hidden)]) {
          expect(shown.includes(form)).toBe(false);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('secrets of this machine', () => {
  it('are found wherever the settings lead, in files whose settings are yet to come, too', async () => {
    using dir = makeTempDir('bundle-secrets');
    const file = (name: string, content: string): string => {
      writeFileSync(dir.sub(name), content);
      return dir.sub(name);
    };
    mkdirSync(dir.sub('secrets'));
    mkdirSync(dir.sub('docker'));
    writeFileSync(join(dir.sub('secrets'), 'npm'), 'of-a-task\nsecond line of it\n');
    const auth = Buffer.from('robot:of-a-registry').toString('base64');
    writeFileSync(join(dir.sub('docker'), 'config.json'), `{"auths":{"r.example":{"auth":"${auth}"}}, damaged`);
    const values = {
      GIT_TOKEN: 'of-git',
      WEBHOOK_SECRET_FILE: file('hook', 'of-the-hook\n'),
      NODE_SIGNING_KEY_FILE: file('key', '-----BEGIN X-----\nQUJDREVGR0hJSktM\n-----END X-----\n'),
      GIT_SSH_KEY_FILE: dir.sub('absent'),
      SECRETS_DIR: dir.sub('secrets'),
      DOCKER_CONFIG: dir.sub('docker'),
    };
    const env = {
      HTTPS_PROXY: 'http://user:of%20the-proxy@proxy.example:3128',
      CI_API_KEY: 'of-the-environment',
      SSH_AUTH_SOCK: '/tmp/agent.sock',
      TOKEN: 'short',
    };
    const found = await secretsOf(values, env);
    expect(found).toEqual(
      expect.arrayContaining([
        'of-git',
        'of-the-hook',
        'QUJDREVGR0hJSktM',
        'of-a-task\nsecond line of it',
        'second line of it',
        auth,
        'robot:of-a-registry',
        'of-a-registry',
        'of%20the-proxy',
        'of the-proxy',
        'of-the-environment',
      ]),
    );
    expect(found).not.toContain('/tmp/agent.sock');
    expect(found).not.toContain('short');
    expect(found.filter((text) => text.startsWith('-----') && !text.includes('QUJD'))).toEqual([]);
  });
});
