import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from 'vitest';
import { hasProof, isProven } from '../../../../src/observe/http/hook-proof.ts';

/** From GitHub's documentation, "Validating webhook deliveries". */
const GITHUB = {
  secret: "It's a Secret to Everybody",
  body: 'Hello, World!',
  digest: '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
};
/** The reference vector of Standard Webhooks. */
const STANDARD = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  body: '{"test": 2432232314}',
  headers: {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  },
};

function proven(headers: IncomingHttpHeaders, body = GITHUB.body, secret = GITHUB.secret): boolean {
  const found = isProven(headers, Buffer.from(body), secret);
  if (found) expect(hasProof(headers)).toBe(true);
  return found;
}

describe('a webhook call is believed', () => {
  it('with the signature of GitHub', () => {
    expect(proven({ 'x-hub-signature-256': `sha256=${GITHUB.digest}` })).toBe(true);
    expect(proven({ 'x-hub-signature-256': `sha256=${GITHUB.digest.toUpperCase()}` })).toBe(true);
  });

  it('with the signatures of Gitea and Forgejo', () => {
    expect(proven({ 'x-gitea-signature': GITHUB.digest })).toBe(true);
    expect(proven({ 'x-forgejo-signature': GITHUB.digest })).toBe(true);
  });

  it('with the token of GitLab', () => {
    expect(proven({ 'x-gitlab-token': GITHUB.secret })).toBe(true);
    expect(proven({ 'x-gitlab-token': `${GITHUB.secret}!` })).toBe(false);
  });

  it('with a signature by Standard Webhooks, also as one of several', () => {
    const { headers, body, secret } = STANDARD;
    expect(proven(headers, body, secret)).toBe(true);
    const other = `v1,${createHmac('sha256', 'old').update('x').digest('base64')}`;
    const several = { ...headers, 'webhook-signature': `${other} ${headers['webhook-signature']}` };
    expect(proven(several, body, secret)).toBe(true);
  });

  it('with one right proof among wrong ones', () => {
    const wrong = '0'.repeat(64);
    expect(proven({ 'x-hub-signature-256': `sha256=${wrong}`, 'x-gitea-signature': GITHUB.digest })).toBe(true);
  });
});

describe('a webhook call is not believed', () => {
  const sign = (secret: string, body: string): string => createHmac('sha256', secret).update(body).digest('hex');

  it.each<[string, IncomingHttpHeaders]>([
    ['without any', {}],
    ['with an empty one', { 'x-hub-signature-256': '', 'x-gitlab-token': '', 'webhook-signature': '' }],
    ['of another body', { 'x-hub-signature-256': `sha256=${sign(GITHUB.secret, 'Hello, world!')}` }],
    ['by another secret', { 'x-hub-signature-256': `sha256=${sign('another secret', GITHUB.body)}` }],
    ['cut short', { 'x-hub-signature-256': `sha256=${GITHUB.digest.slice(2)}` }],
    ['made longer', { 'x-hub-signature-256': `sha256=${GITHUB.digest}00` }],
    ['without its prefix', { 'x-hub-signature-256': GITHUB.digest }],
    ['with a prefix that does not belong there', { 'x-gitea-signature': `sha256=${GITHUB.digest}` }],
    ['of the older kind', { 'x-hub-signature': `sha1=${GITHUB.digest}` }],
    ['sent twice', { 'x-hub-signature-256': `sha256=${GITHUB.digest}, sha256=${GITHUB.digest}` }],
    ['in the place of the token', { 'x-gitlab-token': GITHUB.digest }],
    ['with the token in the place of a signature', { 'x-hub-signature-256': `sha256=${GITHUB.secret}` }],
  ])('%s', (_what, headers) => expect(proven(headers)).toBe(false));

  it('by Standard Webhooks with another id, time, body, version or kind of secret', () => {
    const { headers, body, secret } = STANDARD;
    expect(proven({ ...headers, 'webhook-id': 'msg_other' }, body, secret)).toBe(false);
    expect(proven({ ...headers, 'webhook-timestamp': '1614265331' }, body, secret)).toBe(false);
    expect(proven(headers, `${body} `, secret)).toBe(false);
    const v2 = headers['webhook-signature'].replace('v1', 'v2');
    expect(proven({ ...headers, 'webhook-signature': v2 }, body, secret)).toBe(false);
    expect(proven(headers, body, secret.slice('whsec_'.length))).toBe(false);
    // Nothing to decode: everybody knows the empty key.
    const empty = createHmac('sha256', '').update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
    const forged = { ...headers, 'webhook-signature': `v1,${empty.digest('base64')}` };
    expect(proven(forged, body, 'whsec_')).toBe(false);
  });

  it('and its body is not even read when it shows nothing that could be right', () => {
    expect(hasProof({ 'x-hub-signature-256': 'sha256=nonsense', 'webhook-signature': 'v1,short' })).toBe(false);
    expect(hasProof({ 'x-gitlab-token': 'guess' })).toBe(true);
  });
});
