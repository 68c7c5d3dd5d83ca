/**
 * A bundle for a bug report: one archive of what a maintainer asks for first, with secrets masked and, unless the operator
 * says otherwise, names replaced. It is made also when nothing else works: what cannot be had says why.
 */
import { open, rm } from 'node:fs/promises';
import { hostname, userInfo } from 'node:os';
import { gzipSync } from 'node:zlib';
import type { SettingInForce } from '../config/describe.ts';
import type { Environment } from '../config/machine.ts';
import type { OptionName } from '../config/options.ts';
import { buildTar } from '../executor/docker/tar.ts';
import { DeadlineError, withinDeadline } from '../host/deadline.ts';
import type { Clock } from '../runtime.ts';
import type { BundlePart } from './bundle-parts.ts';
import { secretsOf } from './bundle-secrets.ts';
import { messageOf } from './check.ts';
import { Pseudonyms } from './pseudonyms.ts';
import { Seal } from './seal.ts';

const PART_MS = 60_000;
const FILE_MODE = 0o600;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const DIRECTORY = 'dgrid-bundle';

export interface BundleOptions {
  /** Of the settings, as far as they could be read. */
  values: Readonly<Partial<Record<OptionName, unknown>>>;
  settings: readonly SettingInForce[];
  problems: readonly { name: string; message: string }[];
  parts: readonly BundlePart[];
  env: Environment;
  homeDir: string | null;
  keepNames: boolean;
  version: string;
  clock: Clock;
}

export interface ManifestEntry {
  file: string;
  about: string;
  bytes: number;
  /** Places where a known secret, or what looks like one, was masked. */
  secrets_masked: number;
  names_replaced: number;
  /** Why it is not there, or not whole; null when it is. */
  problem: string | null;
}

export interface Bundle {
  /** The archive: tar, gzip. */
  bytes: Buffer;
  entries: ManifestEntry[];
  /** What stands for what; nothing of it is in the archive. */
  names: { pseudonym: string; name: string }[];
}

/** Never throws for what it looks at. */
export async function makeBundle(options: BundleOptions): Promise<Bundle> {
  const { clock, version, keepNames } = options;
  const names = keepNames ? null : new Pseudonyms();
  if (names) learnNames(names, options);
  const seal = new Seal(await secretsOf(options.values, options.env), names);
  const own: BundlePart = {
    file: 'settings.json',
    about: 'the settings in force, as "dgrid-worker config --json" has them; secrets are masked there already',
    read: async () => ({ settings: options.settings, problems: options.problems }),
  };
  const read = await Promise.all([own, ...options.parts].map((part) => readPart(part, clock)));
  // Once to learn what is called how, so that a name which shows for what it is in one place is known in all others.
  for (const { found } of read) if (found !== null) sealed(seal, found);
  seal.takeCounts();
  const files: { path: string; content: Buffer }[] = [];
  const entries: ManifestEntry[] = [];
  for (const { part, found, problem } of read) {
    const content = found === null ? null : sealed(seal, found);
    const counts = seal.takeCounts();
    const shown = problem === null ? null : seal.text(problem);
    seal.takeCounts();
    if (content !== null) files.push({ path: part.file, content });
    entries.push({
      file: part.file,
      about: part.about,
      bytes: content?.length ?? 0,
      secrets_masked: counts.secrets,
      names_replaced: counts.names,
      problem: shown,
    });
  }
  const manifest = {
    made_by: `dgrid-worker ${version}`,
    made_at: new Date(clock.wallMs()).toISOString(),
    names: keepNames ? 'kept' : 'replaced: the same name always has the same replacement within this bundle',
    files: entries,
  };
  files.unshift({ path: 'manifest.json', content: Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`) });
  const tar = buildTar([
    { kind: 'directory', path: `${DIRECTORY}/`, mode: 0o700 },
    ...files.map(
      ({ path, content }) => ({ kind: 'file', path: `${DIRECTORY}/${path}`, mode: FILE_MODE, content }) as const,
    ),
  ]);
  return { bytes: gzipSync(tar), entries, names: names?.list() ?? [] };
}

interface ReadPart {
  part: BundlePart;
  found: unknown;
  problem: string | null;
}

async function readPart(part: BundlePart, clock: Clock): Promise<ReadPart> {
  try {
    const found = await withinDeadline(clock, PART_MS, part.file, part.read);
    if (found !== null && found !== undefined) return { part, found, problem: null };
    return { part, found: null, problem: 'there is none here' };
  } catch (error) {
    const problem = error instanceof DeadlineError ? `not read within ${PART_MS / 1000} s` : messageOf(error);
    return { part, found: null, problem };
  }
}

function sealed(seal: Seal, found: unknown): Buffer {
  const text = typeof found === 'string' ? `${seal.lines(found)}\n` : `${JSON.stringify(seal.json(found), null, 2)}\n`;
  const bytes = Buffer.from(text);
  return bytes.length <= MAX_FILE_BYTES ? bytes : bytes.subarray(bytes.length - MAX_FILE_BYTES);
}

/** Of whom and what there is to tell: settings and this machine say. */
function learnNames(names: Pseudonyms, { values, env, homeDir }: BundleOptions): void {
  const text = (name: OptionName): string => (typeof values[name] === 'string' ? values[name] : '');
  const address = text('DGRID_REPO_URL');
  const url = URL.parse(address);
  const scp = /^(?:[^@/]*@)?([^:/]+):(.*)$/.exec(address);
  const [host, path] = url?.hostname ? [url.hostname, url.pathname] : [scp?.[1] ?? '', scp?.[2] ?? address];
  names.learn('grid', text('GRID_NAME'));
  names.learn('host', host);
  const bare = path.replace(/^\/+/, '').replace(/\/+$/, '');
  for (const form of [path, bare, bare.replace(/\.git$/, '')]) names.learn('repository', form);
  if (homeDir !== null && homeDir !== '/') names.learn('home', homeDir);
  names.learn('node', text('NODE_ID'));
  names.learn('node', text('NODE_NAME'));
  names.learn('person', text('GIT_USER_NAME') === 'D-GRID Worker' ? '' : text('GIT_USER_NAME'));
  names.learn('mail', text('GIT_USER_EMAIL'));
  names.learn('host', hostname());
  names.learn('host', hostname().split('.', 1)[0]);
  for (const each of [text('DOCKER_HOST'), ...Object.values(env)]) {
    const found = each?.includes('://') ? URL.parse(each)?.hostname : undefined;
    if (found && !/^\d+(?:\.\d+)*$/.test(found)) names.learn('host', found);
  }
  const allowed = values.ALLOWED_IMAGES;
  for (const image of [text('DOCKER_IMAGE'), ...(Array.isArray(allowed) ? allowed : [])]) {
    const [registry = '', ...rest] = String(image).split('/');
    if (rest.length > 0 && /[.:]/.test(registry)) names.learn('host', registry.replace(/:\d+$/, ''));
  }
  const user = userName();
  if (user !== 'root') names.learn('user', user);
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // Nobody has that id, as in a container.
    return '';
  }
}

/** For this user alone, and never in the place of another file. @throws the file system's error; EEXIST */
export async function saveBundle(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}
