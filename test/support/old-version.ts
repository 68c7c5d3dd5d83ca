/**
 * Older versions of this software, built from the history of its own repository, to run beside the present one. Where the
 * history does not reach so far (a published archive, a shallow clone) there are none, and the tests that want them say so.
 */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ownCacheDirectory } from './debian-base.ts';
import { runProgram, tryProgram } from './programs.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD_BOUND_MS = 180_000;

export interface Milestone {
  name: string;
  /** The whole id: a short one may become ambiguous. */
  commit: string;
}

/** The last commit before each step that could have changed what workers tell each other. */
export const MILESTONES = [
  // Neither signatures, nor secrets, nor networks of tasks.
  { name: 'before-sandbox', commit: '516977f294e9b29b4b579f1ed7b3d3a93bca0704' },
  { name: 'before-signing', commit: 'acdb21f21ca3705faf8eaf266d6d169184e31d03' },
  // The last one that does not tell which fields of task files it knows.
  { name: 'before-fleets', commit: 'f725448ea6db61820c24f98d07f3419633e772ab' },
] as const satisfies readonly Milestone[];

export type MilestoneName = (typeof MILESTONES)[number]['name'];

export interface OldVersion {
  name: string;
  root: string;
  /** `dgrid-worker start`. */
  worker: readonly string[];
  /** The worker with the stub engine of its time. */
  stubWorker: readonly string[];
  /** `dgrid`, without a command. */
  client: readonly string[];
}

/** Why there is no such version here; null: there is. */
export async function whyNoHistory(milestones: readonly Milestone[] = MILESTONES): Promise<string | null> {
  for (const { commit, name } of milestones) {
    const { code } = await tryProgram('git', ['-C', ROOT, 'cat-file', '-e', `${commit}^{commit}`]);
    if (code !== 0) return `the history here does not reach back to ${name} (${commit.slice(0, 10)})`;
  }
  return null;
}

/** Built once for a checkout. @throws Error when it is not in the history, or cannot be built */
export async function oldVersion(wanted: MilestoneName): Promise<OldVersion> {
  const milestone = MILESTONES.find(({ name }) => name === wanted);
  if (!milestone) throw new RangeError(`no such milestone: ${wanted}`);
  // Node.js runs no sources below a node_modules. Another checkout has other modules to link to.
  const place = createHash('sha256').update(`${ROOT}\0${milestone.commit}`).digest('hex').slice(0, 16);
  const root = join(await ownCacheDirectory(), `old-version-${place}`);
  if (!existsSync(root)) await build(milestone, root);
  return {
    name: wanted,
    root,
    worker: [join(root, 'bin/dgrid-worker'), 'start'],
    stubWorker: [process.execPath, join(root, 'test/support/stub-worker.ts')],
    client: [join(root, 'bin/dgrid')],
  };
}

async function build({ commit }: Milestone, root: string): Promise<void> {
  const work = await mkdtemp(join(dirname(root), 'work-'));
  try {
    const archive = join(work, 'source.tar');
    const source = join(work, 'source');
    await mkdir(source);
    await runProgram('git', ['-C', ROOT, 'archive', '--format=tar', `--output=${archive}`, commit]);
    await runProgram('tar', ['--extract', `--file=${archive}`, `--directory=${source}`]);
    // What it needs has stayed compatible since; a build that fails would tell.
    await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'));
    await runProgram(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
      cwd: source,
      boundMs: BUILD_BOUND_MS,
    });
    // Whole or not at all. Another test may have been quicker.
    await rename(source, root).catch((error: unknown) => {
      if (!existsSync(root)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
