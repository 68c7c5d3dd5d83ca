import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GitError } from '../../src/git/errors.ts';
import { refName } from '../../src/git/oid.ts';
import { commitFiles } from '../support/git.ts';
import { openRepository } from '../support/repository.ts';
import { SshServer } from '../support/ssh-server.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

let dir: TempDir;
let server: SshServer;
let tip: string;
beforeAll(async () => {
  dir = makeTempDir('ssh-client');
  server = await SshServer.start();
  tip = await commitFiles(await server.createRepository('r'), { a: '1' });
});
afterAll(async () => {
  await server.stop();
  dir.remove();
});

function list(settings: Record<string, unknown>, url = server.url('r')): Promise<unknown> {
  const { repository } = openRepository({ url, path: dir.sub('clone'), home: dir.path, settings });
  return repository.listRefs(['refs/heads/']).then((listing) => listing.refs.get(refName('refs/heads/main')));
}

describe('ssh', () => {
  const good = () => ({ sshKeyFile: server.clientKeyFile, sshKnownHostsFile: server.knownHostsFile });

  it('gets in with its key, from paths with blanks in them', async () => {
    expect(server.clientKeyFile).toContain(' ');
    expect(await list(good())).toBe(tip);
  });

  it.each([
    ['an unknown key', () => ({ ...good(), sshKeyFile: server.strangerKeyFile })],
    ['a key that is not there', () => ({ ...good(), sshKeyFile: dir.sub('no key') })],
    ['a changed host key', () => ({ ...good(), sshKnownHostsFile: server.wrongKnownHostsFile() })],
    ['an unknown host key', () => ({ ...good(), sshKnownHostsFile: emptyFile() })],
  ])('needs a person for %s', async (_label, settings) => {
    await expect(list(settings())).rejects.toMatchObject({ kind: 'auth' });
  });

  it('is a network failure where nobody listens', async () => {
    const error: unknown = await list(good(), 'ssh://nobody@127.0.0.1:1/r.git').catch((caught: unknown) => caught);
    expect((error as GitError).kind).toBe('network');
  });

  function emptyFile(): string {
    writeFileSync(dir.sub('empty'), '');
    return dir.sub('empty');
  }
});
