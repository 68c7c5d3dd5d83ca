/** What a webhook call is about, as far as that can be told. Pure. */
import type { IncomingHttpHeaders } from 'node:http';

export interface PushedRef {
  /** The full name of the ref that was pushed to; null when the call does not say. */
  ref: string | null;
  /** The commit that it holds now; null likewise. */
  after: string | null;
}

export type HookMessage = { kind: 'ping' } | { kind: 'other' } | ({ kind: 'push' } & PushedRef);

const EVENT_HEADERS = ['x-github-event', 'x-gitea-event', 'x-forgejo-event', 'x-gogs-event', 'x-gitlab-event'];
export const FORM_TYPE = 'application/x-www-form-urlencoded';
const UNKNOWN: PushedRef = { ref: null, after: null };

/**
 * What cannot be understood counts as a push: a look too many costs less than one that is missing. Only a call that was
 * proven comes here.
 */
export function readHook(headers: IncomingHttpHeaders, body: Buffer): HookMessage {
  const events = EVENT_HEADERS.flatMap((name) => {
    const value = headers[name];
    return typeof value === 'string' ? [value.toLowerCase()] : [];
  });
  if (events.includes('ping')) return { kind: 'ping' };
  // GitLab says "Push Hook", and "System Hook" for whatever an instance tells.
  const mayBePush = events.length === 0 || events.some((event) => event.includes('push') || event === 'system hook');
  return mayBePush ? { kind: 'push', ...pushedRef(headers, body) } : { kind: 'other' };
}

function pushedRef(headers: IncomingHttpHeaders, body: Buffer): PushedRef {
  const text = body.toString('utf8');
  const isForm = headers['content-type']?.toLowerCase().startsWith(FORM_TYPE) === true;
  try {
    const payload: unknown = JSON.parse(isForm ? (new URLSearchParams(text).get('payload') ?? '') : text);
    if (typeof payload !== 'object' || payload === null) return UNKNOWN;
    const { ref, after } = payload as Record<string, unknown>;
    return { ref: typeof ref === 'string' ? ref : null, after: typeof after === 'string' ? after : null };
  } catch {
    return UNKNOWN;
  }
}
