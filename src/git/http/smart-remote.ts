/**
 * One remote repository over smart HTTP: the first contact, who we are, and the three requests. Every answer is read by
 * `wire.ts`; what cannot be done this way is told by `UnfitError`, so that the git command can take over.
 */
import { gzipSync } from 'node:zlib';
import type { Emit } from '../../observe/events.ts';
import type { Clock } from '../../runtime.ts';
import { classify } from '../classify.ts';
import { GitError } from '../errors.ts';
import type { GitObject } from '../objects.ts';
import type { ObjectFormat, Oid } from '../oid.ts';
import type { RemoteAddress } from '../remote-address.ts';
import type { RefSwap } from '../repository.ts';
import { type AnswerBounds, MAX_PACK_BYTES } from './bounds.ts';
import {
  AnswerTooLongError,
  Connection,
  failureOf,
  type HttpAnswer,
  type HttpRequest,
  UnreachableByUs,
} from './connection.ts';
import type { HttpCredentials } from './http-credentials.ts';
import { OversizedError, readPack } from './pack-reader.ts';
import { ProtocolError } from './pkt-line.ts';
import {
  type FetchWish,
  fetchRequest,
  type HostAbilities,
  lsRefsRequest,
  type PushAnswer,
  pushRequest,
  readAbilities,
  readFetch,
  readLsRefs,
  readPushAnswer,
  type WireListing,
  WireRefusal,
} from './wire.ts';

const MAX_ABILITIES_BYTES = 64 * 1024;
/** Some 220,000 refs. */
const MAX_LISTING_BYTES = 16 * 1024 * 1024;
const MAX_REPORT_BYTES = 8 * 1024 * 1024;
/** Of what the other side says, in an error. */
const MAX_SAID_CHARACTERS = 2_000;
/** Above this, packing a request's text is worth its while. */
const GZIP_FROM_BYTES = 1024;

/** This host, or this machine, wants the git command. */
export class UnfitError extends Error {
  override readonly name = 'UnfitError';
}

export interface SmartRemoteParts {
  address: RemoteAddress;
  credentials: HttpCredentials;
  clock: Clock;
  /** The operator's environment. */
  env: NodeJS.ProcessEnv;
  deadlineMs: number;
  emit: Emit;
}

export class SmartRemote {
  readonly #parts: SmartRemoteParts;
  readonly #connection: Connection;
  #abilities: HostAbilities | null = null;
  /** Where the first contact was answered: hosts move repositories by redirects. Ends in a slash. */
  #base: URL | null = null;

  constructor(parts: SmartRemoteParts) {
    this.#parts = parts;
    this.#connection = new Connection({ clock: parts.clock, env: parts.env, emit: parts.emit });
  }

  /** @throws GitError; UnfitError */
  async abilities(signal?: AbortSignal): Promise<HostAbilities> {
    this.#abilities ??= await this.#meet(signal);
    return this.#abilities;
  }

  /** The hash of the repository, once it is known. */
  get format(): ObjectFormat | null {
    return this.#abilities?.format ?? null;
  }

  /** @throws GitError; UnfitError */
  async list(prefixes: readonly string[], signal?: AbortSignal): Promise<WireListing> {
    const abilities = await this.abilities(signal);
    const body = lsRefsRequest(prefixes, abilities);
    const answer = await this.#post('upload-pack', 'ls-remote', body, MAX_LISTING_BYTES, signal);
    return this.#reading('ls-remote', () => readLsRefs(answer.body, prefixes));
  }

  /** The pack as it came. @throws GitError; UnfitError; OversizedError when it is longer */
  async fetchPack(wish: FetchWish, signal?: AbortSignal, maxAnswerBytes: number = MAX_PACK_BYTES): Promise<Buffer> {
    const abilities = await this.abilities(signal);
    const body = fetchRequest(wish, abilities);
    const answer = await this.#post('upload-pack', 'fetch', body, maxAnswerBytes, signal).catch((error: unknown) => {
      if (!(error instanceof AnswerTooLongError)) throw error;
      throw new OversizedError(maxAnswerBytes + 1, `more than ${maxAnswerBytes} bytes in one answer`);
    });
    return this.#reading('fetch', () => readFetch(answer.body));
  }

  /**
   * @param options.known objects that are here, for deltas against them.
   * @throws GitError; UnfitError; OversizedError for what is above a bound.
   */
  async fetch(
    wish: FetchWish,
    options: AnswerBounds & {
      known: (oids: readonly Oid[]) => Promise<ReadonlyMap<Oid, GitObject>>;
      signal?: AbortSignal | undefined;
    },
  ): Promise<GitObject[]> {
    const pack = await this.fetchPack(wish, options.signal, options.maxAnswerBytes);
    const { format } = await this.abilities(options.signal);
    try {
      return await readPack(pack, { format, ...options });
    } catch (error) {
      throw error instanceof ProtocolError && !(error instanceof OversizedError) ? unreadable('fetch', error) : error;
    }
  }

  /** All in one request; each ref is answered for by itself. @throws GitError; UnfitError */
  async push(swaps: readonly RefSwap[], pack: Buffer, signal?: AbortSignal): Promise<PushAnswer> {
    const { format } = await this.abilities(signal);
    const answer = await this.#post('receive-pack', 'push', pushRequest(swaps, pack, format), MAX_REPORT_BYTES, signal);
    return this.#reading('push', () => readPushAnswer(answer.body));
  }

  close(): void {
    this.#connection.close();
  }

  async #meet(signal: AbortSignal | undefined): Promise<HostAbilities> {
    const given = new URL(this.#parts.address.url);
    const base = new URL(given);
    if (!base.pathname.endsWith('/')) base.pathname += '/';
    const url = new URL(`info/refs?service=git-upload-pack`, base);
    const answer = await this.#send(
      { method: 'GET', url, headers: {}, maxAnswerBytes: MAX_ABILITIES_BYTES, operation: 'ls-remote' },
      signal,
    );
    if (answer.headers['content-type'] !== 'application/x-git-upload-pack-advertisement') {
      throw new UnfitError(`${url.origin} answers with ${answer.headers['content-type'] ?? 'no type'}`);
    }
    let abilities: HostAbilities;
    try {
      abilities = readAbilities(answer.body);
    } catch (cause) {
      if (!(cause instanceof ProtocolError)) throw cause;
      throw new UnfitError(cause.message, { cause });
    }
    if (!answer.url.pathname.endsWith('/info/refs')) throw new UnfitError(`${url.origin} redirects to something else`);
    this.#base = new URL('..', answer.url);
    return abilities;
  }

  async #post(
    service: 'upload-pack' | 'receive-pack',
    operation: string,
    body: Buffer,
    maxAnswerBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> {
    const type = `application/x-git-${service}`;
    const packed = service === 'upload-pack' && body.length > GZIP_FROM_BYTES ? gzipSync(body) : null;
    const answer = await this.#send(
      {
        method: 'POST',
        url: new URL(`git-${service}`, this.#base ?? this.#parts.address.url),
        headers: {
          'Content-Type': `${type}-request`,
          ...(packed ? { 'Content-Encoding': 'gzip' } : {}),
        },
        body: packed ?? body,
        maxAnswerBytes,
        operation,
      },
      signal,
    );
    const found = answer.headers['content-type'];
    if (found === `${type}-result`) return answer;
    throw new UnfitError(`${answer.url.origin} answers a ${operation} with ${found ?? 'no type'}`);
  }

  async #send(
    request: Omit<HttpRequest, 'deadlineMs' | 'signal'>,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> {
    const { credentials, deadlineMs } = this.#parts;
    try {
      for (let tries = 1; ; tries += 1) {
        // A host that the first contact was redirected to is another one: what proves who we are is not meant for it.
        const isOurs = request.url.origin === this.#parts.address.origin;
        const proof = isOurs ? await credentials.current() : null;
        const answer = await this.#connection.send({
          ...request,
          headers: {
            // Hosts tell programs from browsers by its beginning.
            'User-Agent': 'git/2 d-grid',
            // The version is chosen anew with each request: there is no session.
            ...(request.operation === 'push' ? {} : { 'Git-Protocol': 'version=2' }),
            ...request.headers,
            ...(proof === null ? {} : { Authorization: proof }),
          },
          deadlineMs,
          signal,
        });
        if (answer.status === 401 && isOurs && tries === 1) {
          if (!takesBasic(answer)) throw new UnfitError(`${answer.url.origin} wants another proof than a password`);
          if (await credentials.refused(proof, signal)) continue;
        }
        const failure = failureOf(answer, request.operation);
        if (failure === null) {
          await credentials.accepted(proof);
          return answer;
        }
        if (answer.status === 405 || answer.status === 411 || answer.status === 415)
          throw new UnfitError(failure.message);
        // Who is turned away may have been met under another address, or by another host.
        if (failure.kind === 'not-found') this.#forget();
        throw failure;
      }
    } catch (error) {
      throw error instanceof UnreachableByUs ? new UnfitError(error.message, { cause: error }) : error;
    }
  }

  #forget(): void {
    this.#abilities = null;
    this.#base = null;
  }

  #reading<T>(operation: string, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof WireRefusal) throw refusal(operation, error);
      throw error instanceof ProtocolError ? unreadable(operation, error) : error;
    }
  }
}

/** The kinds are those that git's own words lead to. */
function refusal(operation: string, { message }: WireRefusal): GitError {
  const said = message.slice(0, MAX_SAID_CHARACTERS);
  const kind = classify({ exitCode: 128, stderr: `fatal: remote error: ${said}\nremote: ${said}`, ending: null });
  return new GitError(kind === 'corrupt-local' ? 'corrupt-remote' : kind, operation, `the remote says: ${said}`);
}

/** Cut off on its way, or garbled: what was asked may have been done. */
function unreadable(operation: string, cause: ProtocolError): GitError {
  return new GitError('network', operation, `the remote's answer cannot be read: ${cause.message}`, { cause });
}

function takesBasic({ headers }: HttpAnswer): boolean {
  return /\bbasic\b/i.test(headers['www-authenticate'] ?? 'basic');
}
