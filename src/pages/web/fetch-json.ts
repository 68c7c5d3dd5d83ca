/** Asks for one document, within a bound of time, and says in which of the ways that matter it failed. */

export type Answer<T> =
  | { kind: 'document'; document: T; tag: string | null }
  | { kind: 'unchanged' }
  /** Whoever serves the page wants to know who asks. */
  | { kind: 'unauthorised' }
  | { kind: 'absent' }
  /** No answer, or none that can be used. */
  | { kind: 'failed'; problem: string };

const ANSWER_TIMEOUT_MS = 20_000;
/** Of another version of the documents a page of this one would show nonsense. */
const SCHEMA_VERSION = 1;

/** Never throws. @param tag of the document that is there already. */
export async function fetchJson<T extends { schema_version: number }>(
  url: string,
  tag: string | null = null,
): Promise<Answer<T>> {
  try {
    const response = await fetch(url, {
      cache: 'no-store',
      headers: tag === null ? {} : { 'if-none-match': tag },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    if (response.status === 304) return { kind: 'unchanged' };
    if (response.status === 401) return { kind: 'unauthorised' };
    if (response.status === 404) return { kind: 'absent' };
    if (!response.ok) return { kind: 'failed', problem: await problemIn(response) };
    const document = (await response.json()) as T;
    if (document.schema_version !== SCHEMA_VERSION) {
      return { kind: 'failed', problem: 'the server has another version than this page: reload the page' };
    }
    return { kind: 'document', document, tag: response.headers.get('etag') };
  } catch (error) {
    return { kind: 'failed', problem: problemOf(error) };
  }
}

/** In the server's own words, where it has any. */
async function problemIn(response: Response): Promise<string> {
  const document: unknown = await response.json().catch(() => null);
  const hasProblem = typeof document === 'object' && document !== null && 'problem' in document;
  return hasProblem ? String(document.problem) : `the server answered with status ${response.status}`;
}

function problemOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'the server does not answer';
  return error instanceof SyntaxError ? 'the answer is no JSON document' : 'the server cannot be reached';
}
