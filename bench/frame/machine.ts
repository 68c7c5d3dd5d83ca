/** What the figures were measured on. Nothing in here names the machine itself. */
import { statfs } from 'node:fs/promises';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { tryProgram } from '../../test/support/programs.ts';

export interface Machine {
  processor: string;
  cores: number;
  memoryGib: number;
  /** Name and version of the kernel. */
  system: string;
  node: string;
  git: string;
  /** null where there is none. */
  docker: string | null;
  /** The file system that everything lay on: the server's repository, clones, state directories. TMPDIR chooses it. */
  files: string;
  /** Of this repository; with a mark when something was changed since. */
  commit: string;
  /** Mean number of running processes over the minute before: above the number of cores the figures are noise. */
  load: number;
}

const GIB = 1024 ** 3;

export async function readMachine(root: string): Promise<Machine> {
  const said = async (command: string, ...args: string[]): Promise<string | null> => {
    const { code, stdout } = await tryProgram(command, args, { cwd: root });
    return code === 0 ? stdout.trim() : null;
  };
  const [first] = cpus();
  const [load = 0] = loadavg();
  const commit = (await said('git', 'rev-parse', '--short', 'HEAD')) ?? 'unknown';
  const changes = await said('git', 'status', '--porcelain', '--untracked-files=no');
  return {
    processor: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / GIB),
    system: `${process.platform} ${/^[\d.]+/.exec(release())?.[0] ?? release()}`,
    node: process.version,
    git: ((await said('git', '--version')) ?? 'none').replace('git version ', ''),
    docker: await said('docker', 'version', '--format', '{{.Client.Version}}').then(
      async (answer) =>
        answer ?? (await said('docker', '--version'))?.replace(/^Docker version ([^,]+).*$/, '$1') ?? null,
    ),
    files: await fileSystemOf(tmpdir()),
    commit: changes ? `${commit}, changed` : commit,
    load: Math.round(load * 100) / 100,
  };
}

/** The kernel's numbers for the usual ones. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0x01021994: 'memory (tmpfs)',
  0xef53: 'ext4',
  0x9123683e: 'btrfs',
  0x58465342: 'xfs',
};

async function fileSystemOf(path: string): Promise<string> {
  const { type } = await statfs(path);
  return FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`;
}
