/**
 * Which tasks may have which of the operator's secrets. Pure; what is not said is not allowed.
 *
 *     { "secrets": { "npm-token": { "signers": ["*@ci.example.org"], "labels": ["builds"] } } }
 *
 * `signers`: who signed the task, by names and patterns. `labels`: the task requires one of these labels. Where both are
 * there, both must hold.
 */
import { z } from 'zod';
import { parseStrictJson } from '../task/strict-json.ts';
import { SECRET_NAME } from './secret.ts';

export interface SecretRule {
  /** null: no matter who signed it, or whether anybody did. */
  signers: readonly string[] | null;
  /** null: no matter what it requires. */
  labels: readonly string[] | null;
}

export type SecretsPolicy = ReadonlyMap<string, SecretRule>;

/** What of a task decides. */
export interface Asker {
  /** Who signed the task; null: nobody, as far as is known. */
  signer: string | null;
  requires: readonly string[];
}

/** For the operator's log. */
export type Refusal =
  | 'not in the policy'
  | 'not for this signer'
  | 'not for an unsigned task'
  | 'requires no label of it';

export const MAX_POLICY_BYTES = 256 * 1024;
const MAX_DEPTH = 8;
const MAX_SECRETS = 1_000;
const MAX_ENTRIES = 100;
const MAX_ENTRY_LENGTH = 256;
const MAX_PROBLEMS = 20;

const entry = z
  .string({ error: 'must be a text' })
  .min(1, { error: 'must not be empty' })
  .max(MAX_ENTRY_LENGTH, { error: `must have at most ${MAX_ENTRY_LENGTH} characters` });
const entries = z
  .array(entry, { error: 'must be an array of texts' })
  .min(1, { error: 'must name at least one; leave it out where it should not matter' })
  .max(MAX_ENTRIES, { error: `must name at most ${MAX_ENTRIES}` });

const policySchema = z.strictObject(
  {
    secrets: z
      .record(
        z
          .string()
          .regex(SECRET_NAME, { error: 'must be 1 to 63 letters, figures and ". _ -", as the name of its file' }),
        z
          .strictObject(
            { signers: entries.optional(), labels: entries.optional() },
            { error: 'must be an object with signers, labels or both' },
          )
          .refine((rule) => rule.signers !== undefined || rule.labels !== undefined, {
            error: 'must have signers, labels or both: as it is, it says nothing about who may have it',
          }),
        { error: 'must be an object: a name of a secret, and who may have it' },
      )
      .refine((secrets) => Object.keys(secrets).length <= MAX_SECRETS, {
        error: `must name at most ${MAX_SECRETS}`,
      }),
  },
  { error: 'must be a JSON object with "secrets" in it' },
);

/** Never throws; a problem is one line that names the field and what it must be. */
export function parseSecretsPolicy(
  bytes: Uint8Array,
): { ok: true; policy: SecretsPolicy } | { ok: false; problems: string[] } {
  const json = parseStrictJson(bytes, { maxBytes: MAX_POLICY_BYTES, maxDepth: MAX_DEPTH });
  if (!json.ok) return { ok: false, problems: json.problems };
  const parsed = policySchema.safeParse(json.value);
  if (!parsed.success) {
    return { ok: false, problems: parsed.error.issues.flatMap(problemsOf).slice(0, MAX_PROBLEMS) };
  }
  const rules = Object.entries(parsed.data.secrets).map(
    ([name, { signers, labels }]) => [name, { signers: signers ?? null, labels: labels ?? null }] as const,
  );
  return { ok: true, policy: new Map(rules) };
}

/** @returns null when the task may have it */
export function refusalOf(policy: SecretsPolicy, name: string, { signer, requires }: Asker): Refusal | null {
  const rule = policy.get(name);
  if (rule === undefined || (rule.signers === null && rule.labels === null)) return 'not in the policy';
  if (rule.signers !== null) {
    if (signer === null) return 'not for an unsigned task';
    if (!rule.signers.some((pattern) => matches(pattern, signer))) return 'not for this signer';
  }
  if (rule.labels !== null && !rule.labels.some((label) => requires.includes(label))) return 'requires no label of it';
  return null;
}

/** `*` stands for any characters, everything else for itself. */
function matches(pattern: string, signer: string): boolean {
  const literally = (part: string) => part.replace(/[^A-Za-z0-9]/gu, (character) => `\\u{${codeOf(character)}}`);
  return new RegExp(`^${pattern.split(/\*+/).map(literally).join('.*')}$`, 'su').test(signer);
}

function codeOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}

function problemsOf(issue: z.core.$ZodIssue): string[] {
  const where = issue.path.length === 0 ? 'the file' : issue.path.map(String).join(', ');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${where}: ${JSON.stringify(key)} is not known here; remove it`);
  }
  const text = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return [`${where} ${text}`];
}
