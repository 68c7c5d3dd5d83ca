/**
 * Whether whoever calls the webhook knows its secret, in the ways of the common Git hosts. Pure.
 *
 * | header | sent by | holds |
 * | --- | --- | --- |
 * | `X-Hub-Signature-256` | GitHub, Gitea, Forgejo | `sha256=` and the HMAC-SHA256 of the body, hexadecimal |
 * | `X-Gitea-Signature`, `X-Forgejo-Signature` | Gitea, Forgejo | that HMAC alone |
 * | `webhook-signature` | GitLab, with a signing token | Standard Webhooks: `v1,` and the HMAC-SHA256 of id, time and body, base64 |
 * | `X-Gitlab-Token` | GitLab, with a secret token | the secret itself |
 *
 * One right proof is enough: each of them needs the secret. Comparing takes the same time wherever a guess goes wrong.
 * The time in Standard Webhooks is not compared with a clock of ours. A call that is sent again later can do no more than
 * the first: make the worker look.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

const HEX_DIGEST = /^[0-9a-f]{64}$/i;
const BASE64_DIGEST = /^[0-9A-Za-z+/]{43}=$/;
const HUB_PREFIX = 'sha256=';
const STANDARD_PREFIX = 'v1,';
/** Of a secret that is base64: the key is what it stands for. */
const STANDARD_SECRET_PREFIX = 'whsec_';
/** While a secret is being replaced, a sender signs with both. */
const MAX_SIGNATURES = 8;

/** Whether there is anything to check. Known before the body is read: whoever has nothing to show need not send one. */
export function hasProof(headers: IncomingHttpHeaders): boolean {
  return digestsOf(headers).length > 0 || standardDigests(headers).length > 0 || tokenOf(headers) !== null;
}

/** @param body exactly as it was received. */
export function isProven(headers: IncomingHttpHeaders, body: Buffer, secret: string): boolean {
  const token = tokenOf(headers);
  // Hashed first, since only texts of one length can be compared in constant time.
  if (token !== null && timingSafeEqual(sha256(token), sha256(secret))) return true;
  const digest = createHmac('sha256', secret).update(body).digest();
  if (digestsOf(headers).some((shown) => timingSafeEqual(shown, digest))) return true;
  const shown = standardDigests(headers);
  if (shown.length === 0 || !secret.startsWith(STANDARD_SECRET_PREFIX)) return false;
  const key = Buffer.from(secret.slice(STANDARD_SECRET_PREFIX.length), 'base64');
  const standard = createHmac('sha256', key)
    .update(`${header(headers, 'webhook-id')}.${header(headers, 'webhook-timestamp')}.`)
    .update(body)
    .digest();
  return key.length > 0 && shown.some((one) => timingSafeEqual(one, standard));
}

function digestsOf(headers: IncomingHttpHeaders): Buffer[] {
  const hub = header(headers, 'x-hub-signature-256');
  return [
    hub.startsWith(HUB_PREFIX) ? hub.slice(HUB_PREFIX.length) : '',
    header(headers, 'x-gitea-signature'),
    header(headers, 'x-forgejo-signature'),
  ]
    .filter((text) => HEX_DIGEST.test(text))
    .map((text) => Buffer.from(text, 'hex'));
}

function standardDigests(headers: IncomingHttpHeaders): Buffer[] {
  return header(headers, 'webhook-signature')
    .split(' ', MAX_SIGNATURES)
    .filter((text) => text.startsWith(STANDARD_PREFIX))
    .map((text) => text.slice(STANDARD_PREFIX.length))
    .filter((text) => BASE64_DIGEST.test(text))
    .map((text) => Buffer.from(text, 'base64'));
}

function tokenOf(headers: IncomingHttpHeaders): string | null {
  return header(headers, 'x-gitlab-token') || null;
}

/** A header that was sent twice is none: which of the two counts is not ours to say. */
function header(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  return typeof value === 'string' ? value.trim() : '';
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
