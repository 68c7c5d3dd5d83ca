/** The way to the Git host: its name, the proxy, its certificate, and how long a look takes. */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { proxyFor } from '../git/http/proxy.ts';
import type { RemoteAddress } from '../git/remote-address.ts';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

const DAY_MS = 86_400_000;
const EXPIRES_SOON_MS = 14 * DAY_MS;
const LOOKS = 3;
/** A worker that waits longer than this for each look is slow to learn of tasks. */
const SLOW_LOOK_MS = 5_000;
const CONNECT_MS = 10_000;

export async function* checkHost(parts: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const { address } = parts.repository.command;
  const place = placeOf(address);
  if (place === null) {
    yield ok('host', 'the repository is a directory of this machine');
    return;
  }
  const proxy = place.url ? proxyFor(place.url, parts.operatorEnv) : null;
  if (place.url) yield judgeProxy(proxy);
  // Behind a proxy it is the proxy that looks the name up and opens the connection.
  if (proxy === null) {
    const found = await checkName(place.host);
    yield found;
    if (found.outcome === 'ok' && place.url?.protocol === 'https:') {
      yield await checkCertificate(place.host, Number(place.url.port || 443), parts, signal);
    }
  }
  yield await checkLatency(parts, signal);
}

interface Place {
  host: string;
  /** For http remotes. */
  url: URL | null;
}

/** null: there is no host. Pure. */
export function placeOf({ transport, url }: Pick<RemoteAddress, 'transport' | 'url'>): Place | null {
  if (transport === 'file') return null;
  const parsed = URL.parse(url);
  if (parsed !== null && parsed.hostname !== '') {
    return { host: parsed.hostname.replace(/^\[|\]$/g, ''), url: transport === 'http' ? parsed : null };
  }
  const [, host] = /^(?:[^@/]*@)?([^:/]+):/.exec(url) ?? [];
  return host === undefined ? null : { host, url: null };
}

function judgeProxy(proxy: ReturnType<typeof proxyFor>): CheckResult {
  const check = 'proxy';
  if (proxy === null) return ok(check, 'none for this host');
  if (proxy === 'unsupported') {
    const finding = 'of a kind that only the git command can use, so each look starts a process';
    return warning(check, finding, 'set HTTPS_PROXY to an http proxy, or NO_PROXY for this host, if one can be had');
  }
  const url = new URL(Object.values(proxy)[0] ?? '');
  return ok(check, `${url.protocol}//${url.host}`);
}

async function checkName(host: string): Promise<CheckResult> {
  const check = 'host name';
  try {
    const found = await lookup(host, { all: true });
    return ok(
      check,
      `${host} is ${found
        .map(({ address }) => address)
        .slice(0, 4)
        .join(', ')}`,
    );
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return broken(
      check,
      `${host} is not known (${code})`,
      'check DGRID_REPO_URL, and the name servers in /etc/resolv.conf',
    );
  }
}

/** Only until when it is good: whether it is to be trusted shows with the repository, by the rules that git goes by. */
async function checkCertificate(
  host: string,
  port: number,
  { clock }: DoctorParts,
  signal: AbortSignal,
): Promise<CheckResult> {
  const check = 'certificate';
  const socket = connectTls({ host, port, servername: host, rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]) });
    const { valid_to: until } = socket.getPeerCertificate();
    return judgeCertificate(Date.parse(until), clock.wallMs());
  } catch (error) {
    return warning(check, `${host}:${port} cannot be asked for it: ${messageOf(error)}`, 'look at firewalls between');
  } finally {
    socket.destroy();
  }
}

/** Pure. @param untilMs milliseconds since 1970 */
export function judgeCertificate(untilMs: number, nowMs: number): CheckResult {
  const check = 'certificate';
  if (Number.isNaN(untilMs)) return warning(check, 'the host shows none that can be read', null);
  const until = new Date(untilMs).toISOString().slice(0, 10);
  const remedy = 'have it renewed on the host; if the date is wrong here, set the time';
  if (untilMs <= nowMs) return broken(check, `of the host expired on ${until}`, remedy);
  const days = Math.floor((untilMs - nowMs) / DAY_MS);
  if (untilMs - nowMs < EXPIRES_SOON_MS)
    return warning(check, `of the host expires on ${until}, in ${days} days`, remedy);
  return ok(check, `of the host is good until ${until}`);
}

/** As a worker looks: refs of the grid, over a connection that is kept. */
async function checkLatency({ repository, clock }: DoctorParts, signal: AbortSignal): Promise<CheckResult> {
  const tookMs: number[] = [];
  try {
    for (let look = 0; look < LOOKS; look += 1) {
      const beganMs = clock.monotonicMs();
      await repository.listRefs(['refs/dgrid/'], signal);
      tookMs.push(clock.monotonicMs() - beganMs);
    }
  } catch (error) {
    return warning('latency', `a look failed: ${messageOf(error)}`, 'see "repository"');
  }
  return judgeLatency(tookMs);
}

/** Pure. @param tookMs of each look; the first has the connection to make. */
export function judgeLatency(tookMs: readonly number[]): CheckResult {
  const check = 'latency';
  const sorted = tookMs.toSorted((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  const finding = `${Math.round(median)} ms for a look (median of ${tookMs.length}; ${sorted.map(Math.round).join(', ')})`;
  if (median <= SLOW_LOOK_MS) return ok(check, finding);
  return warning(check, finding, 'look at the line and the host, and raise PULL_INTERVAL to spare both');
}
