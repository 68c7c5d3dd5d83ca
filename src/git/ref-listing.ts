/** What `git ls-remote --symref` prints, taken apart; and what its packet trace tells beyond that. */
import { headBranchOf, isOid, isRefName, type ObjectFormat, type Oid, type RefName } from './oid.ts';
import type { RefListing } from './repository.ts';

export interface ParsedListing extends RefListing {
  /** From the length of an id; null when there is none. */
  format: ObjectFormat | null;
  /** Refs under the prefixes whose id is all zeros: files that the remote cannot read. */
  broken: RefName[];
}

/** Lines that are not of the expected shape are left out: warnings of a server, for instance. */
export function parseListing(output: string, prefixes: readonly string[]): ParsedListing {
  const refs = new Map<RefName, Oid>();
  const broken: RefName[] = [];
  let headBranch: RefName | null = null;
  let format: ObjectFormat | null = null;
  for (const line of output.split('\n')) {
    const tab = line.indexOf('\t');
    if (tab < 0) continue;
    const value = line.slice(0, tab);
    const name = line.slice(tab + 1);
    if (value.startsWith('ref: ')) {
      if (name === 'HEAD') headBranch = headBranchOf(value.slice(5));
      continue;
    }
    if (!isOid(value)) continue;
    format = value.length === 40 ? 'sha1' : 'sha256';
    // `^{}` is what a tag points to, not a ref.
    if (!isRefName(name) || !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    if (/^0+$/.test(value)) broken.push(name);
    else refs.set(name, value);
  }
  return { refs, headBranch, format, broken };
}

export interface TraceFacts {
  /** False when no packet came: whoever answered does not speak Git's protocol. */
  spoken: boolean;
  format: ObjectFormat | null;
  /** The branch that HEAD of an empty repository names. */
  unbornHead: RefName | null;
}

const TRACE_LINE = /^\d\d:\d\d:\d\d\.\d+ \S+:\d+\s+packet: /;

export function isTraceLine(line: string): boolean {
  return TRACE_LINE.test(line);
}

/** Reads the lines that GIT_TRACE_PACKET adds to standard error. */
export function parseTrace(stderr: string): TraceFacts {
  const facts: TraceFacts = { spoken: false, format: null, unbornHead: null };
  for (const line of stderr.split('\n')) {
    const packet = isTraceLine(line) ? /\s\S+< (.*)$/.exec(line)?.[1] : undefined;
    if (packet === undefined) continue;
    if (/^version \d|^# service=git-upload-pack|\bagent=git\b|\bmulti_ack\b|object-format=/.test(packet))
      facts.spoken = true;
    const format = /\bobject-format=(sha1|sha256)\b/.exec(packet)?.[1];
    if (format) facts.format = format as ObjectFormat;
    const unborn = /^unborn HEAD symref-target:(refs\/\S+)/.exec(packet)?.[1];
    if (unborn) facts.unbornHead = headBranchOf(unborn);
  }
  return facts;
}
