/**
 * Who may read the pages. One hook in front of every route, also of those that are added later: what is not on the list of
 * open routes asks for the token, where there is one.
 *
 * | route | without the token |
 * | --- | --- |
 * | `/livez`, `/startupz`, `/readyz` | answers: probes carry no secret. `/readyz` leaves out its texts then |
 * | `/hooks/push` | its callers prove themselves in another way, see hook-proof.ts |
 * | all others, and what does not exist | 401 |
 *
 * The token is shown as a bearer token, or as the password of any user, which is what a browser asks a person for.
 *
 * Without a token the pages are this machine's alone (the settings see to that). A page of somebody else's in a browser of
 * this machine must not read them by giving its own name our address, so the name that was asked for has to be one of ours.
 * Where a token protects, that name says nothing: a proxy may keep the one that it was asked by.
 *
 * Bounds: wrong tries by address and minute, and the addresses that are remembered.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isLoopback } from '../../config/loopback.ts';
import type { Clock } from '../../runtime.ts';
import type { Emit } from '../events.ts';
import type { KeptSecret } from './kept-secret.ts';
import { WrongTries } from './wrong-tries.ts';

export interface AccessOptions {
  /** null: everybody who can connect may read. */
  token: KeptSecret | null;
  /** What is listened on: a name that it may be asked by. */
  host: string;
  clock: Clock;
  emit: Emit;
}

export interface Access {
  /** Whether whoever sent this may read everything. Known from the first hook on. */
  isTrusted: (request: FastifyRequest) => boolean;
}

const OPEN_ROUTES: ReadonlySet<string | undefined> = new Set(['/livez', '/startupz', '/readyz']);
const ROUTES_WITH_THEIR_OWN_PROOF: ReadonlySet<string | undefined> = new Set(['/hooks/push']);
const CHALLENGE = 'Basic realm="dgrid"';
const MAX_PROOF_CHARACTERS = 2_000;
const TELL_PAUSE_MS = 60_000;

type Refusal = 'no-token' | 'wrong-token' | 'too-many-tries' | 'token-unavailable' | 'foreign-host';

export function addAccess(server: FastifyInstance, options: AccessOptions): Access {
  const { clock, emit, host, token } = options;
  const tries = new WrongTries(clock);
  const trusted = new WeakSet<FastifyRequest>();
  let untold = 0;
  let toldAtMs = Number.NEGATIVE_INFINITY;

  const tell = (request: FastifyRequest, reason: Refusal): void => {
    untold += 1;
    const nowMs = clock.monotonicMs();
    if (nowMs - toldAtMs < TELL_PAUSE_MS) return;
    emit('http.refused', { requests: untold, reason, from: request.ip });
    toldAtMs = nowMs;
    untold = 0;
  };

  /** @returns null for the right one. */
  const judge = async (request: FastifyRequest, expected: KeptSecret): Promise<Refusal | null> => {
    const shown = shownToken(request.headers.authorization);
    if (shown === null) return 'no-token';
    const secret = await expected();
    if (secret === null) return 'token-unavailable';
    // Looked at and counted in one turn: tries that come at the same time are no way around it.
    if (tries.areSpent(request.ip)) return 'too-many-tries';
    if (isSame(shown, secret)) return null;
    tries.count(request.ip);
    return 'wrong-token';
  };

  server.addHook('onRequest', async (request, reply) => {
    const route = request.routeOptions.url;
    if (ROUTES_WITH_THEIR_OWN_PROOF.has(route)) return;
    if (token === null) {
      if (isOwnName(request.headers.host, host)) {
        trusted.add(request);
        return;
      }
      tell(request, 'foreign-host');
      return turnAway(reply, 403, { problem: 'the pages are not served under that name: ask for them as localhost' });
    }
    const refusal = await judge(request, token);
    if (refusal === null) {
      trusted.add(request);
      return;
    }
    // A browser asks for a page first without; that is no attempt of anybody.
    if (refusal !== 'no-token') tell(request, refusal);
    if (OPEN_ROUTES.has(route)) return;
    if (refusal === 'too-many-tries') {
      void reply.header('retry-after', String(Math.ceil(tries.pauseMs(request.ip) / 1000)));
      return turnAway(reply, 429, { problem: 'too many wrong tokens came from this address, try again later' });
    }
    void reply.header('www-authenticate', CHALLENGE);
    return turnAway(reply, 401, { problem: 'the token of this worker is asked for (HTTP_TOKEN_FILE)' });
  });
  return { isTrusted: (request) => trusted.has(request) };
}

/** The rest of a body that nobody wants is not waited for. */
function turnAway(reply: FastifyReply, code: number, body: object): FastifyReply {
  return reply.code(code).headers({ connection: 'close', 'cache-control': 'no-store' }).send(body);
}

function shownToken(header: string | undefined): string | null {
  if (header === undefined || header.length > MAX_PROOF_CHARACTERS) return null;
  const [, scheme = '', proof = ''] = /^([A-Za-z]+) +(\S.*)$/.exec(header) ?? [];
  if (scheme.toLowerCase() === 'bearer') return proof.trim();
  if (scheme.toLowerCase() !== 'basic') return null;
  const pair = Buffer.from(proof, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? null : pair.slice(colon + 1);
}

/** Hashed first, since only texts of one length can be compared in constant time. */
function isSame(shown: string, secret: string): boolean {
  return timingSafeEqual(sha256(shown), sha256(secret));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Whoever sends none is no browser. The port does not matter: it may have been mapped. */
function isOwnName(header: string | undefined, host: string): boolean {
  if (header === undefined || header === '') return true;
  const name = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(header);
  const asked = (name?.[1] ?? name?.[2] ?? '').toLowerCase();
  return isLoopback(asked) || asked === host.toLowerCase();
}
