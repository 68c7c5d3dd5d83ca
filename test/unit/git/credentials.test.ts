import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type CredentialSettings, redact, remoteAccess } from '../../../src/git/credentials.ts';
import { parseRemoteAddress } from '../../../src/git/remote-address.ts';
import { makeTempDir } from '../../support/temp.ts';

const NONE: CredentialSettings = {
  token: null,
  tokenFile: null,
  sshKeyFile: null,
  sshKnownHostsFile: null,
  credentialHelper: null,
};

/** Asks the helper as git does. */
async function answer(url: string, settings: Partial<CredentialSettings>): Promise<string> {
  const access = await remoteAccess(parseRemoteAddress(url), { ...NONE, ...settings });
  const helper = access.config.find(([key, value]) => key.startsWith('credential.http') && value.startsWith('!'))?.[1];
  if (!helper) return '';
  const env = { PATH: process.env['PATH'], ...access.variables };
  const store = execFileSync('sh', ['-c', `${helper.slice(1)} store`], { env, encoding: 'utf8' });
  return store + execFileSync('sh', ['-c', `${helper.slice(1)} get`], { env, encoding: 'utf8' });
}

describe('remoteAccess', () => {
  it('answers with the token and a name that hosts take', async () => {
    const said = await answer('https://h/a.git', { token: `p%s'"$(id)\\n` });
    expect(said).toBe(`username=x-access-token\npassword=p%s'"$(id)\\n\n`);
  });

  it('takes name and password of the URL, and prefers the token', async () => {
    expect(await answer('https://me:p%40ss@h/a.git', {})).toBe('username=me\npassword=p@ss\n');
    expect(await answer('https://me:old@h/a.git', { token: 'new' })).toBe('username=me\npassword=new\n');
    expect(await answer('https://TOKEN@h/a.git', {})).toBe('username=TOKEN\npassword=\n');
    expect(await answer('https://h/a.git', {})).toBe('');
  });

  it('keeps the secret out of everything but one variable', async () => {
    const access = await remoteAccess(parseRemoteAddress('https://me:s3cret@h:8443/a.git'), NONE);
    expect(JSON.stringify(access.config)).not.toContain('s3cret');
    expect(access.config[0]?.[0]).toBe('credential.https://h:8443.helper');
    expect(Object.entries(access.variables).filter(([, value]) => value.includes('s3cret'))).toHaveLength(1);
    expect(access.secrets).toContain('s3cret');
    expect(access.secrets).toContain(Buffer.from('me:s3cret').toString('base64'));
  });

  it('reads the token file each time', async () => {
    using dir = makeTempDir('token');
    writeFileSync(dir.sub('t'), 'one\n');
    expect(await answer('https://h/a', { tokenFile: dir.sub('t') })).toContain('password=one\n');
    writeFileSync(dir.sub('t'), 'two\n');
    expect(await answer('https://h/a', { tokenFile: dir.sub('t') })).toContain('password=two\n');
  });

  it('names the token file that is missing, empty, or more than a line', async () => {
    using dir = makeTempDir('token');
    for (const content of [null, ' \n', 'a\nb']) {
      if (content !== null) writeFileSync(dir.sub('t'), content);
      await expect(answer('https://h/a', { tokenFile: dir.sub('t') })).rejects.toMatchObject({ kind: 'auth' });
    }
  });

  it("passes the operator's helper on, with the name of the URL", async () => {
    const access = await remoteAccess(parseRemoteAddress('https://me@h/a'), {
      ...NONE,
      credentialHelper: 'store --file=/x',
    });
    expect(access.config).toEqual([
      ['credential.helper', 'store --file=/x'],
      ['credential.https://h.username', 'me'],
    ]);
  });

  it('asks ssh never to ask, and quotes its paths', async () => {
    const address = parseRemoteAddress('git@h:a.git');
    const keys = { sshKeyFile: "/k e'y%h", sshKnownHostsFile: '/known hosts' };
    const command = (await remoteAccess(address, { ...NONE, ...keys })).variables['GIT_SSH_COMMAND'] ?? '';
    const words = execFileSync('sh', ['-c', `printf '%s\\n' ${command}`], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(words).toContain('BatchMode=yes');
    expect(words).toContain('StrictHostKeyChecking=yes');
    expect(words).toContain('UserKnownHostsFile="/known hosts"');
    expect(words).toContain(`IdentityFile="/k e'y%%h"`);
    expect(words).toContain('IdentitiesOnly=yes');
    const plain = (await remoteAccess(address, NONE)).variables['GIT_SSH_COMMAND'];
    expect(plain).toContain('StrictHostKeyChecking=accept-new');
    await expect(remoteAccess(address, { ...NONE, sshKeyFile: '/a"b' })).rejects.toMatchObject({ kind: 'auth' });
  });

  it('gives nothing to a path', async () => {
    const access = await remoteAccess(parseRemoteAddress('/srv/a.git'), { ...NONE, token: 'x' });
    expect(access).toEqual({ variables: {}, config: [], secrets: [] });
  });
});

describe('redact', () => {
  it('takes out secrets, plain and encoded, and what looks like one in a URL', () => {
    const text = "fatal: 'https://u:other@h/a' p@ss p%40ss ok https://h:8080/x ssh://git@h/a";
    expect(redact(text, ['p@ss', ''])).toBe(
      "fatal: 'https://[redacted]@h/a' [redacted] [redacted] ok https://h:8080/x ssh://git@h/a",
    );
  });
});
