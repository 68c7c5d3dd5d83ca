/**
 * Makes single-file executables: `npm run package`, or `npm run package -- --arch amd64 --arch arm64`.
 *
 * Each is Node.js with the program inside, for a box that has neither Node.js nor npm. All that a box gets lies in one
 * directory afterwards: the executables, also compressed, the installer with the service that it sets up, the notices of
 * all that is inside, its bill of materials, and the sums of all of these.
 *
 * Making it again from the same sources and dependencies gives the same bytes.
 */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { billOfMaterials } from './package/bill-of-materials.ts';
import { type Bundle, bundle } from './package/bundle.ts';
import { embeddedAssets } from './package/embedded-assets.ts';
import { assemble } from './package/executable.ts';
import { ARCHITECTURES, type Architecture, fetchNode, ownArchitecture } from './package/node-program.ts';
import { notices } from './package/notices.ts';
import { bundledPackages } from './package/packages.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const NODE_CACHE = join(root, 'build/.node');
/** What else a box needs, and needs as it is. */
const COPIED = [
  'scripts/install.sh',
  'scripts/install-steps.sh',
  'docker/dgrid-engine-filter.service',
  'docker/dgrid-worker.service',
  'LICENSE',
];
const SUMS = 'SHA256SUMS';
const USAGE = `usage: npm run package -- [--arch ${Object.keys(ARCHITECTURES).join('|')}]... [--out DIRECTORY]`;

async function main(argv: readonly string[]): Promise<number> {
  const options = readOptions(argv);
  if (typeof options === 'string') {
    console.error(`${options}\n${USAGE}`);
    return 2;
  }
  const { out, architectures } = options;
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  const work = join(out, '.work');
  await removeEarlier(out);
  await mkdir(work, { recursive: true });
  const program = await bundle(root, join(work, 'program.cjs'));
  for (const architecture of architectures) {
    await makeExecutable(program, architecture, work, join(out, `dgrid-${version}-linux-${architecture}`));
  }
  await describe(program, out);
  for (const path of COPIED) await copyFile(join(root, path), join(out, path.replace(/^.*\//, '')));
  await rm(work, { recursive: true });
  await writeSums(out);
  console.log(`Made, in ${relative(process.cwd(), out)}: ${(await visible(out)).join(', ')}`);
  return 0;
}

function readOptions(argv: readonly string[]): { out: string; architectures: Architecture[] } | string {
  let values: { arch?: string[]; out?: string };
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: { arch: { type: 'string', multiple: true }, out: { type: 'string' } },
    }));
  } catch (error) {
    return (error as Error).message;
  }
  const architectures = values.arch ?? [ownArchitecture()];
  const unknown = architectures.find((name) => !Object.hasOwn(ARCHITECTURES, name));
  if (unknown !== undefined) return `--arch ${unknown}: there is no Node.js of that kind to build with`;
  return {
    out: values.out === undefined ? join(root, 'build') : resolve(values.out),
    architectures: architectures as Architecture[],
  };
}

/** Only what an earlier run made, since the directory may be anybody's. */
async function removeEarlier(out: string): Promise<void> {
  await rm(join(out, '.work'), { recursive: true, force: true });
  for (const name of await readdir(out).catch(() => [])) {
    if (name === SUMS || /^dgrid-\d.*-linux-/.test(name)) await rm(join(out, name));
  }
}

async function makeExecutable(program: Bundle, architecture: Architecture, work: string, path: string): Promise<void> {
  const node = await fetchNode(architecture, NODE_CACHE);
  await assemble({
    node: node.path,
    script: program.path,
    assets: await embeddedAssets(root),
    // What V8 compiled for one kind of processor means nothing to another.
    codeCache: architecture === ownArchitecture(),
    work,
    path,
  });
  await writeFile(`${path}.gz`, await promisify(gzip)(await readFile(path), { level: 9 }));
}

async function describe(program: Bundle, out: string): Promise<void> {
  const packages = await bundledPackages(root, program.inputs);
  const node = await fetchNode(ownArchitecture(), NODE_CACHE);
  await writeFile(join(out, 'THIRD-PARTY-NOTICES.txt'), notices(packages, process.versions.node, node.license));
  await writeFile(join(out, 'sbom.cdx.json'), await billOfMaterials(root, packages));
}

/** In the form of sha256sum, for whoever wants to check without the installer. */
async function writeSums(out: string): Promise<void> {
  const lines: string[] = [];
  for (const name of (await visible(out)).filter((name) => name !== SUMS)) {
    const sum = createHash('sha256').update(await readFile(join(out, name)));
    lines.push(`${sum.digest('hex')}  ${name}\n`);
  }
  await writeFile(join(out, SUMS), lines.join(''));
}

async function visible(out: string): Promise<string[]> {
  return (await readdir(out)).filter((name) => !name.startsWith('.')).toSorted();
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`No release was made: ${(error as Error).message}`);
  process.exitCode = 1;
}
