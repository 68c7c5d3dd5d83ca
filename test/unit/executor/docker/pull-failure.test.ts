import { describe, expect, it } from 'vitest';
import { parseImageName } from '../../../../src/executor/docker/image-name.ts';
import { judgePull, RETRYABLE_PULLS } from '../../../../src/executor/docker/pull-failure.ts';

function judge(words: string, image = 'r.example/acme/tool:1') {
  const name = parseImageName(image);
  if (name === null) throw new Error('no image name');
  return judgePull(words, name);
}

describe('judgePull', () => {
  it.each([
    ['Head "http://127.0.0.1:5/v2/acme/tool/manifests/1": no basic auth credentials', 'denied'],
    ['unauthorized: authentication required', 'denied'],
    ["pull access denied for acme/tool, repository does not exist or may require 'docker login'", 'denied'],
    ['manifest for r.example/acme/tool:1 not found: manifest unknown: manifest unknown', 'missing'],
    ['no matching manifest for linux/arm64 in the manifest list entries', 'missing'],
    ['received unexpected HTTP status: 503 Service Unavailable', 'transient'],
    ['toomanyrequests: You have reached your pull rate limit. You may increase it by authenticating', 'transient'],
    ['Get "https://r.example/v2/": dial tcp 10.0.0.1:443: connect: connection refused', 'transient'],
    ['Get "https://r.example/v2/": net/http: TLS handshake timeout', 'transient'],
    ['Get "https://r.example/v2/": dial tcp: lookup r.example on 10.0.0.2:53: no such host', 'transient'],
    ['unexpected EOF', 'transient'],
    ['Get "https://r.example/v2/": x509: certificate signed by unknown authority', 'other'],
    ['filesystem layer verification failed for digest sha256:00', 'other'],
  ])('takes %j for %s', (words, expected) => {
    expect(judge(words)).toBe(expected);
  });

  it('is not misled by what an image is called', () => {
    const image = 'r.example/denied/timeout-eof:1';
    expect(judge('manifest for r.example/denied/timeout-eof:1 not found', image)).toBe('missing');
    expect(judge('Head "/v2/denied/timeout-eof/manifests/1": received unexpected HTTP status: 502', image)).toBe(
      'transient',
    );
  });

  it('lets only what may pass be tried again', () => {
    expect(Object.entries(RETRYABLE_PULLS).filter(([, again]) => again)).toEqual([
      ['transient', true],
      ['stalled', true],
    ]);
  });
});
