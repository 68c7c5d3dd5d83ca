/**
 * The image that attacks run in: busybox, and this machine's perl, which can make any system call and is there on each Debian
 * and Ubuntu. A copy of it is setuid root. A second image declares volumes.
 */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { busyboxRootTar, findBusybox } from '../../../src/executor/docker/busybox-image.ts';
import { buildTar, type TarEntry } from '../../../src/executor/docker/tar.ts';
import type { PrivateEngine } from '../engine.ts';
import { installMissing, runProgram } from '../programs.ts';

export const ATTACK_IMAGE = 'dgrid-abuse:latest';
export const VOLUME_IMAGE = 'dgrid-abuse-volumes:latest';
/** One of them written as nobody would. */
export const VOLUMES = ['/data', '/tmp', '/run', '/odd//place/'];
export const SETUID_PERL = '/suid/perl';

/** The two empty blocks at the end of an archive. */
const TAR_END_BYTES = 1024;

export async function importAttackImages(engine: PrivateEngine): Promise<void> {
  await installMissing({ perl: 'perl-base' });
  const { body } = await engine.api<{ Arch: string }>('GET', '/version');
  const busybox = await findBusybox(body.Arch);
  if (busybox === null) throw new Error('no static busybox on this machine: install busybox-static');
  const root = busyboxRootTar(busybox);
  const tar = Buffer.concat([root.subarray(0, -TAR_END_BYTES), buildTar(await perlEntries())]);
  await engine.importImage(ATTACK_IMAGE, tar);
  await engine.importImage(VOLUME_IMAGE, tar, [`VOLUME ${JSON.stringify(VOLUMES)}`]);
}

/** The program with the libraries that it asks for, where it asks for them. */
async function perlEntries(): Promise<TarEntry[]> {
  const perl = await readFile('/usr/bin/perl');
  const listed = await runProgram('ldd', ['/usr/bin/perl']);
  const libraries = listed.split('\n').flatMap((line) => /(?:^|\s)(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  const files = await Promise.all(
    libraries.map(async (path): Promise<TarEntry> => {
      return { kind: 'file', path: path.slice(1), mode: 0o755, content: await readFile(path) };
    }),
  );
  const directories = [...new Set(libraries.flatMap((path) => ancestors(path)))].toSorted(
    (a, b) => a.length - b.length,
  );
  return [
    ...directories.map((path): TarEntry => ({ kind: 'directory', path: `${path.slice(1)}/`, mode: 0o755 })),
    ...files,
    { kind: 'directory', path: 'suid/', mode: 0o755 },
    { kind: 'file', path: 'bin/perl', mode: 0o755, content: perl },
    { kind: 'file', path: SETUID_PERL.slice(1), mode: 0o4755, content: perl },
  ];
}

function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === '/' || parent === '/usr' ? [] : [...ancestors(parent), parent];
}
