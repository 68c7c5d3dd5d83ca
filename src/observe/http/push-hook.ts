/**
 * `POST /hooks/push`: a Git host tells of a push, and the worker looks at the repository. The call carries no trust: all
 * that it can bring about is a look that would have come by itself a little later.
 *
 * Bounds: a body is read only from whoever shows something that may prove that the secret is known, up to MAX_BODY_BYTES,
 * and MAX_READING at a time. How many looks come of it is bounded where they are made.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../runtime.ts';
import type { Emit } from '../events.ts';
import { FORM_TYPE, type PushedRef, readHook } from './hook-message.ts';
import { hasProof, isProven } from './hook-proof.ts';

export interface PushHook {
  /** null when it cannot be had at the moment: then nobody is believed. */
  secret: () => Promise<string | null>;
  /** Whether such a push may have brought something that the worker has not seen. */
  concerns: (push: PushedRef) => boolean;
  lookNow: () => void;
  clock: Clock;
  emit: Emit;
}

export interface HookCounts {
  /** Led to a look; was about something else; was not believed, or could not be read. */
  accepted: number;
  ignored: number;
  refused: number;
}

const PATH = '/hooks/push';
/** A push that brings thousands of files names each of them. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const MAX_READING = 4;
const TELL_PAUSE_MS = 60_000;

type Refusal = 'unsigned' | 'wrong-signature' | 'no-secret' | 'too-large' | 'media-type' | 'too-many' | 'unreadable';

/** @returns what came so far, asked for at any time. */
export function addPushHook(server: FastifyInstance, hook: PushHook): () => HookCounts {
  const counts: HookCounts = { accepted: 0, ignored: 0, refused: 0 };
  let untold = 0;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  let reading = 0;

  const refused = (request: FastifyRequest, reason: Refusal): void => {
    counts.refused += 1;
    untold += 1;
    const nowMs = hook.clock.monotonicMs();
    if (nowMs - toldAtMs < TELL_PAUSE_MS) return;
    hook.emit('hook.refused', { calls: untold, reason, from: request.ip });
    toldAtMs = nowMs;
    untold = 0;
  };
  // The rest of a body that nobody wants is not waited for.
  const turnAway = (reply: FastifyReply, code: number, status: string): FastifyReply =>
    reply.code(code).header('connection', 'close').send({ status });

  const answer = async (request: FastifyRequest, reply: FastifyReply): Promise<object> => {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const secret = await hook.secret();
    if (secret === null || !isProven(request.headers, body, secret)) {
      refused(request, secret === null ? 'no-secret' : 'wrong-signature');
      return reply.code(401).send({ status: 'refused' });
    }
    const message = readHook(request.headers, body);
    if (message.kind === 'ping') return { status: 'ready' };
    void reply.code(202);
    if (message.kind === 'other' || !hook.concerns(message)) {
      counts.ignored += 1;
      return { status: 'ignored' };
    }
    counts.accepted += 1;
    hook.lookNow();
    return { status: 'looking' };
  };

  void server.register(async (scope) => {
    // The signature is of the bytes as they were sent.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      ['application/json', FORM_TYPE],
      { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES },
      (_request, body, done) => done(null, body),
    );
    scope.addHook('onRequest', async (request, reply) => {
      if (!hasProof(request.headers)) {
        refused(request, 'unsigned');
        return turnAway(reply, 401, 'refused');
      }
      if (reading >= MAX_READING) {
        refused(request, 'too-many');
        return turnAway(reply, 503, 'busy');
      }
      reading += 1;
      // Comes also when the caller hangs up.
      reply.raw.once('close', () => {
        reading -= 1;
      });
    });
    scope.addHook('onError', async (request, _reply, error) => refused(request, refusalOf(error.code)));
    scope.post(PATH, { bodyLimit: MAX_BODY_BYTES }, answer);
  });
  return () => ({ ...counts });
}

function refusalOf(code: string): Refusal {
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'too-large';
  return code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' ? 'media-type' : 'unreadable';
}
