/** The operator's secrets for tasks: whether the store and the policy can be used, and whether they fit each other. */
import { readdir } from 'node:fs/promises';
import type { SecretsPolicy } from '../secrets/policy.ts';
import { readPolicy } from '../secrets/store.ts';
import { problemsOfPolicy, problemsOfStore } from '../secrets/store-check.ts';
import { broken, type CheckResult, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

const SHOWN = 5;

export async function* checkSecrets({ settings }: DoctorParts): AsyncGenerator<CheckResult> {
  const { secretsDir, secretsPolicyFile } = settings;
  if (secretsDir === null && secretsPolicyFile === null) {
    yield ok('secrets', 'tasks are given none here (SECRETS_DIR, SECRETS_POLICY_FILE)');
    return;
  }
  let names: string[] | null = [];
  if (secretsDir !== null) {
    const problems = problemsOfStore(secretsDir);
    if (problems.length > 0) {
      names = null;
      yield broken('secrets', problems.slice(0, SHOWN).join('; '), 'mend SECRETS_DIR, see docs/secrets.md');
    } else names = (await readdir(secretsDir)).filter((name) => !name.startsWith('.'));
  }
  let policy: SecretsPolicy | null = new Map();
  if (secretsPolicyFile !== null) {
    const problems = problemsOfPolicy(secretsPolicyFile);
    if (problems.length > 0) {
      policy = null;
      yield broken(
        'secrets policy',
        problems.slice(0, SHOWN).join('; '),
        'mend SECRETS_POLICY_FILE, see docs/secrets.md',
      );
    } else policy = await readPolicy(secretsPolicyFile);
  }
  if (names !== null && policy !== null) yield judgeSecrets(names, policy, settings);
}

/** Names only; nothing here ever reads a secret. Pure. */
export function judgeSecrets(
  names: readonly string[],
  policy: SecretsPolicy,
  {
    secretsDir,
    secretsPolicyFile,
    signing,
  }: Pick<DoctorParts['settings'], 'secretsDir' | 'secretsPolicyFile' | 'signing'>,
): CheckResult {
  const check = 'secrets';
  const finding = `${names.length} in the store, ${policy.size} in the policy`;
  if (secretsPolicyFile === null) return warning(check, `${finding}: nobody gets any`, 'set SECRETS_POLICY_FILE');
  if (secretsDir === null) return warning(check, `${finding}: there are none to give`, 'set SECRETS_DIR');
  const missing = [...policy.keys()].filter((name) => !names.includes(name));
  if (missing.length > 0) {
    const remedy = 'put them into SECRETS_DIR, or take them out of the policy';
    return warning(check, `${finding}; the store lacks ${missing.slice(0, SHOWN).join(', ')}`, remedy);
  }
  const bySigner = [...policy].filter(([, { signers }]) => signers !== null).map(([name]) => name);
  if (bySigner.length > 0 && signing.trustedKeysFile === null) {
    const remedy = 'set TRUSTED_KEYS_FILE: without it no task counts as signed';
    return warning(
      check,
      `${finding}; nobody gets ${bySigner.slice(0, SHOWN).join(', ')}, which need a signer`,
      remedy,
    );
  }
  return ok(check, finding);
}
