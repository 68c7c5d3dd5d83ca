/**
 * An ordinary user of this machine for a test, with a range of ids of its own for user namespaces, and gone afterwards.
 * It needs root.
 */
import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram, tryProgram } from './programs.ts';

const RANGE = '1000000-1065535';

export interface OrdinaryUser {
  name: string;
  uid: number;
  gid: number;
  home: string;
  /** Where programs expect XDG_RUNTIME_DIR to be. */
  runtimeDir: string;
  /** A command line that runs the given one as this user, with nothing of our environment. */
  as(argv: readonly string[], env?: Readonly<Record<string, string>>): string[];
  remove(): Promise<void>;
}

/** @param directory in which its home is made; everybody can pass through it */
export async function ordinaryUser(directory: string): Promise<OrdinaryUser> {
  const name = `dgrid-${randomBytes(3).toString('hex')}`;
  const home = join(directory, 'home');
  await runProgram('useradd', ['--no-create-home', '--home-dir', home, '--shell', '/bin/sh', name]);
  const [uid = 0, gid = 0] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number(await runProgram('id', [flag, name]))),
  );
  const runtimeDir = join(directory, 'run');
  for (const path of [home, runtimeDir]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chown(path, uid, gid);
  }
  // Some systems give every new user a range already.
  if (!(await readFile('/etc/subuid', 'utf8').catch(() => '')).includes(`${name}:`)) {
    await runProgram('usermod', ['--add-subuids', RANGE, '--add-subgids', RANGE, name]);
  }
  return {
    name,
    uid,
    gid,
    home,
    runtimeDir,
    as(argv, env = {}) {
      const all = {
        HOME: home,
        USER: name,
        XDG_RUNTIME_DIR: runtimeDir,
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        ...env,
      };
      const variables = Object.entries(all).map(([key, value]) => `${key}=${value}`);
      const ids = [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups'];
      return ['setpriv', ...ids, 'env', '--ignore-environment', ...variables, ...argv];
    },
    async remove() {
      await tryProgram('userdel', ['--force', name]);
    },
  };
}
