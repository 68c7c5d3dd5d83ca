/**
 * What can go wrong between a Git client and the repository: asked for by a test, request by request, and carried out by
 * `GitServer`.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Which past a stale listing shows: how many pushes ago, or the newest that is at least so old. */
export type Ago = { pushes: number } | { ms: number };

export type Misbehaviour =
  /** Closes the connection; the repository never sees the request. */
  | { kind: 'drop' }
  /** Lets the repository carry the request out, then closes the connection without a byte of answer. */
  | { kind: 'drop-reply' }
  /** Answers this instead. */
  | { kind: 'status'; status: number; headers?: Record<string, string>; body?: string }
  /** Lets the repository carry the request out, then answers this. */
  | { kind: 'status-after'; status: number; headers?: Record<string, string>; body?: string }
  /** Waits, then goes on normally. Ends early when the client leaves. */
  | { kind: 'delay'; ms: number }
  /** Waits, whether the client does or not, then goes on: a request that lay somewhere on its way. */
  | { kind: 'late'; ms: number }
  /** Sends the answer bit by bit over this time. */
  | { kind: 'slow'; ms: number }
  /** Never answers. */
  | { kind: 'hang' }
  /** Lets the repository carry the request out, then never answers. */
  | { kind: 'hang-after' }
  /** Sends only the first bytes of the answer's body, by default half of it, then closes the connection. */
  | { kind: 'truncate'; bytes?: number }
  /** Sends the answer with one byte of its body flipped. */
  | { kind: 'corrupt'; atByte: number }
  /** Lets the repository carry the request out twice, as a proxy does that repeats a POST; the second answer is sent. */
  | { kind: 'twice' }
  /** Answers by itself: with anything, for any length of time. */
  | { kind: 'act'; act: (exchange: Exchange) => void }
  /** Answers from the refs as they were. For listings; needs `GitServerOptions.keepPast`. */
  | { kind: 'stale'; ago: Ago };

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/** One request under way. */
export interface Exchange {
  response: ServerResponse;
  socket: Socket;
  /** Hands the request to the repository, or to its past. May be called again. */
  carryOut: (ago?: Ago) => Promise<Answer>;
  /** Told how many bytes of an answer's body were sent. */
  sent: (bytes: number) => void;
}

const SLOW_PARTS = 8;

export async function answer(exchange: Exchange, asked: Misbehaviour | undefined): Promise<void> {
  const { carryOut, response, sent, socket } = exchange;
  switch (asked?.kind) {
    case 'drop':
      socket.destroy();
      return;
    case 'hang':
      return;
    case 'status':
      respond(asked);
      return;
    case 'act':
      asked.act(exchange);
      return;
    case 'delay':
      await waitOrClose(asked.ms, socket);
      break;
    case 'late':
      await sleep(asked.ms);
      break;
    case 'twice':
      await carryOut();
      break;
    default:
  }
  const { body, headers, status } = await carryOut(asked?.kind === 'stale' ? asked.ago : undefined);
  switch (asked?.kind) {
    case 'drop-reply':
      socket.destroy();
      return;
    case 'hang-after':
      return;
    case 'status-after':
      respond(asked);
      return;
    case 'truncate': {
      const part = body.subarray(0, asked.bytes ?? body.length >> 1);
      sent(part.length);
      response.writeHead(status, headers).write(part, () => socket.destroy());
      return;
    }
    case 'slow':
      response.writeHead(status, headers);
      for (let at = 0; at < SLOW_PARTS && !socket.destroyed; at += 1) {
        await waitOrClose(asked.ms / SLOW_PARTS, socket);
        response.write(body.subarray((at * body.length) / SLOW_PARTS, ((at + 1) * body.length) / SLOW_PARTS));
      }
      sent(body.length);
      response.end();
      return;
    case 'corrupt': {
      const at = Math.min(asked.atByte, body.length - 1);
      body[at] = (body[at] ?? 0) ^ 0xff;
      break;
    }
    default:
  }
  sent(body.length);
  response.writeHead(status, headers).end(body);

  function respond(with_: { status: number; headers?: Record<string, string>; body?: string }): void {
    response.writeHead(with_.status, with_.headers ?? {}).end(with_.body ?? '');
  }
}

function waitOrClose(ms: number, socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.off('close', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    socket.once('close', done);
  });
}
