/**
 * A base image without a registry of images: a minimal Debian or Ubuntu, the same release as this machine, from the
 * mirror that this machine's apt uses. It takes half a minute, so the archive is kept for later runs.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { installMissing, runProgram } from './programs.ts';

/** Counted up when the recipe below changes. */
const RECIPE = 1;
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
const BOOTSTRAP_BOUND_MS = 300_000;

interface Source {
  mirror: string;
  suite: string;
  components: string;
}

/**
 * Path of a tar archive with the root file system. It trusts the certificate authorities that this machine trusts.
 * @param packages what it has beyond the minimum
 */
export async function debianBase(packages: readonly string[] = []): Promise<string> {
  await installMissing({ debootstrap: 'debootstrap' });
  const source = await ownSource();
  const certificates = existsSync(CERTIFICATES) ? await readFile(CERTIFICATES) : Buffer.alloc(0);
  const key = createHash('sha256')
    .update(JSON.stringify([RECIPE, process.arch, source, ...packages]))
    .update(certificates)
    .digest('hex');
  const cache = await ownCacheDirectory();
  const archive = join(cache, `${source.suite}-${key.slice(0, 32)}.tar`);
  if (!existsSync(archive)) await makeArchive(archive, source, packages, certificates.length > 0);
  return archive;
}

async function makeArchive(
  archive: string,
  source: Source,
  packages: readonly string[],
  withCertificates: boolean,
): Promise<void> {
  const work = await mkdtemp(join(dirname(archive), 'work-'));
  try {
    const root = join(work, 'root');
    const options = ['--variant=minbase', `--components=${source.components}`];
    if (packages.length > 0) options.push(`--include=${packages.join(',')}`);
    await runProgram('debootstrap', [...options, source.suite, root, source.mirror], { boundMs: BOOTSTRAP_BOUND_MS });
    if (withCertificates) {
      // Where update-ca-certificates finds it as soon as that gets installed.
      const target = join(root, 'usr/local/share/ca-certificates/machine.crt');
      await runProgram('install', ['-D', '--mode=0644', CERTIFICATES, target]);
    }
    const leftOut = ['./var/cache/apt/*', './var/lib/apt/lists/*', './var/log/*'].map((path) => `--exclude=${path}`);
    await runProgram('tar', [
      '--create',
      '--numeric-owner',
      `--file=${work}/base.tar`,
      `--directory=${root}`,
      ...leftOut,
      '.',
    ]);
    // Whole or not at all: another run may be looking for it right now.
    await rename(join(work, 'base.tar'), archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Of the machine's release; never that of additional sources, which may hold anything. */
async function ownSource(): Promise<Source> {
  const release = await readFile('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1];
  const listing = await runProgram('apt-get', [
    'indextargets',
    '--format',
    '$(CREATED_BY) $(RELEASE) $(SITE) $(COMPONENT)',
  ]);
  const rows = listing.split('\n').map((line) => line.split(' '));
  const ours = rows.filter(([by, of]) => by === 'Packages' && of === suite);
  const mirror = ours.find(([, , , component]) => component === 'main')?.[2];
  if (suite === undefined || mirror === undefined)
    throw new Error('apt of this machine knows no mirror of its own release');
  const components = new Set(
    ours.filter(([, , site]) => site === mirror).map(([, , , component]) => String(component)),
  );
  return { mirror, suite, components: [...components].toSorted().join(',') };
}

/** Below the directory for temporary files anyone may have put something: only what is ours alone is trusted. */
export async function ownCacheDirectory(): Promise<string> {
  const path = join(tmpdir(), `dgrid-test-cache-${process.getuid?.() ?? 0}`);
  await mkdir(path, { recursive: true, mode: 0o700 });
  const found = await lstat(path);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new Error(`${path} is not a directory of this user alone`);
  }
  return path;
}
