/** Asks the worker that runs here for one of its pages. */
import type { Settings } from '../config/settings.ts';
import { messageOf } from './check.ts';

const ANSWER_MS = 5_000;
/** What a page of figures may have; more is cut off. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/** Listened on for everybody: asked for by way of this machine alone. */
const ANY_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '[::1]', '': '127.0.0.1' };

/** Never throws. */
export async function askWorker(
  { httpHost, httpPort }: Pick<Settings, 'httpHost' | 'httpPort'>,
  path: string,
  signal: AbortSignal,
): Promise<{ body: string } | { problem: string }> {
  const host = ANY_ADDRESS[httpHost] ?? (httpHost.includes(':') ? `[${httpHost}]` : httpHost);
  try {
    const answer = await fetch(`http://${host}:${httpPort}${path}`, {
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    const body = await readBody(answer);
    return answer.ok ? { body } : { problem: `it answers ${answer.status}` };
  } catch (error) {
    // What went wrong with the connection stands behind the library's own error.
    const cause = (error as { cause?: { code?: string } }).cause?.code;
    return { problem: cause ?? messageOf(error) };
  }
}

async function readBody(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_PAGE_BYTES) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
