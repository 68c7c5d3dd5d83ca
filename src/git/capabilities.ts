/** What a remote says it can do, from the packets of its first answers (GIT_TRACE_PACKET). */

import type { ObjectFormat } from './oid.ts';
import { isTraceLine } from './ref-listing.ts';

export interface FetchCapabilities {
  /** Of Git's wire protocol, as answered to a client that asks for 2. */
  protocol: 0 | 1 | 2;
  /** null when the remote does not say, which means sha1. */
  format: ObjectFormat | null;
  /** Answers with the newest commit only, if asked to. */
  shallow: boolean;
  /** Leaves out objects, if asked to: partial clones. */
  filter: boolean;
  agent: string | null;
}

export interface RemoteCapabilities {
  /** null: no such answer came. */
  fetch: FetchCapabilities | null;
  /** The words of the answer to a push, as `report-status`, `delete-refs`, `atomic`; null when there was none. */
  push: ReadonlySet<string> | null;
}

export function parseFetchCapabilities(stderr: string): FetchCapabilities | null {
  const packets = packetsReceived(stderr);
  const version = packets.find((packet) => /^version \d$/.test(packet))?.at(-1);
  if (version === '2') {
    const value = (key: string): string | undefined =>
      packets.find((packet) => packet.startsWith(`${key}=`))?.slice(key.length + 1);
    const fetch = (value('fetch') ?? '').split(' ');
    return {
      protocol: 2,
      format: formatOf(value('object-format')),
      shallow: fetch.includes('shallow'),
      filter: fetch.includes('filter'),
      agent: value('agent') ?? null,
    };
  }
  const words = wordsOfAdvertisement(packets);
  if (!words) return null;
  return {
    protocol: version === '1' ? 1 : 0,
    format: formatOf(valueAmong(words, 'object-format')),
    shallow: words.has('shallow'),
    filter: words.has('filter'),
    agent: valueAmong(words, 'agent') ?? null,
  };
}

export function parsePushCapabilities(stderr: string): ReadonlySet<string> | null {
  return wordsOfAdvertisement(packetsReceived(stderr));
}

/** What our side received; a remote on the same machine writes its own packets into the same trace. */
function packetsReceived(stderr: string): string[] {
  return stderr.split('\n').flatMap((line) => {
    const [, program, packet] = isTraceLine(line) ? (/packet:\s+(\S+)< (.*)$/.exec(line) ?? []) : [];
    return packet === undefined || program === 'upload-pack' || program === 'receive-pack' ? [] : [packet];
  });
}

/** The first ref of a listing carries them behind a zero byte, which the trace writes as `\0`. */
function wordsOfAdvertisement(packets: readonly string[]): ReadonlySet<string> | null {
  const first = packets.find((packet) => /^[0-9a-f]{40,64} \S+\\0/.test(packet));
  return first === undefined ? null : new Set(first.slice(first.indexOf('\\0') + 2).split(' '));
}

function valueAmong(words: ReadonlySet<string>, key: string): string | undefined {
  return [...words].find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
}

function formatOf(text: string | undefined): ObjectFormat | null {
  return text === 'sha1' || text === 'sha256' ? text : null;
}
