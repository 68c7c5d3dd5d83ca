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

/** For names the code builds itself from checked parts. */
export function refName(text: string): RefName {
  return text as RefName;
}
