/**
 * The worker's image as an archive, for tests that load it into several engines. Building it takes minutes, so the archive is
 * kept for as long as nothing changes of what goes into the image.
 */
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { debianBase, ownCacheDirectory } from './debian-base.ts';
import { PrivateEngine } from './engine.ts';
import { ROOT, WORKER_IMAGE, WorkerImage } from './worker-image.ts';

/** What docker/Dockerfile copies, and itself. */
const INPUTS = [
  'docker/Dockerfile',
  'docker/healthcheck',
  'docker/sbom',
  '{bin,src}/**',
  '*.json',
  '.npmrc',
  'LICENSE',
];
const PREFIX = 'worker-image-';

/** Path of an archive that `docker load` takes; the image in it is called `WORKER_IMAGE`. */
export async function workerImageArchive(): Promise<string> {
  const key = createHash('sha256')
    .update(process.arch)
    .update(await debianBase());
  for (const path of globSync(INPUTS, { cwd: ROOT }).toSorted()) {
    const file = join(ROOT, path);
    if (statSync(file).isFile()) key.update(`\0${path}\0`).update(readFileSync(file));
  }
  const cache = await ownCacheDirectory();
  const archive = join(cache, `${PREFIX}${key.digest('hex').slice(0, 32)}.tar`);
  if (existsSync(archive)) return archive;
  const work = await mkdtemp(join(cache, 'work-'));
  const engine = await PrivateEngine.start();
  try {
    const image = await WorkerImage.build(engine, join(work, 'home'));
    await image.docker(['save', '--output', join(work, 'image.tar'), WORKER_IMAGE]);
    // Each has hundreds of megabytes: only the newest is kept.
    const others = (await readdir(cache)).filter((name) => name.startsWith(PREFIX));
    for (const name of others) await rm(join(cache, name), { force: true });
    await rename(join(work, 'image.tar'), archive);
    return archive;
  } finally {
    await engine.stop();
    await rm(work, { recursive: true, force: true });
  }
}
