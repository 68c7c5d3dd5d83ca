/**
 * What must be true of the clone's files before git is let near them. Git believes what it finds: a configuration that
 * names programs, a directory that stands somewhere else, a pipe that is never written to.
 *
 * The configuration is always the same few bytes, which are ours: anything else in it is damage, whatever it says. So no
 * list of dangerous settings has to be kept, and the bytes are a second mark of whose directory it is, beside the marker.
 */

import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectFormat } from './oid.ts';

/** Deeper than any ref we know of. */
const MAX_DEPTH = 32;
const MAX_CONFIG_BYTES = 4_096;

const DIRECTORIES = ['objects', 'refs'] as const;
const FILES = ['HEAD', 'packed-refs', 'shallow'] as const;
/** Each makes git take settings, objects or history from where we did not put them. */
const FORBIDDEN = [
  'commondir',
  'config.worktree',
  'info/grafts',
  'objects/info/alternates',
  'objects/info/http-alternates',
  'refs/replace',
] as const;

/** The whole configuration of a clone. */
export function cloneConfig(format: ObjectFormat): string {
  const lines = ['# Made by D-GRID: a cache of what the remote has. It may be deleted at any time.', '[core]'];
  lines.push(`\trepositoryformatversion = ${format === 'sha1' ? 0 : 1}`, '\tfilemode = true', '\tbare = true');
  if (format !== 'sha1') lines.push('[extensions]', `\tobjectformat = ${format}`);
  return `${lines.join('\n')}\n`;
}

/** Cheap enough to be asked before every command: a few looks at names. @returns what is wrong, or null. */
export async function frameProblem(clone: string, format: ObjectFormat): Promise<string | null> {
  const problems = await Promise.all([
    configProblem(clone, format),
    ...DIRECTORIES.map(async (name) =>
      (await kindOf(join(clone, name))) === 'directory' ? null : `${name} is not a directory`,
    ),
    ...FILES.map(async (name) => {
      const kind = await kindOf(join(clone, name));
      if (kind === 'absent' && name !== 'HEAD') return null;
      return kind === 'file' ? null : `${name} is not a file`;
    }),
    ...FORBIDDEN.map(async (name) => ((await kindOf(join(clone, name))) === 'absent' ? null : `it has ${name}`)),
  ]);
  return problems.find((problem) => problem !== null) ?? null;
}

/** Whether the configuration is one that only we write. */
export async function hasOurConfig(clone: string): Promise<boolean> {
  const text = await readPlainFile(join(clone, 'config'), MAX_CONFIG_BYTES).catch(() => null);
  return text === cloneConfig('sha1') || text === cloneConfig('sha256');
}

/**
 * Goes through everything. @returns the first thing that is neither a file nor a directory: reading it could take for
 * ever, or lead out of the clone. null when there is none.
 */
export async function oddEntry(directory: string, depth = 0): Promise<string | null> {
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      const odd = depth < MAX_DEPTH ? await oddEntry(path, depth + 1) : null;
      if (odd !== null) return odd;
    } else if (!entry.isFile()) return path;
  }
  return null;
}

/**
 * A file that may be anything: a pipe is not waited for, a link not followed.
 * @returns null when it is no plain file, or too long. @throws the file system's error
 */
export async function readPlainFile(path: string, maxBytes: number): Promise<string | null> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    return found.isFile() && found.size <= maxBytes ? await file.readFile('utf8') : null;
  } finally {
    await file.close();
  }
}

async function configProblem(clone: string, format: ObjectFormat): Promise<string | null> {
  let text: string | null;
  try {
    text = await readPlainFile(join(clone, 'config'), MAX_CONFIG_BYTES);
  } catch (error) {
    if (isOfTheMachine(error)) throw error;
    text = null;
  }
  return text === cloneConfig(format) ? null : 'its configuration is not the one that it was made with';
}

async function kindOf(path: string): Promise<'absent' | 'file' | 'directory' | 'odd'> {
  try {
    const found = await lstat(path);
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'odd';
  } catch (error) {
    if (isOfTheMachine(error)) throw error;
    return 'absent';
  }
}

/** Not a matter of this clone: a new one would fare no better. */
function isOfTheMachine(error: unknown): boolean {
  const { code = '' } = error as NodeJS.ErrnoException;
  return ['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES', 'EPERM', 'EIO'].includes(code);
}
