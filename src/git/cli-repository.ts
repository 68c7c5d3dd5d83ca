/**
 * The repository over the git command line: works with every transport that git knows.
 *
 * Reads of the remote are harmless and are tried again in here. Swaps are not: whoever swaps must read before sending the
 * same swap again.
 */
import type { GitSettings } from '../config/settings.ts';
import type { Emit } from '../observe/events.ts';
import { withRetry } from '../retry.ts';
import type { Clock, RandomFraction } from '../runtime.ts';
import { readBranchLog } from './branch-log.ts';
import { BrokenRefs, explainBrokenListing, refsBlamed } from './broken-refs.ts';
import { parseFetchCapabilities, parsePushCapabilities, type RemoteCapabilities } from './capabilities.ts';
import type { CloneIdentity } from './clone-directory.ts';
import { CoolDown } from './cool-down.ts';
import { remoteAccess } from './credentials.ts';
import { GitError, RETRYABLE } from './errors.ts';
import { exitError, GitCommand } from './git-command.ts';
import type { CommandEnvironment } from './git-environment.ts';
import { HTTP_TRACE_VARIABLES } from './http-trace.ts';
import { LocalClone, MIRROR } from './local-clone.ts';
import type { GitObject } from './objects.ts';
import type { ObjectFormat, Oid, RefName } from './oid.ts';
import { parsePushReport } from './push-report.ts';
import { RefFetch } from './ref-fetch.ts';
import { isTraceLine, type ParsedListing, parseListing, parseTrace } from './ref-listing.ts';
import { parseRemoteAddress, type RemoteAddress } from './remote-address.ts';
import {
  type Blob,
  type ObjectFormatSource,
  type RefListing,
  type RefSwap,
  type Repository,
  type SwapVerdict,
} from './repository.ts';

/** Some 220,000 refs. */
const MAX_LISTING_BYTES = 16 * 1024 * 1024;
/** Well below what a command line may hold: a swap takes about 300 bytes of it. */
const MAX_SWAPS_PER_PUSH = 300;
/** The name under which a push knows the remote, so that git keeps the mirror up to date. */
const REMOTE = 'grid';

export interface CliRepositoryOptions {
  settings: GitSettings;
  /** The directory of the local clone. */
  path: string;
  clock: Clock;
  emit: Emit;
  random: RandomFraction;
  /** The program's own environment. */
  operatorEnv: NodeJS.ProcessEnv;
}

export class CliRepository implements Repository {
  readonly address: RemoteAddress;
  /** Itself: the same under the name by which other transports hold it. */
  readonly command = this;
  readonly #options: CliRepositoryOptions;
  readonly #command: GitCommand;
  readonly #clone: LocalClone;
  readonly #coolDown: CoolDown;
  readonly #refFetch: RefFetch;
  #versionChecked = false;
  #format: ObjectFormat | null = null;
  #opening: Promise<void> | null = null;
  /** Refs that the remote cannot read, as far as they were met. */
  readonly broken: BrokenRefs;
  /** Whether the remote's HEAD was seen in the last listing. As long as it is not, the packet trace is read too. */
  #headSeen = false;

  /** @throws RangeError when the address of the remote is none. */
  constructor(options: CliRepositoryOptions) {
    this.#options = options;
    this.address = parseRemoteAddress(options.settings.repoUrl);
    this.broken = new BrokenRefs(options.emit);
    this.#command = new GitCommand({ clock: options.clock, emit: options.emit, operatorEnv: options.operatorEnv });
    this.#clone = new LocalClone({
      path: options.path,
      command: this.#command,
      clock: options.clock,
      emit: options.emit,
      deadlineMs: options.settings.commandTimeoutMs,
    });
    this.#coolDown = new CoolDown(options.clock);
    this.#refFetch = new RefFetch({
      clone: this.#clone,
      url: this.address.url,
      broken: this.broken,
      access: () => this.#access(),
      list: async (prefixes, signal) => (await this.#list(prefixes, signal)).refs,
      reading: (signal, action) => this.reading('fetch', signal, action),
    });
  }

  /** @throws Error before the first listing or fetch. */
  readonly objectFormat: ObjectFormatSource = () => {
    const format = this.#format ?? this.#clone.identity?.format;
    if (!format) throw new Error('the object format is known only after the first contact with the remote');
    return format;
  };

  /** The version of git. @throws GitError (`no-git`) */
  gitVersion(): Promise<string> {
    return this.#command.checkVersion(this.#options.settings.commandTimeoutMs);
  }

  async listRefs(prefixes: readonly string[], signal?: AbortSignal): Promise<RefListing> {
    const { refs, headBranch } = await this.reading('ls-remote', signal, () => this.#list(prefixes, signal));
    return { refs, headBranch };
  }

  async fetchRefs(
    patterns: readonly string[],
    signal?: AbortSignal,
    lacking: ReadonlyMap<RefName, Oid> = new Map(),
  ): Promise<ReadonlyMap<Oid, string>> {
    const wanted = [...new Set(patterns)];
    if (wanted.length === 0) return new Map();
    await this.#ensureClone(signal);
    return this.#refFetch.fetch(wanted, lacking, signal);
  }

  async readObjects(oids: readonly Oid[], signal?: AbortSignal): Promise<ReadonlyMap<Oid, GitObject>> {
    await this.#ensureClone(signal);
    return this.#clone.readObjects(oids, signal);
  }

  async readBlobs(oids: readonly Oid[], maxBytes: number, signal?: AbortSignal): Promise<ReadonlyMap<Oid, Blob>> {
    await this.#ensureClone(signal);
    const sizes = await this.#clone.readSizes(oids, signal);
    const blobs = new Map<Oid, Blob>();
    const fitting: Oid[] = [];
    for (const [oid, bytes] of sizes) {
      if (bytes <= maxBytes) fitting.push(oid);
      else blobs.set(oid, { kind: 'too-large', bytes });
    }
    for (const [oid, { type, content }] of await this.#clone.readObjects(fitting, signal)) {
      if (type === 'blob') blobs.set(oid, { kind: 'content', content });
    }
    return blobs;
  }

  /**
   * Lets somebody else fetch what a ref of the remote holds, and keeps it in the clone.
   * @param fetch gets the commit that the clone has of this ref; answers a pack, without files if `partial`.
   * @throws GitError; what `fetch` throws
   */
  async keepingFetch(
    ref: RefName,
    oid: Oid,
    fetch: (have: Oid | null) => Promise<Buffer>,
    options: { partial: boolean; signal?: AbortSignal | undefined },
  ): Promise<void> {
    await this.#ensureClone(options.signal);
    const have = (await this.#clone.mirrored(options.signal)).get(ref) ?? null;
    if (have === oid) return;
    await this.#clone.telling(this.address.url, async () => {
      await this.#clone.keep(await fetch(have), new Map([[ref, oid]]), options);
    });
  }

  /** Whether the clone lacks files, because somebody else fetched for it. @throws GitError */
  async isPartial(signal?: AbortSignal): Promise<boolean> {
    await this.#ensureClone(signal);
    return this.#clone.isPartial();
  }

  /** Stores new objects in the clone. @throws GitError */
  async writeObjects(objects: readonly GitObject[], signal?: AbortSignal): Promise<void> {
    await this.#ensureClone(signal);
    await this.#clone.writeObjects(objects, signal);
  }

  async swapRefs(
    swaps: readonly RefSwap[],
    objects: readonly GitObject[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    const verdicts = new Map<RefName, SwapVerdict>();
    if (new Set(swaps.map((swap) => swap.ref)).size !== swaps.length) throw new RangeError('a ref is swapped twice');
    if (swaps.length === 0) return verdicts;
    await this.writeObjects(objects, signal);
    for (let at = 0; at < swaps.length; at += MAX_SWAPS_PER_PUSH) {
      const chunk = swaps.slice(at, at + MAX_SWAPS_PER_PUSH);
      try {
        const chunkVerdicts = await this.pacing('push', signal, () => this.#push(chunk, signal));
        for (const [ref, verdict] of chunkVerdicts) verdicts.set(ref, verdict);
      } catch (error) {
        if (at === 0) throw error;
        // What the pushes before this one said stays true; of the rest nothing is known.
        const reason = error instanceof Error ? error.message : String(error);
        for (const swap of swaps.slice(at)) verdicts.set(swap.ref, { kind: 'unclear', reason });
        return verdicts;
      }
    }
    return verdicts;
  }

  /** Runs what asks the remote and changes nothing: when the host may be asked, and again after a failure that passes. */
  reading<T>(operation: string, signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
    return this.#retried(operation, () => this.pacing(operation, signal, action), signal);
  }

  /** Runs what asks the remote when the host may be asked. */
  pacing<T>(operation: string, signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
    return this.#coolDown.run(operation, action, signal);
  }

  /** The cheap health check of the clone. @throws GitError (`corrupt-local` when it needs `rebuild`) */
  async check(signal?: AbortSignal): Promise<void> {
    await this.#ensureClone(signal);
    await this.#clone.check(signal);
  }

  /**
   * Messages of the newest commits of a branch, the newest first.
   * @returns none where the remote cannot leave out what the commits hold
   * @throws GitError
   */
  async recentMessages(ref: RefName, depth: number, signal?: AbortSignal): Promise<string[]> {
    const { stderr } = await this.#listOnce([], true, signal);
    if (parseFetchCapabilities(stderr)?.filter !== true) return [];
    const { commandTimeoutMs: deadlineMs } = this.#options.settings;
    const parts = { command: this.#command, url: this.address.url, format: this.objectFormat(), deadlineMs, signal };
    const access = await this.#access();
    return this.reading('fetch', signal, () => readBranchLog(ref, depth, { ...parts, access }));
  }

  /** What the remote says it can do. @param probe a ref that does not exist. @throws GitError */
  async capabilities(probe: RefName, signal?: AbortSignal): Promise<RemoteCapabilities> {
    await this.#ensureClone(signal);
    const { stderr } = await this.#listOnce([], true, signal);
    const access = await remoteAccess(this.address, this.#options.settings);
    const asked = await this.#clone.run(
      ['push', '--dry-run', '--porcelain', '--no-verify', '--', REMOTE, `:${probe}`],
      {
        environment: { ...access, variables: { ...access.variables, GIT_TRACE_PACKET: '1' } },
        config: [[`remote.${REMOTE}.url`, this.address.url]],
        signal,
        anyExit: true,
      },
    );
    return { fetch: parseFetchCapabilities(stderr), push: parsePushCapabilities(asked.stderr) };
  }

  /** Throws the clone away and makes an empty one; what is needed must be fetched again. @throws GitError */
  async rebuild(reason: string | null, signal?: AbortSignal): Promise<void> {
    await this.#clone.create(await this.#identity(signal), reason, signal);
  }

  /** Keeps the clone small. Asks the remote which refs are left. @throws GitError */
  async upkeep(signal?: AbortSignal): Promise<void> {
    await this.#ensureClone(signal);
    const { refs } = await this.listRefs(['refs/'], signal);
    const mirrored = await this.#clone.mirrored(signal);
    await this.#clone.forget(
      [...mirrored.keys()].filter((ref) => !refs.has(ref)),
      signal,
    );
    await this.#clone.upkeep(signal);
  }

  async #list(prefixes: readonly string[], signal: AbortSignal | undefined): Promise<ParsedListing> {
    const traced = !this.#headSeen;
    const { listing, stderr } = await this.#listOnce(prefixes, traced, signal);
    this.#headSeen = listing.headBranch !== null;
    if (listing.broken.length > 0) throw this.broken.found('ls-remote', listing.broken);
    this.#learnFormat(listing.format);
    if (listing.headBranch !== null) return listing;
    if (!traced) return this.#list(prefixes, signal);
    const facts = parseTrace(stderr);
    // A captive portal or a proxy that answers 200 with a page looks to git like an empty repository.
    if (!facts.spoken) {
      const message = `${this.address.url} answered, but not as a Git server: is there a proxy or a login page in between?`;
      throw new GitError('network', 'ls-remote', message);
    }
    this.#learnFormat(listing.format ?? facts.format ?? 'sha1');
    return { ...listing, headBranch: facts.unbornHead };
  }

  async #listOnce(
    prefixes: readonly string[],
    traced: boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ listing: ParsedListing; stderr: string }> {
    await this.#checkVersion();
    const access = await this.#access();
    const environment: CommandEnvironment = {
      ...access,
      // No repository at all: listing must work whatever the state of the clone.
      variables: { ...access.variables, GIT_DIR: '/dev/null', ...(traced ? { GIT_TRACE_PACKET: '1' } : {}) },
    };
    const patterns = prefixes.map((prefix) => `${prefix}*`);
    const output = await this.#command.run(['ls-remote', '--symref', '--', this.address.url, 'HEAD', ...patterns], {
      cwd: '/',
      environment,
      deadlineMs: this.#options.settings.commandTimeoutMs,
      signal,
      maxOutputBytes: MAX_LISTING_BYTES,
      anyExit: true,
    });
    if (output.exitCode !== 0) {
      const said = output.stderr.split('\n').filter((line) => !isTraceLine(line));
      const error = exitError('ls-remote', { ...output, stderr: said.join('\n') });
      // No clone of ours has a part in a listing: what looks like damage is the remote's.
      const kind = error.kind === 'corrupt-local' ? 'corrupt-remote' : error.kind;
      throw explainBrokenListing(new GitError(kind, error.operation, error.message, { cause: error.cause }));
    }
    return { listing: parseListing(output.stdout.toString('utf8'), prefixes), stderr: output.stderr };
  }

  async #push(swaps: readonly RefSwap[], signal: AbortSignal | undefined): Promise<Map<RefName, SwapVerdict>> {
    const access = await this.#access();
    const leases = swaps.map((swap) => `--force-with-lease=${swap.ref}:${swap.from ?? ''}`);
    const refspecs = swaps.map((swap) => `${swap.to ?? ''}:${swap.ref}`);
    const output = await this.#clone.run(['push', '--porcelain', '--no-verify', ...leases, '--', REMOTE, ...refspecs], {
      environment: access,
      config: [
        [`remote.${REMOTE}.url`, this.address.url],
        [`remote.${REMOTE}.fetch`, `+refs/*:${MIRROR}*`],
      ],
      signal,
      anyExit: true,
    });
    const report = parsePushReport(output.stdout.toString('utf8'));
    const failed = output.exitCode === 0 ? null : explainBrokenListing(exitError('push', output));
    const verdicts = new Map<RefName, SwapVerdict>();
    for (const swap of swaps) {
      verdicts.set(swap.ref, report.get(swap.ref) ?? { kind: 'unclear', reason: failed?.message ?? 'no word of it' });
    }
    const blamed = refsBlamed(output.stderr, MIRROR);
    if (failed && blamed.length > 0) throw this.broken.found('push', blamed);
    if (swaps.some(({ ref, to }) => to !== null && verdicts.get(ref)?.kind === 'applied')) this.broken.pushed();
    const definite = [...verdicts.values()].some((verdict) => verdict.kind !== 'unclear');
    if (failed && (report.size === 0 || (!definite && isCorrupt(failed)))) throw failed;
    return verdicts;
  }

  async #access(): Promise<CommandEnvironment> {
    const access = await remoteAccess(this.address, this.#options.settings);
    if (this.address.transport !== 'http') return access;
    return { ...access, variables: { ...access.variables, ...HTTP_TRACE_VARIABLES } };
  }

  async #ensureClone(signal: AbortSignal | undefined): Promise<void> {
    if (this.#clone.identity !== null) return;
    const others = this.#opening;
    this.#opening ??= this.#open(signal).finally(() => {
      this.#opening = null;
    });
    try {
      await this.#opening;
    } catch (error) {
      // It was another caller's signal that ended the opening, not ours.
      if (others === null || !(error instanceof GitError) || error.kind !== 'aborted' || signal?.aborted) throw error;
      await this.#ensureClone(signal);
    }
  }

  async #open(signal: AbortSignal | undefined): Promise<void> {
    await this.#checkVersion();
    await this.#clone.open(await this.#identity(signal), signal);
  }

  async #identity(signal: AbortSignal | undefined): Promise<CloneIdentity> {
    const url = this.address.url;
    this.#format ??= await this.#clone.knownFormat(url);
    if (this.#format === null) await this.listRefs([], signal);
    return { url, format: this.objectFormat(), shallow: this.#options.settings.useShallowClone };
  }

  /** A remote that was made anew with another hash needs another clone. */
  #learnFormat(format: ObjectFormat | null): void {
    if (format === null || format === this.#format) return;
    this.#format = format;
    if (this.#clone.identity && this.#clone.identity.format !== format) this.#clone.close();
  }

  async #checkVersion(): Promise<void> {
    if (this.#versionChecked) return;
    await this.gitVersion();
    this.#versionChecked = true;
  }

  #retried<T>(operation: string, action: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const { settings, clock, emit, random } = this.#options;
    return withRetry(
      action,
      { attempts: settings.retryAttempts, baseMs: settings.retryBaseMs, retryable: RETRYABLE },
      {
        clock,
        emit,
        random,
        operation,
        signal,
        aborted: (cause) => new GitError('aborted', operation, `git ${operation} was aborted`, { cause }),
      },
    );
  }
}

function isCorrupt(error: GitError): boolean {
  return error.kind === 'corrupt-local' || error.kind === 'corrupt-remote';
}
