import { describe, expect, it } from 'vitest';
import { readHttpTrace } from '../../../src/git/http-trace.ts';

/** As git 2.39 writes it. */
function traced(...headers: string[]): string {
  const lines = headers.flatMap((header) => [
    '00:43:44.363387 http.c:672              <= Recv header, 0000000032 bytes (0x00000020)',
    `00:43:44.363389 http.c:684              <= Recv header: ${header}`,
  ]);
  return `${['00:43:44.358642 http.c:725              == Info: Connected to h (127.0.0.1) port 1 (#0)', ...lines].join('\n')}\n`;
}

const DATE = 'Date: Sat, 28 Nov 2026 00:43:44 GMT';

describe('readHttpTrace', () => {
  it('leaves a text alone that has no trace in it', () => {
    expect(readHttpTrace('fatal: no\n\nhint: x\n')).toEqual({ text: 'fatal: no\n\nhint: x\n', retryAfterMs: null });
  });

  it('takes the trace out and keeps what git says', () => {
    const sent = '00:43:44.358690 http.c:684              => Send header: Git-Protocol: version=2\n';
    const end = '00:43:44.358691 http.c:684              => Send header:\n';
    const { text } = readHttpTrace(`remote: a\n${sent}${end}${traced('HTTP/1.1 200 OK', DATE, '')}fatal: b\n`);
    expect(text).toBe('remote: a\nfatal: b\n');
  });

  it.each([
    ['seconds', ['HTTP/1.1 429 Too Many Requests', 'Retry-After: 3', DATE], 3_000],
    [
      'a date, by the clock of the host',
      ['HTTP/1.1 503 X', DATE, 'Retry-After: Sat, 28 Nov 2026 00:44:44 GMT'],
      60_000,
    ],
    ['a date that has passed', ['HTTP/1.1 503 X', DATE, 'Retry-After: Sat, 28 Nov 2026 00:40:44 GMT'], 0],
    [
      'a date without a clock to compare it with',
      ['HTTP/1.1 503 X', 'Retry-After: Sat, 28 Nov 2026 00:44:44 GMT'],
      null,
    ],
    ['small letters', ['HTTP/2 429', 'retry-after: 12'], 12_000],
    ['nonsense', ['HTTP/1.1 429 X', DATE, 'Retry-After: soon'], null],
    ['nothing', ['HTTP/1.1 429 X', DATE], null],
    ['a pause with a success', ['HTTP/1.1 200 OK', 'Retry-After: 3'], null],
    [
      'a pause that the last answer does not ask for',
      ['HTTP/1.1 503 X', 'Retry-After: 3', '', 'HTTP/1.1 200 OK'],
      null,
    ],
    ['a pause after a question for the password', ['HTTP/1.1 401 X', '', 'HTTP/1.1 429 X', 'Retry-After: 4'], 4_000],
  ])('reads %s', (_, headers, expected) => {
    expect(readHttpTrace(traced(...headers)).retryAfterMs).toBe(expected);
  });
});
