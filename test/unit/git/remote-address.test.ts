import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRemoteAddress } from '../../../src/git/remote-address.ts';

describe('parseRemoteAddress', () => {
  it.each([
    ['https://github.com/a/b.git', 'http', 'https://github.com/a/b.git'],
    ['https://u:p@h:8443/a%20b.git#x', 'http', 'https://h:8443/a%20b.git'],
    ['HTTP://h/a', 'http', 'http://h/a'],
    ['ssh://git@h:22/a.git', 'ssh', 'ssh://git@h:22/a.git'],
    ['ssh://git:secret@h/a.git', 'ssh', 'ssh://git@h/a.git'],
    ['git@github.com:a/b.git', 'ssh', 'git@github.com:a/b.git'],
    ['git://h/a', 'git', 'git://h/a'],
    ['file:///srv/a%20b.git', 'file', '/srv/a b.git'],
    ['/srv/a.git', 'file', '/srv/a.git'],
    ['./a:b.git', 'file', resolve('a:b.git')],
    ['a.git', 'file', resolve('a.git')],
    [' /srv/a.git ', 'file', '/srv/a.git'],
  ])('%s is %s %s', (text, transport, url) => {
    expect(parseRemoteAddress(text)).toMatchObject({ transport, url });
  });

  it('keeps name and password apart from the URL', () => {
    expect(parseRemoteAddress('https://u%40x:p%2Fw@h:8443/a')).toEqual({
      transport: 'http',
      url: 'https://h:8443/a',
      origin: 'https://h:8443',
      user: 'u@x',
      password: 'p/w',
    });
  });

  it.each(['', '  ', 'ext::sh -c id', 'ftp://h/a', 'https://', 'http://[bad/', 'file://elsewhere/a', 'a\nb'])(
    'refuses %j',
    (text) => {
      expect(() => parseRemoteAddress(text)).toThrow(RangeError);
    },
  );

  it('does not repeat a secret when it refuses', () => {
    let message = '';
    try {
      parseRemoteAddress('htps://u:s3cret@h/a');
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/scheme/);
    expect(message).not.toContain('s3cret');
  });
});
