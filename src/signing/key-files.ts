/**
 * The files that say whose signatures count: trusted keys in OpenSSH's allowed-signers format (ssh-keygen(1)), revoked
 * keys as public keys, one a line. Pure: texts in, texts and problems out.
 */
import { RESULT_SIGNATURE_NAMESPACE, TASK_SIGNATURE_NAMESPACE } from './names.ts';

export type KeyPurpose = 'tasks' | 'results';

const NAMESPACE_OF: Readonly<Record<KeyPurpose, string>> = {
  tasks: TASK_SIGNATURE_NAMESPACE,
  results: RESULT_SIGNATURE_NAMESPACE,
};

export interface TrustedKey {
  /** Of the file, from 1. */
  line: number;
  principals: string;
  options: string;
  keyType: string;
  keyData: string;
  comment: string;
}

const KEY_TYPE = /^(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+$/;
/** A name of a person or a node; no pattern, so that a record says who it was. */
const PRINCIPAL = /^[A-Za-z0-9_@.+][A-Za-z0-9._@+-]{0,99}$/;

/** @returns null when the text is no public key, such as `id_ed25519.pub` holds. */
export function parsePublicKey(text: string): { keyType: string; keyData: string; comment: string } | null {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const [keyType = '', keyData = '', ...comment] = (lines[0] ?? '').trim().split(/\s+/);
  const isKey = lines.length === 1 && KEY_TYPE.test(keyType) && /^[A-Za-z0-9+/]{40,}={0,2}$/.test(keyData);
  return isKey ? { keyType, keyData, comment: comment.join(' ') } : null;
}

/** What is wrong with a principal; null: nothing. */
export function problemWithPrincipal(name: string): string | null {
  return PRINCIPAL.test(name)
    ? null
    : 'must be a name of 1 to 100 letters, figures and ". _ @ + -", such as alice@example.com or a node’s id';
}

/** One line of the file of trusted keys. @param from, until Wall clock; null: no bound. */
export function trustedLine(
  principal: string,
  key: { keyType: string; keyData: string; comment: string },
  options: { purpose: KeyPurpose; fromMs: number | null; untilMs: number | null },
): string {
  const { purpose, fromMs, untilMs } = options;
  // A key that signs results must not be able to sign tasks: each line says for what it is.
  const rules = [`namespaces="${NAMESPACE_OF[purpose]}"`];
  if (fromMs !== null) rules.push(`valid-after="${opensshTime(fromMs)}"`);
  if (untilMs !== null) rules.push(`valid-before="${opensshTime(untilMs)}"`);
  return `${principal} ${rules.join(',')} ${key.keyType} ${key.keyData}${key.comment ? ` ${key.comment}` : ''}`;
}

/** YYYYMMDDHHMMSSZ */
function opensshTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replaceAll(/[-T:]/g, '')}Z`;
}

/** Lines that are no entry are named, not guessed at. */
export function readTrustedKeys(text: string): { keys: TrustedKey[]; problems: { line: number; problem: string }[] } {
  const keys: TrustedKey[] = [];
  const problems: { line: number; problem: string }[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    // Options may have blanks inside their quotation marks.
    const fields = line.match(/(?:"[^"]*"|\S)+/g) ?? [];
    const at = fields.findIndex((field, place) => place > 0 && KEY_TYPE.test(field));
    const keyData = fields[at + 1];
    if (at < 1 || at > 2 || keyData === undefined) {
      problems.push({ line: index + 1, problem: 'is not: names, options if any, type of key, key' });
      continue;
    }
    const [principals = ''] = fields;
    const options = at === 2 ? (fields[1] ?? '') : '';
    const keyType = fields[at] ?? '';
    keys.push({ line: index + 1, principals, options, keyType, keyData, comment: fields.slice(at + 2).join(' ') });
  }
  return { keys, problems };
}

/** The text with a line more, whatever its last line looked like. */
export function withLine(text: string, line: string): string {
  return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}${line}\n`;
}
