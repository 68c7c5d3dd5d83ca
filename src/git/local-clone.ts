/**
 * The local clone: a bare cache of the remote's objects, never checked out. It holds nothing that cannot be fetched again,
 * so every sort of damage has one remedy, `create`.
 *
 * States: closed → open. `open` takes up what is there, or makes it anew; `create` makes it anew whatever is there.
 * Invariants:
 * - Every git command names its repository (GIT_DIR), so that a damaged clone never makes git look for another one above.
 * - No git command runs before the frame of the clone was looked at (clone-frame.ts): nothing that somebody wrote into the
 *   directory is run, and nothing else is taken for the clone.
 * - Refs of the remote are mirrored below `refs/remote/`, where they keep their objects alive and nothing else.
 * - One command at a time fetches; reading and writing objects may overlap with it. Throwing away (`create`, `upkeep`) is
 *   alone.
 */
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { type DurableStep, durably } from '../steps.ts';
import { tellsOfDamage } from './classify.ts';
import {
  type CloneIdentity,
  clearDirectory,
  directoryBytes,
  inspectDirectory,
  removeLeftovers,
  writeMarker,
} from './clone-directory.ts';
import { cloneConfig, frameProblem, oddEntry } from './clone-frame.ts';
import { GitError } from './errors.ts';
import { exitError, type GitCommand, GitExit, type GitOutput } from './git-command.ts';
import type { CommandEnvironment, ConfigEntry } from './git-environment.ts';
import { DamagedObjectError, parseObjectBatch } from './object-batch.ts';
import type { GitObject } from './objects.ts';
import { isOid, type ObjectFormat, type Oid, type RefName, refName } from './oid.ts';
import { writePack } from './pack.ts';
import { SharedLock } from './shared-lock.ts';

export const MIRROR = 'refs/remote/';
/** Above this, new objects are kept as one pack instead of one file each. */
const MAX_LOOSE_OBJECTS = 100;
/** Objects that nothing refers to are kept for so long: they may be about to be sent. */
const UNREACHABLE_GRACE = '1.hour.ago';

/** Where a ref of the remote is mirrored. */
export function mirrorOf(ref: string): string {
  return `${MIRROR}${ref.replace(/^refs\//, '')}`;
}

export interface CloneCommand {
  input?: Buffer;
  environment?: CommandEnvironment;
  config?: readonly ConfigEntry[];
  signal?: AbortSignal | undefined;
  anyExit?: boolean;
}

export interface LocalCloneOptions {
  path: string;
  command: GitCommand;
  clock: Clock;
  emit: Emit;
  deadlineMs: number;
}

export class LocalClone {
  readonly path: string;
  readonly #command: GitCommand;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #deadlineMs: number;
  readonly #lock = new SharedLock();
  readonly #fetching = new SharedLock();
  #identity: CloneIdentity | null = null;
  /** What the frame is expected to be for as long as there is no identity. */
  #opening: ObjectFormat = 'sha1';
  #complete = false;
  /** A command was killed: it may have left its locks behind. */
  #leftovers = false;

  constructor(options: LocalCloneOptions) {
    this.path = options.path;
    this.#command = options.command;
    this.#clock = options.clock;
    this.#emit = options.emit;
    this.#deadlineMs = options.deadlineMs;
  }

  /** null while closed. */
  get identity(): CloneIdentity | null {
    return this.#identity;
  }

  /** The format of a clone that an earlier process left for this remote; null when there is none to be trusted. */
  async knownFormat(url: string): Promise<ObjectFormat | null> {
    const state = await inspectDirectory(this.path);
    return state.kind === 'ours' && state.marker?.url === url ? state.marker.format : null;
  }

  /**
   * Takes up the clone in the directory if it was made for this, and makes one if not. A damaged one is replaced.
   * @throws GitError (`local-io` also when the directory holds something that is not ours)
   */
  async open(identity: CloneIdentity, signal?: AbortSignal): Promise<void> {
    await this.#lock.exclusive(async () => {
      const state = await inspectDirectory(this.path);
      if (state.kind === 'ours') {
        const marker = state.marker;
        const reason = marker === null ? 'its marker cannot be read' : await this.#wholeDamage(marker.format, signal);
        const fits =
          marker?.url === identity.url && marker.format === identity.format && marker.shallow === identity.shallow;
        if (reason === null && fits) {
          await removeLeftovers(this.path);
          this.#identity = identity;
          this.#complete = marker.complete;
          return;
        }
        if (reason !== null) this.#emit('clone.damaged', { path: this.path, reason });
      }
      await this.#create(identity, signal);
    });
  }

  /** Throws the clone away and makes an empty one. @throws GitError */
  async create(identity: CloneIdentity, reason: string | null, signal?: AbortSignal): Promise<void> {
    if (reason === null) this.#emit('clone.renewed', { path: this.path });
    else this.#emit('clone.damaged', { path: this.path, reason });
    await this.#lock.exclusive(() => this.#create(identity, signal));
  }

  /** Forgets that it is open; the next `open` looks at the directory again. */
  close(): void {
    this.#identity = null;
  }

  /** Runs a git command on the clone. @throws GitError */
  async run(args: readonly string[], options: CloneCommand = {}): Promise<GitOutput> {
    if (this.#leftovers) await this.#lock.exclusive(() => this.#clearLeftovers());
    return this.#lock.shared(() => this.#run(args, options));
  }

  /**
   * Fetches by refspecs into the mirror. The first fetch of a clone is announced.
   * @throws GitError
   */
  async fetch(
    url: string,
    refspecs: readonly string[],
    environment: CommandEnvironment,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#fetching.exclusive(() =>
      this.telling(url, async () => {
        const shallow = this.#identity?.shallow === true;
        const args = [
          'fetch',
          '--no-tags',
          '--no-write-fetch-head',
          '--no-auto-gc',
          '--no-show-forced-updates',
          '--prune',
          ...(shallow ? ['--depth=1'] : []),
        ];
        const input = Buffer.from(refspecs.map((spec) => `${spec}\n`).join(''));
        const output = await this.#step('clone.fetch', () =>
          this.run([...args, '--stdin', '--', url], { input, environment, signal, anyExit: true }),
        );
        // A shallow fetch whose patterns match nothing ends with 1 and not a word. Every real failure has a text.
        const nothing = output.exitCode === 1 && output.stderr === '' && shallow;
        if (output.exitCode !== 0 && !nothing) throw exitError('fetch', output);
      }),
    );
  }

  /**
   * Keeps a pack that came another way, as if it had been fetched: it holds what these refs of the remote do, without the
   * parents of their commits, and without files where `partial` says so. What it builds on must be here.
   * @throws GitError
   */
  async keep(
    pack: Buffer,
    refs: ReadonlyMap<RefName, Oid>,
    options: { partial: boolean; signal?: AbortSignal | undefined },
  ): Promise<void> {
    const { partial, signal } = options;
    await this.#fetching.exclusive(() =>
      this.#step('clone.keep', async () => {
        const args = ['index-pack', '--stdin', '--fix-thin', ...(partial ? ['--promisor'] : [])];
        await this.run(args, { input: pack, signal });
        const shallow = join(this.path, 'shallow');
        const before = await this.#looking(() => readFile(shallow, 'latin1').catch(noneYet));
        const tips = new Set([...before.split('\n').filter(isOid), ...refs.values()]);
        await this.#looking(async () => {
          // A name that is swept away with git's own locks after a crash.
          await writeFile(`${shallow}.lock`, [...tips].map((oid) => `${oid}\n`).join(''));
          await rename(`${shallow}.lock`, shallow);
        });
        const lines = [...refs].map(([ref, oid]) => `update ${mirrorOf(ref)} ${oid}\n`);
        await this.run(['update-ref', '--stdin'], { input: Buffer.from(lines.join('')), signal });
      }),
    );
  }

  /** Whether something was kept that lacks its files. @throws GitError */
  async isPartial(): Promise<boolean> {
    const names = await this.#looking(() => readdir(join(this.path, 'objects', 'pack')).catch(() => []));
    return names.some((name) => name.endsWith('.promisor'));
  }

  /** The first fetch of a clone is told when it begins, and when it is over. @throws what `fetch` throws; GitError */
  async telling(url: string, fetch: () => Promise<void>): Promise<void> {
    const identity = this.#identity;
    const first = !this.#complete;
    const startedMs = this.#clock.monotonicMs();
    if (first) this.#emit('clone.started', { url, path: this.path });
    await fetch();
    if (!first || !identity) return;
    await this.#step('clone.complete', () => writeMarker(this.path, identity, true));
    this.#complete = true;
    this.#emit(identity.shallow ? 'clone.completed' : 'clone.full-completed', {
      url,
      path: this.path,
      bytes: await directoryBytes(this.path),
      ms: Math.round(this.#clock.monotonicMs() - startedMs),
    });
  }

  /** Ids that are not there are absent from the answer. @throws GitError (`corrupt-local` for what cannot be trusted) */
  async readObjects(oids: readonly Oid[], signal?: AbortSignal): Promise<Map<Oid, GitObject>> {
    const format = this.#identity?.format ?? 'sha1';
    const wanted = [...new Set(oids)];
    const found = new Map<Oid, GitObject>();
    if (wanted.length === 0) return found;
    let output: GitOutput;
    try {
      const input = Buffer.from(`${wanted.join('\n')}\n`);
      output = await this.run(['cat-file', '--batch', '--buffer'], { input, signal });
    } catch (error) {
      if (wanted.length === 1 || !(error instanceof GitError) || !isTooLarge(error)) throw error;
      const middle = wanted.length >> 1;
      const halves = [wanted.slice(0, middle), wanted.slice(middle)];
      for (const half of halves) for (const [id, object] of await this.readObjects(half, signal)) found.set(id, object);
      return found;
    }
    try {
      const { objects, missing } = parseObjectBatch(output.stdout, format);
      if (missing.length > 0 && tellsOfDamage(output.stderr)) {
        throw new DamagedObjectError(output.stderr.trim().slice(0, 500));
      }
      return objects;
    } catch (cause) {
      if (!(cause instanceof DamagedObjectError)) throw cause;
      throw new GitError('corrupt-local', 'cat-file', `the local clone is damaged: ${cause.message}`, { cause });
    }
  }

  /** Sizes in bytes, without reading the contents. Ids that are not there are absent. @throws GitError */
  async readSizes(oids: readonly Oid[], signal?: AbortSignal): Promise<Map<Oid, number>> {
    const sizes = new Map<Oid, number>();
    if (oids.length === 0) return sizes;
    const input = Buffer.from(`${[...new Set(oids)].join('\n')}\n`);
    const output = await this.run(['cat-file', '--batch-check=%(objectname) %(objectsize)', '--buffer'], {
      input,
      signal,
    });
    for (const line of output.stdout.toString('latin1').split('\n')) {
      const [id = '', size = ''] = line.split(' ');
      if (isOid(id) && /^\d+$/.test(size)) sizes.set(id, Number(size));
    }
    return sizes;
  }

  /**
   * Of what refs hold, what is larger than that, itself or the tree that it names: by id, and with what. Reads no contents.
   * @throws GitError
   */
  async readOversized(oids: readonly Oid[], maxBytes: number, signal?: AbortSignal): Promise<Map<Oid, string>> {
    const oversized = new Map<Oid, string>();
    if (oids.length === 0) return oversized;
    const input = Buffer.from(oids.map((oid) => `${oid}\n${oid}^{tree}\n`).join(''));
    const { stdout } = await this.run(['cat-file', '--batch-check=%(objectsize)', '--buffer'], { input, signal });
    // A line for each line; a word in the place of the size where there is no such thing.
    const bytes = stdout.toString('latin1').split('\n').map(Number);
    oids.forEach((oid, at) => {
      const most = Math.max(bytes[2 * at] || 0, bytes[2 * at + 1] || 0);
      if (most > maxBytes) oversized.set(oid, `it has ${most} bytes; at most ${maxBytes} are read`);
    });
    return oversized;
  }

  /** Objects that are there already are no error. @throws GitError */
  async writeObjects(objects: readonly GitObject[], signal?: AbortSignal): Promise<void> {
    const distinct = [...new Map(objects.map((object) => [object.oid, object])).values()];
    if (distinct.length === 0) return;
    const input = writePack(distinct, this.#identity?.format ?? 'sha1');
    const args = distinct.length > MAX_LOOSE_OBJECTS ? ['index-pack', '--stdin'] : ['unpack-objects'];
    await this.#step('clone.store', () => this.run(args, { input, signal }));
  }

  /** The mirrored refs, under the names that they have on the remote. @throws GitError */
  async mirrored(signal?: AbortSignal): Promise<Map<RefName, Oid>> {
    const args = ['for-each-ref', '--format=%(objectname) %(refname)', MIRROR];
    const { stdout, stderr } = await this.run(args, { signal });
    if (stderr.includes('broken ref')) throw new GitError('corrupt-local', 'for-each-ref', stderr.trim());
    const refs = new Map<RefName, Oid>();
    for (const line of stdout.toString('utf8').split('\n')) {
      const [id = '', name = ''] = line.split(' ');
      if (isOid(id) && name.startsWith(MIRROR)) refs.set(refName(`refs/${name.slice(MIRROR.length)}`), id);
    }
    return refs;
  }

  /** Drops refs from the mirror. @throws GitError */
  async forget(refs: Iterable<RefName>, signal?: AbortSignal): Promise<void> {
    const lines = [...refs].map((ref) => `delete ${mirrorOf(ref)}\n`);
    if (lines.length > 0) await this.run(['update-ref', '--stdin'], { input: Buffer.from(lines.join('')), signal });
  }

  /**
   * Whether all that the mirrored refs promise is there: their commits, and every tree and file of those commits.
   * @throws GitError (`corrupt-local` if not)
   */
  async check(signal?: AbortSignal): Promise<void> {
    const reason = await this.#lock.shared(() => this.#wholeDamage(this.#identity?.format ?? 'sha1', signal));
    if (reason !== null) throw damaged('check', reason);
    const tips = await this.mirrored(signal);
    if (tips.size === 0) return;
    const input = Buffer.from([...new Set(tips.values())].map((id) => `${id}\n`).join(''));
    const files = (await this.isPartial()) ? ['--filter=blob:none'] : [];
    const args = ['rev-list', '--objects', '--no-walk', '--quiet', ...files, '--stdin'];
    const output = await this.run(args, { input, signal, anyExit: true });
    if (output.exitCode !== 0 || tellsOfDamage(output.stderr)) {
      throw damaged('check', output.stderr.trim().slice(0, 500));
    }
  }

  /**
   * Keeps the clone small: drops what nothing refers to any more, and packs the rest. Nothing else runs meanwhile.
   * @throws GitError
   */
  async upkeep(signal?: AbortSignal): Promise<void> {
    await this.#lock.exclusive(async () => {
      await this.#clearLeftovers();
      // Told to this command alone, so that no reading of an object ever goes to the network.
      const config: ConfigEntry[] = (await this.isPartial()) ? [['remote.grid.promisor', 'true']] : [];
      await this.#run(['gc', '--quiet', `--prune=${UNREACHABLE_GRACE}`], { config, signal });
    });
  }

  async #run(args: readonly string[], options: CloneCommand): Promise<GitOutput> {
    const problem = await this.#looking(() => frameProblem(this.path, this.#identity?.format ?? this.#opening));
    if (problem !== null) throw damaged(args[0] ?? 'git', problem);
    return this.#runUnseen(args, options);
  }

  /** Without a look at the frame: for making it. */
  async #runUnseen(args: readonly string[], options: CloneCommand): Promise<GitOutput> {
    const given = options.environment;
    const environment: CommandEnvironment = {
      variables: { ...given?.variables, GIT_DIR: this.path },
      config: [...(given?.config ?? []), ...(options.config ?? [])],
      secrets: given?.secrets ?? [],
    };
    try {
      const output = await this.#command.run(args, {
        cwd: '/',
        environment,
        deadlineMs: this.#deadlineMs,
        signal: options.signal,
        ...(options.input ? { input: options.input } : {}),
        ...(options.anyExit ? { anyExit: true } : {}),
      });
      if (tellsOfKill(output.stderr)) this.#leftovers = true;
      return output;
    } catch (error) {
      if (error instanceof GitError && wasKilled(error)) this.#leftovers = true;
      throw error;
    }
  }

  async #clearLeftovers(): Promise<void> {
    if (!this.#leftovers) return;
    await removeLeftovers(this.path);
    // What the command waited for may have been a pipe in the place of a file.
    const odd = await oddEntry(this.path);
    if (odd !== null) throw damaged('check', `${odd} is neither a file nor a directory`);
    this.#leftovers = false;
  }

  /** Why the clone cannot be used, or null. Looks at its frame and at the names of its files, not at its objects. */
  async #wholeDamage(format: ObjectFormat, signal: AbortSignal | undefined): Promise<string | null> {
    const odd = await oddEntry(this.path);
    return odd === null ? this.#damage(format, signal) : `${odd} is neither a file nor a directory`;
  }

  async #damage(format: ObjectFormat, signal: AbortSignal | undefined): Promise<string | null> {
    this.#opening = format;
    try {
      const args = ['rev-parse', '--is-bare-repository', '--show-object-format'];
      const { stdout } = await this.#run(args, { signal });
      const [bare, found] = stdout.toString('utf8').trim().split('\n');
      if (bare !== 'true') return 'it is not bare';
      return found === format ? null : `its objects are ${found}, not ${format}`;
    } catch (error) {
      if (!(error instanceof GitError)) throw error;
      // Anything that git says of its own frame is damage, but for what has nothing to do with it.
      const elsewhere: readonly string[] = ['aborted', 'deadline', 'no-git', 'local-io'];
      if (elsewhere.includes(error.kind)) throw error;
      return error.message;
    }
  }

  /** @throws GitError (`local-io`) when looking itself fails. */
  async #looking<T>(look: () => Promise<T>): Promise<T> {
    try {
      return await look();
    } catch (cause) {
      const message = `the local clone ${this.path} cannot be used: ${(cause as Error).message}`;
      throw new GitError('local-io', 'clone', message, { cause });
    }
  }

  async #create(identity: CloneIdentity, signal: AbortSignal | undefined): Promise<void> {
    this.#identity = null;
    await this.#step('clone.clear', () => clearDirectory(this.path));
    await this.#step('clone.mark', () => writeMarker(this.path, identity, false));
    await this.#step('clone.init', () => this.#init(identity, signal));
    this.#leftovers = false;
    this.#complete = false;
    this.#identity = identity;
  }

  async #init({ format }: CloneIdentity, signal: AbortSignal | undefined): Promise<void> {
    await this.#runUnseen(['init', '--bare', '--quiet', '--template=', `--object-format=${format}`], { signal });
    await this.#looking(() => writeFile(join(this.path, 'config'), cloneConfig(format)));
  }

  #step<T>(step: DurableStep, action: () => Promise<T>): Promise<T> {
    return durably({ clock: this.#clock, emit: this.#emit }, step, {}, action);
  }
}

function noneYet(error: unknown): string {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
  throw error;
}

function damaged(operation: string, problem: string): GitError {
  return new GitError('corrupt-local', operation, `the local clone is damaged: ${problem}`);
}

/** By us, or by somebody else: a machine that runs out of memory, for instance. */
function wasKilled(error: GitError): boolean {
  if (error.kind === 'deadline' || error.kind === 'aborted') return true;
  const { cause } = error;
  return cause instanceof GitExit && (cause.exitCode === null || tellsOfKill(cause.stderr));
}

/** Of a process that git had started. */
function tellsOfKill(stderr: string): boolean {
  return /died of signal|(?:index-pack|unpack-objects) failed/.test(stderr);
}

function isTooLarge(error: GitError): boolean {
  return error.operation === 'cat-file' && error.message.includes('gave more output');
}
