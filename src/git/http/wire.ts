/**
 * Git's messages over HTTP, written and read: the first answer of a host, listing refs, fetching objects (protocol v2), and
 * pushing (the one exchange that has no v2). Pure.
 *
 * Formats: https://git-scm.com/docs/protocol-v2, https://git-scm.com/docs/pack-protocol
 */
import type { ObjectFormat, Oid, RefName } from '../oid.ts';
import { headBranchOf, isOid, isRefName, refName } from '../oid.ts';
import { verdictOfRemote } from '../push-report.ts';
import type { RefSwap, SwapVerdict } from '../repository.ts';
import { DELIMITER, FLUSH, lineOf, type Packet, ProtocolError, packet, packets, splitBands } from './pkt-line.ts';

const AGENT = 'agent=d-grid';
/** Of what was told before it gave up. */
const MAX_TOLD_CHARACTERS = 500;
const NOT_YET = { sha1: '0'.repeat(40), sha256: '0'.repeat(64) } as const;

export interface HostAbilities {
  format: ObjectFormat;
  /** Answers with the newest commits only, if asked to. */
  shallow: boolean;
  /** Leaves objects out, if asked to. */
  filter: boolean;
  /** Names the branch of an empty repository. */
  unborn: boolean;
}

/** @throws ProtocolError when the host does not speak version 2, or no Git at all. */
export function readAbilities(body: Buffer): HostAbilities {
  const lines: string[] = [];
  for (const found of packets(body)) if (found.kind === 'data') lines.push(lineOf(found.data));
  // Some hosts announce the service first, as in the older versions.
  const from = lines.indexOf('version 2');
  if (from < 0) throw new ProtocolError('the host does not speak version 2 of the protocol');
  const found = new Map(
    lines.slice(from + 1).map((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  const words = (name: string): string[] => (found.get(name) ?? '').split(' ');
  if (!found.has('ls-refs') || !found.has('fetch')) throw new ProtocolError('the host lists or sends nothing');
  const format = found.get('object-format') ?? 'sha1';
  if (format !== 'sha1' && format !== 'sha256') throw new ProtocolError(`the object format ${format} is unknown`);
  return {
    format,
    shallow: words('fetch').includes('shallow'),
    filter: words('fetch').includes('filter'),
    unborn: words('ls-refs').includes('unborn'),
  };
}

export function lsRefsRequest(prefixes: readonly string[], { format, unborn }: HostAbilities): Buffer {
  // Each byte of this travels with each idle poll.
  const asksHead = prefixes.some((prefix) => 'HEAD'.startsWith(prefix) || 'refs/heads/'.startsWith(prefix));
  return Buffer.concat([
    packet('command=ls-refs'),
    ...(format === 'sha1' ? [] : [packet(`object-format=${format}`)]),
    DELIMITER,
    ...(asksHead ? [packet('symrefs'), packet('ref-prefix HEAD')] : []),
    ...(asksHead && unborn ? [packet('unborn')] : []),
    ...prefixes.map((prefix) => packet(`ref-prefix ${prefix}`)),
    FLUSH,
  ]);
}

export interface WireListing {
  refs: Map<RefName, Oid>;
  headBranch: RefName | null;
  /** Refs whose id is all zeros: files that the remote cannot read. */
  broken: RefName[];
}

/** @param prefixes what was asked for: a host may send more. @throws ProtocolError; WireRefusal */
export function readLsRefs(body: Buffer, prefixes: readonly string[]): WireListing {
  const refs = new Map<RefName, Oid>();
  const broken: RefName[] = [];
  let headBranch: RefName | null = null;
  let ended = false;
  for (const found of packets(body)) {
    if (found.kind === 'flush') ended = true;
    if (found.kind !== 'data') continue;
    const line = lineOf(found.data);
    const [id = '', name = '', ...attributes] = line.split(' ');
    if (id === 'ERR') throw new WireRefusal(line.slice(4));
    if (name === 'HEAD') {
      const target = attributes.find((attribute) => attribute.startsWith('symref-target:'));
      if (target) headBranch = headBranchOf(target.slice('symref-target:'.length));
      continue;
    }
    if (!isOid(id) || !isRefName(name) || !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    if (/^0+$/.test(id)) broken.push(name);
    else refs.set(name, id);
  }
  if (!ended) throw new ProtocolError('the listing breaks off');
  return { refs, headBranch, broken };
}

export interface FetchWish {
  wants: readonly Oid[];
  /** A commit that is here already, without its parents: the answer may build on it. */
  have: Oid | null;
  /** Commits come without their parents. */
  shallow: boolean;
  /** Leave out files, but for those that are wanted by name. */
  withoutBlobs: boolean;
}

export function fetchRequest(wish: FetchWish, { format, shallow, filter }: HostAbilities): Buffer {
  const { wants, have, withoutBlobs } = wish;
  return Buffer.concat([
    packet('command=fetch\n'),
    packet(`${AGENT}\n`),
    packet(`object-format=${format}\n`),
    DELIMITER,
    packet('thin-pack\n'),
    packet('no-progress\n'),
    packet('ofs-delta\n'),
    ...(shallow && wish.shallow ? [...(have ? [packet(`shallow ${have}\n`)] : []), packet('deepen 1\n')] : []),
    ...(withoutBlobs && filter ? [packet('filter blob:none\n')] : []),
    ...wants.map((want) => packet(`want ${want}\n`)),
    ...(have ? [packet(`have ${have}\n`)] : []),
    packet('done\n'),
    FLUSH,
  ]);
}

/** What the other side says when it will not: the whole exchange is over. */
export class WireRefusal extends Error {
  override readonly name = 'WireRefusal';
}

/** @param body holds the pack afterwards, and nothing else. @returns the pack. @throws ProtocolError; WireRefusal */
export function readFetch(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  let section = '';
  for (const found of packets(body)) {
    if (found.kind === 'delimiter') section = '';
    if (found.kind !== 'data') continue;
    if (section === 'packfile') {
      parts.push(found.data);
      continue;
    }
    const line = lineOf(found.data);
    if (line.startsWith('ERR ')) throw new WireRefusal(line.slice(4));
    if (section === '') section = line;
  }
  if (section !== 'packfile') throw new ProtocolError('an answer without a pack');
  const { data, fatal, progress } = splitBands(parts, body);
  // Which object it is about stands in what it told while it worked.
  if (fatal !== null) throw new WireRefusal([fatal, progress.slice(-MAX_TOLD_CHARACTERS)].map(wordsOf).join('; '));
  return data;
}

function wordsOf(text: string): string {
  return text.replaceAll('\0', '').trim();
}

/** @param pack empty when nothing but deletions is asked for. */
export function pushRequest(swaps: readonly RefSwap[], pack: Buffer, format: ObjectFormat): Buffer {
  const zero = NOT_YET[format];
  const abilities = `report-status side-band-64k object-format=${format} ${AGENT}`;
  const commands = swaps.map(({ ref, from, to }, index) =>
    packet(`${from ?? zero} ${to ?? zero} ${ref}${index === 0 ? `\0${abilities}` : ''}`),
  );
  return Buffer.concat([...commands, FLUSH, pack]);
}

export interface PushAnswer {
  verdicts: Map<RefName, SwapVerdict>;
  /** `ok`, or why the objects could not be taken: then nothing has moved. */
  unpacked: string;
  /** What the other side wrote to standard error. */
  said: string;
}

/** @throws ProtocolError when it is no report. */
export function readPushAnswer(body: Buffer): PushAnswer {
  const bands = splitBands(dataOf(packets(body)));
  const verdicts = new Map<RefName, SwapVerdict>();
  let unpacked: string | null = null;
  for (const found of packets(bands.data)) {
    if (found.kind !== 'data') continue;
    const line = lineOf(found.data);
    const [word = '', name = ''] = line.split(' ', 2);
    if (word === 'unpack') unpacked = line.slice('unpack '.length);
    else if (word === 'ok') verdicts.set(refName(name), { kind: 'applied' });
    else if (word === 'ng') verdicts.set(refName(name), verdictOfRemote(line.slice(`ng ${name} `.length)));
  }
  const said = `${bands.progress}${bands.fatal ?? ''}`.trim();
  if (unpacked === null)
    throw new ProtocolError(`no report of the push${said === '' ? '' : `: ${said.slice(0, 500)}`}`);
  return { verdicts, unpacked, said };
}

function* dataOf(all: Iterable<Packet>): Generator<Buffer> {
  for (const found of all) if (found.kind === 'data') yield found.data;
}
