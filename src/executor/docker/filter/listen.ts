/**
 * Listens on a Unix socket that exactly one group may use. A socket file that an earlier life left is replaced; one that
 * somebody listens on is not.
 */
import { once } from 'node:events';
import { chmod, chown, lstat, readFile, stat, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';

const GROUP_MODE = 0o660;
const PRIVATE_MASK = 0o177;
const GROUP_FILE = '/etc/group';

/** Something that only whoever starts the filter can mend. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/**
 * @param group name or number; null: the process's own group
 * @throws ListenError; the system's error when the place cannot be listened on
 */
export async function listenOn(server: Server, path: string, group: string | null): Promise<void> {
  const gid = group === null ? null : await groupId(group);
  const directory = await stat(dirname(path)).catch(() => null);
  if (!directory?.isDirectory())
    throw new ListenError(`${dirname(path)} is no directory that this user can see: make it`);
  await removeStale(path);
  // Nobody else may connect before the group is set.
  const mask = process.umask(PRIVATE_MASK);
  try {
    server.listen({ path });
    await once(server, 'listening');
  } finally {
    process.umask(mask);
  }
  // A connection that could not be accepted, for want of descriptors say, is no reason to end.
  server.on('error', () => {});
  if (gid !== null) await chown(path, -1, gid);
  await chmod(path, GROUP_MODE);
}

async function groupId(group: string): Promise<number> {
  if (/^[0-9]{1,9}$/.test(group)) return Number(group);
  const lines = (await readFile(GROUP_FILE, 'utf8')).split('\n').map((line) => line.split(':'));
  const found = lines.find(([name]) => name === group)?.[2];
  if (found === undefined || !/^[0-9]+$/.test(found)) {
    throw new ListenError(`there is no group ${JSON.stringify(group)} in ${GROUP_FILE}: make it, or give its number`);
  }
  return Number(found);
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return;
  if (!found.isSocket()) throw new ListenError(`${path} is there and is no socket: remove it, or name another place`);
  if (await answers(path)) throw new ListenError(`somebody listens on ${path} already: stop that first`);
  await unlink(path);
}

async function answers(path: string): Promise<boolean> {
  const socket = createConnection(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    // Nobody there. Any other error says that there is somebody whom we may not reach.
    return (error as NodeJS.ErrnoException).code !== 'ECONNREFUSED';
  } finally {
    socket.destroy();
  }
}
