/**
 * The image of last resort: where the default image can't be pulled (no registry, no network), a shell and its tools are
 * packed from a statically linked busybox on this machine. It must be static, since the image has no libraries.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { buildTar, type TarEntry } from './tar.ts';

/** The default of DOCKER_IMAGE, and the only image that may be replaced by one built here. */
export const BUILTIN_DEFAULT_IMAGE = 'busybox:stable';
export const BUILT_IMAGE = 'dgrid-busybox:local';

export const BUILT_IMAGE_CHANGES = ['ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'CMD ["/bin/sh"]'];

const CANDIDATES = [
  '/bin/busybox',
  '/usr/bin/busybox',
  '/bin/busybox.static',
  '/usr/local/bin/busybox',
  '/usr/lib/initramfs-tools/bin/busybox',
];
const LIST_TIMEOUT_MS = 5_000;
const MAX_BUSYBOX_BYTES = 32 * 1024 * 1024;
const MAX_APPLETS = 1_000;

/** ELF machine numbers by the engine's names of architectures. */
const MACHINE_BY_ARCHITECTURE: Readonly<Record<string, number>> = {
  amd64: 62,
  '386': 3,
  arm64: 183,
  arm: 40,
  ppc64le: 21,
  s390x: 22,
  riscv64: 243,
};

export interface Busybox {
  path: string;
  binary: Uint8Array;
  applets: string[];
}

/**
 * @param architecture the engine's, which may be another machine's
 * @returns null when this machine has no static busybox for it
 */
export async function findBusybox(
  architecture: string,
  candidates: readonly string[] = CANDIDATES,
): Promise<Busybox | null> {
  for (const path of candidates) {
    const binary = await readFile(path).catch(() => null);
    if (binary === null || binary.length > MAX_BUSYBOX_BYTES) continue;
    if (!isStaticExecutable(binary, MACHINE_BY_ARCHITECTURE[architecture] ?? null)) continue;
    const applets = await listApplets(path);
    if (applets !== null) return { path, binary, applets };
  }
  return null;
}

async function listApplets(path: string): Promise<string[] | null> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--list'], { timeout: LIST_TIMEOUT_MS, env: {} });
    const names = stdout.split('\n').filter((name) => /^[a-z0-9[][a-z0-9._[-]*$/i.test(name) && name !== 'busybox');
    return names.includes('sh') ? names.slice(0, MAX_APPLETS) : null;
  } catch {
    return null; // not a busybox, or built for another machine: the next candidate may do
  }
}

const PROGRAM_INTERPRETER = 3;
const EXECUTABLE_TYPES = [2, 3];

/** An ELF program for `machine` (null: any) that asks for no dynamic loader. */
export function isStaticExecutable(binary: Uint8Array, machine: number | null): boolean {
  const view = new DataView(binary.buffer, binary.byteOffset, binary.byteLength);
  if (binary.length < 64 || view.getUint32(0) !== 0x7f454c46) return false;
  const wide = binary[4] === 2;
  const little = binary[5] === 1;
  if (!EXECUTABLE_TYPES.includes(view.getUint16(16, little))) return false;
  if (machine !== null && view.getUint16(18, little) !== machine) return false;
  const tableAt = wide ? Number(view.getBigUint64(32, little)) : view.getUint32(28, little);
  const entryBytes = view.getUint16(wide ? 54 : 42, little);
  const entries = view.getUint16(wide ? 56 : 44, little);
  for (let index = 0; index < entries; index += 1) {
    const at = tableAt + index * entryBytes;
    if (at + 4 > binary.length) return false;
    if (view.getUint32(at, little) === PROGRAM_INTERPRETER) return false;
  }
  return entries > 0;
}

/** The root file system, as an archive to import. */
export function busyboxRootTar(busybox: Pick<Busybox, 'binary' | 'applets'>): Buffer {
  const text = (path: string, content: string): TarEntry => ({
    kind: 'file',
    path,
    mode: 0o644,
    content: Buffer.from(content),
  });
  return buildTar([
    { kind: 'directory', path: 'bin/', mode: 0o755 },
    { kind: 'directory', path: 'etc/', mode: 0o755 },
    { kind: 'directory', path: 'usr/', mode: 0o755 },
    { kind: 'directory', path: 'tmp/', mode: 0o1777 },
    text('etc/passwd', 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n'),
    text('etc/group', 'root:x:0:\nnogroup:x:65534:\n'),
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: busybox.binary },
    ...busybox.applets.map((name): TarEntry => ({ kind: 'symlink', path: `bin/${name}`, target: 'busybox' })),
    // Scripts commonly begin with `#!/usr/bin/env`.
    { kind: 'symlink', path: 'usr/bin', target: '../bin' },
  ]);
}
