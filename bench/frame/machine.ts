/** What the figures were measured on. Nothing in here names the machine itself. */
import { cpus, loadavg, release, totalmem } from 'node:os';
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
    system: `${process.platform} ${release()}`,
    node: process.version,
    git: ((await said('git', '--version')) ?? 'none').replace('git version ', ''),
    docker: await said('docker', 'version', '--format', '{{.Client.Version}}').then(
      async (answer) =>
        answer ?? (await said('docker', '--version'))?.replace(/^Docker version ([^,]+).*$/, '$1') ?? null,
    ),
    commit: changes ? `${commit}, changed` : commit,
    load: Math.round(load * 100) / 100,
  };
}
