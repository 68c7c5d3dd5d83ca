import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from 'vitest';
import { readHook } from '../../../../src/observe/http/hook-message.ts';

const AFTER = 'a'.repeat(40);
const payload = JSON.stringify({ ref: 'refs/heads/main', before: 'b'.repeat(40), after: AFTER, commits: [] });
const push = { kind: 'push', ref: 'refs/heads/main', after: AFTER };
const unknown = { kind: 'push', ref: null, after: null };

function read(headers: IncomingHttpHeaders, body = payload): unknown {
  return readHook({ 'content-type': 'application/json', ...headers }, Buffer.from(body));
}

describe('a webhook call', () => {
  it('is a push by the name that each host gives it', () => {
    expect(read({ 'x-github-event': 'push' })).toEqual(push);
    // Gitea names the event for others as well.
    expect(read({ 'x-gitea-event': 'push', 'x-gogs-event': 'push', 'x-github-event': 'push' })).toEqual(push);
    expect(read({ 'x-forgejo-event': 'push' })).toEqual(push);
    expect(read({ 'x-gitlab-event': 'Push Hook' })).toEqual(push);
    expect(read({ 'x-gitlab-event': 'System Hook' })).toEqual(push);
    expect(read({})).toEqual(push);
  });

  it('may come as a form', () => {
    const form = new URLSearchParams({ payload }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8', 'x-github-event': 'push' };
    expect(read(headers, form)).toEqual(push);
    expect(read(headers, 'payload=%7B')).toEqual(unknown);
  });

  it('is a ping, or about something else', () => {
    expect(read({ 'x-github-event': 'ping' })).toEqual({ kind: 'ping' });
    expect(read({ 'x-github-event': 'issues' })).toEqual({ kind: 'other' });
    expect(read({ 'x-gitlab-event': 'Note Hook' })).toEqual({ kind: 'other' });
  });

  it.each(['', '{', 'null', '7', '[]', '{"ref":7,"after":{}}'])('counts as a push when it says only %j', (body) =>
    expect(read({ 'x-github-event': 'push' }, body)).toEqual(unknown),
  );
});
