/** What the server says it can do, judged. Pure. */
import type { RemoteCapabilities } from '../git/capabilities.ts';
import { broken, type CheckResult, ok, warning } from './check.ts';

const SERVER_PAGE = 'see docs/git-server.md';

export function* judgeCapabilities(
  { fetch, push }: RemoteCapabilities,
  settings: { useShallowClone: boolean },
): Generator<CheckResult> {
  if (!fetch) {
    yield warning(
      'protocol',
      'the server did not say what it can do',
      'is there a proxy in between that changes answers?',
    );
  } else {
    const server = fetch.agent ? `, ${fetch.agent}` : '';
    yield fetch.protocol === 2
      ? ok('protocol', `version 2${server}`)
      : warning(
          'protocol',
          `version ${fetch.protocol}${server}: each fetch begins with a list of all refs`,
          `let the server be told GIT_PROTOCOL, ${SERVER_PAGE}`,
        );
    yield ok('object format', fetch.format ?? 'sha1 (the server does not say)');
    yield fetch.shallow
      ? ok('shallow clones', 'offered')
      : warning(
          'shallow clones',
          settings.useShallowClone ? 'not offered: fetching the newest commit only fails' : 'not offered',
          'set USE_SHALLOW_CLONE=false',
        );
    yield ok('partial clones', fetch.filter ? 'offered' : 'not offered; workers do without (uploadpack.allowFilter)');
  }
  if (!push) {
    yield broken(
      'pushes',
      'the server does not answer a push',
      'let this account push, over HTTP with http.receivepack or by logging in',
    );
    return;
  }
  const lacks = ['report-status', 'delete-refs'].filter((word) => !push.has(word) && !push.has(`${word}-v2`));
  const atomic = push.has('atomic')
    ? 'also atomic ones, which nothing here needs'
    : 'not atomic ones, which nothing here needs';
  if (lacks.length === 0) yield ok('pushes', `answered ref by ref, ${atomic}`);
  else
    yield broken(
      'pushes',
      `the server does not offer ${lacks.join(' and ')}`,
      'use a server that has both, as the one of Git itself',
    );
}
