/** Names of Git objects and refs. */
export type Oid = string & { readonly __oid: unique symbol };
export type RefName = string & { readonly __ref: unique symbol };

export type ObjectFormat = 'sha1' | 'sha256';

const OID_PATTERN = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

export function isOid(text: string): text is Oid {
  return OID_PATTERN.test(text);
}

/** @throws RangeError when `text` is no full object id. */
export function oid(text: string): Oid {
  if (!isOid(text)) throw new RangeError(`not an object id: ${JSON.stringify(text)}`);
  return text;
}

/** What `git check-ref-format` refuses, and what ends a line or is more than one in what git reads. */
// oxlint-disable-next-line no-control-regex -- they are what is refused
const NO_REF_NAME = /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.$|\/$|\.lock(?:\/|$)/;

/** Whether a name that a remote tells may be one: below `refs/`, and nothing in it means anything else to git. */
export function isRefName(text: string): text is RefName {
  return text.startsWith('refs/') && !NO_REF_NAME.test(text);
}

/** The branch that a remote says its HEAD names; null for what is none. */
export function headBranchOf(target: string): RefName | null {
  return target.startsWith('refs/heads/') && isRefName(target) ? target : null;
}

/** For names the code builds itself from checked parts. */
export function refName(text: string): RefName {
  return text as RefName;
}
