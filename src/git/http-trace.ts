/**
 * What Git's trace of HTTP tells beyond its error texts: how long the host asked us to wait. Git itself has no word for
 * `Retry-After`.
 *
 * The trace comes on standard error between the texts. It is read and taken out, so that nobody sees it who reads texts.
 */

/** Makes git tell the headers, and nothing of the bodies. It leaves out the ones with secrets by itself. */
export const HTTP_TRACE_VARIABLES: Readonly<Record<string, string>> = {
  GIT_TRACE_CURL: '1',
  GIT_TRACE_CURL_NO_DATA: '1',
};

const TRACE_LINE = /^\d\d:\d\d:\d\d\.\d+ http\.c:\d+\s+(?:== Info|=> Send|<= Recv)(?: header| data|,|:)(?:: (.*))?/;
const STATUS_LINE = /^HTTP\/[\d.]+ (\d{3})/;
const FIRST_BAD_STATUS = 400;

export interface HttpTrace {
  /** Standard error without the trace. */
  text: string;
  /** What the last answer asked for, if it was a failure and asked for a pause. */
  retryAfterMs: number | null;
}

/** Pure. */
export function readHttpTrace(stderr: string): HttpTrace {
  if (!stderr.includes(' http.c:')) return { text: stderr, retryAfterMs: null };
  const kept: string[] = [];
  let status = 0;
  let headers = new Map<string, string>();
  for (const line of stderr.split('\n')) {
    const found = TRACE_LINE.exec(line);
    if (!found) {
      kept.push(line);
      continue;
    }
    const header = line.includes('<= Recv header: ') ? (found[1] ?? '') : '';
    const started = STATUS_LINE.exec(header)?.[1];
    if (started) {
      status = Number(started);
      headers = new Map();
    }
    const colon = header.indexOf(':');
    if (colon > 0) headers.set(header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim());
  }
  return { text: kept.join('\n'), retryAfterMs: status >= FIRST_BAD_STATUS ? retryAfterMs(headers) : null };
}

/** Seconds, or a date: that one is compared with the host's own clock, never with ours. */
function retryAfterMs(headers: ReadonlyMap<string, string>): number | null {
  const asked = headers.get('retry-after');
  if (asked === undefined) return null;
  if (/^\d+$/.test(asked)) return Number(asked) * 1000;
  const waitMs = Date.parse(asked) - Date.parse(headers.get('date') ?? '');
  return Number.isFinite(waitMs) ? Math.max(0, waitMs) : null;
}
