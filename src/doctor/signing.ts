/**
 * Signatures: does ssh-keygen do all that is asked of it, can the files of keys be used, does the node's key work? A worker
 * finds out with its first task; here everything is tried once, by the same calls.
 */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SigningSettings } from '../config/settings.ts';
import { parsePublicKey, readTrustedKeys, trustedLine } from '../signing/key-files.ts';
import { RESULT_SIGNATURE_NAMESPACE, TASK_SIGNATURE_NAMESPACE } from '../signing/names.ts';
import { checkSignature, generateKey, makeSignature } from '../signing/ssh-keygen.ts';
import type { NodeId } from '../task/id.ts';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

const DAY_MS = 86_400_000;
const OTHERS = 0o077;
const OTHERS_WRITE = 0o002;
const SHOWN_LINES = 3;
const CONTENT = Buffer.from('signed by dgrid-worker doctor, to see whether it works\n');

export async function* checkSigning({ settings, clock }: DoctorParts): AsyncGenerator<CheckResult> {
  const { signing, nodeId } = settings;
  const { trustedKeysFile, revokedKeysFile, nodeKeyFile } = signing;
  if (trustedKeysFile === null && nodeKeyFile === null) {
    yield ok('signing', 'off: neither TRUSTED_KEYS_FILE nor NODE_SIGNING_KEY_FILE is set');
    return;
  }
  const tool = await checkTool(clock.wallMs());
  yield tool;
  if (trustedKeysFile !== null) {
    const usable = await checkTrusted(trustedKeysFile, signing);
    yield usable;
    yield ok('grid name', `tasks must be signed for ${JSON.stringify(signing.grid)} (GRID_NAME)`);
  }
  if (revokedKeysFile !== null) yield await checkRevoked(revokedKeysFile);
  if (nodeKeyFile !== null && tool.outcome === 'ok') yield await checkNodeKey(nodeKeyFile, nodeId, signing);
}

/** It tells no version, so it is asked to do what it will be asked to do. */
async function checkTool(nowMs: number): Promise<CheckResult> {
  const check = 'ssh-keygen';
  const remedy = 'install OpenSSH 8.9 or newer (Debian, Ubuntu: openssh-client)';
  let directory: string | null = null;
  try {
    directory = await mkdtemp(join(tmpdir(), 'dgrid-doctor-'));
    const [key, trusted, revoked] = ['key', 'trusted', 'revoked'].map((name) => join(directory ?? '', name)) as [
      string,
      string,
      string,
    ];
    await generateKey(key, 'doctor');
    const publicKey = await readFile(`${key}.pub`, 'utf8');
    const parsed = parsePublicKey(publicKey);
    if (parsed === null) throw new Error('it makes keys that cannot be read');
    const bounds = { purpose: 'tasks', fromMs: nowMs - DAY_MS, untilMs: nowMs + DAY_MS } as const;
    await writeFile(trusted, `${trustedLine('doctor', parsed, bounds)}\n`);
    await writeFile(revoked, '');
    const signature = await makeSignature(CONTENT, key, TASK_SIGNATURE_NAMESPACE, 'worker');
    const good = { content: CONTENT, signature, namespace: TASK_SIGNATURE_NAMESPACE, trustedKeysFile: trusted };
    const verdict = await checkSignature({ ...good, revokedKeysFile: revoked });
    if (!verdict.ok) return broken(check, `does not accept a signature of its own: ${verdict.problem}`, remedy);
    await writeFile(revoked, publicKey);
    const refused = await checkSignature({ ...good, revokedKeysFile: revoked });
    if (refused.ok) return broken(check, 'accepts a key that was revoked', remedy);
    return ok(check, 'signs, verifies, knows from when and until when a key is good, and which are revoked');
  } catch (error) {
    return broken(check, error, remedy);
  } finally {
    if (directory !== null) await rm(directory, { recursive: true, force: true });
  }
}

async function checkTrusted(path: string, signing: SigningSettings): Promise<CheckResult> {
  const check = 'trusted keys';
  const found = await readKeyFile(path);
  if ('problem' in found) return broken(check, `TRUSTED_KEYS_FILE (${path}) ${found.problem}`, found.remedy);
  return judgeTrusted(path, found.text, signing);
}

/** Pure. */
export function judgeTrusted(
  path: string,
  text: string,
  { isRequired }: Pick<SigningSettings, 'isRequired'>,
): CheckResult {
  const check = 'trusted keys';
  const { keys, problems } = readTrustedKeys(text);
  const forTasks = keys.filter(
    ({ options }) => !/namespaces=/.test(options) || options.includes(TASK_SIGNATURE_NAMESPACE),
  );
  const finding = `${keys.length} keys, ${forTasks.length} of them for tasks`;
  if (problems.length > 0) {
    const lines = problems.slice(0, SHOWN_LINES).map(({ line, problem }) => `line ${line} ${problem}`);
    return broken(
      check,
      `${finding}; ${path}: ${lines.join('; ')}`,
      'mend these lines ("dgrid keys trust" writes good ones)',
    );
  }
  if (forTasks.length > 0)
    return ok(check, `${finding}; ${isRequired ? 'signed tasks only' : 'unsigned tasks run too'}`);
  const remedy = 'add a key: dgrid keys trust <name> <key.pub> --file <file>';
  return isRequired
    ? broken(check, `${finding}, and ENABLE_TASK_SIGNING lets no other task run`, remedy)
    : warning(check, `${finding}: each signed task is rejected`, remedy);
}

async function checkRevoked(path: string): Promise<CheckResult> {
  const check = 'revoked keys';
  const found = await readKeyFile(path);
  if ('problem' in found) {
    return broken(check, `REVOKED_KEYS_FILE (${path}) ${found.problem}: no signature can be checked`, found.remedy);
  }
  return ok(check, 'can be read');
}

async function readKeyFile(path: string): Promise<{ text: string } | { problem: string; remedy: string }> {
  try {
    const { mode } = await stat(path);
    if ((mode & OTHERS_WRITE) !== 0) {
      return { problem: 'may be written by anybody on this machine, so it is not used', remedy: `chmod o-w ${path}` };
    }
    return { text: await readFile(path, 'utf8') };
  } catch (error) {
    return { problem: `cannot be read: ${messageOf(error)}`, remedy: 'make it readable for the user of the worker' };
  }
}

/** Signs with it, and sees what readers of results with this machine's files of keys would say. */
async function checkNodeKey(keyFile: string, nodeId: NodeId, signing: SigningSettings): Promise<CheckResult> {
  const check = 'node key';
  const remedy = 'name a private key without a passphrase that this user can read ("dgrid keys generate" makes one)';
  try {
    const { mode } = await stat(keyFile);
    if ((mode & OTHERS) !== 0 && !keyFile.endsWith('.pub')) {
      return broken(check, `NODE_SIGNING_KEY_FILE (${keyFile}) can be reached by other users`, `chmod 600 ${keyFile}`);
    }
    const signature = await makeSignature(CONTENT, keyFile, RESULT_SIGNATURE_NAMESPACE, 'worker');
    const { trustedKeysFile, revokedKeysFile } = signing;
    if (trustedKeysFile === null) return ok(check, `signs results; readers have to trust it as ${nodeId}`);
    const made = { content: CONTENT, signature, namespace: RESULT_SIGNATURE_NAMESPACE, trustedKeysFile };
    const verdict = await checkSignature({ ...made, revokedKeysFile });
    if (verdict.ok) return judgeListed(verdict.principal, nodeId);
    // What ssh-keygen says of a revoked key is for people: that it is accepted otherwise is certain.
    if (revokedKeysFile !== null && (await checkSignature({ ...made, revokedKeysFile: null })).ok) {
      return broken(check, 'signs results, and is among the revoked keys', 'make another one: dgrid keys generate');
    }
    return ok(
      check,
      `signs results; TRUSTED_KEYS_FILE here does not list it, so readers need a file that does (as ${nodeId})`,
    );
  } catch (error) {
    return broken(check, `NODE_SIGNING_KEY_FILE: ${messageOf(error)}`, remedy);
  }
}

function judgeListed(principal: string, nodeId: NodeId): CheckResult {
  if (principal === nodeId) return ok('node key', `signs results, and is listed for them as ${nodeId}`);
  const remedy = `list it under the node's id: dgrid keys trust ${nodeId} <key.pub> --for results --file <file>`;
  return warning(
    'node key',
    `signs results, and is listed as ${principal}, so they are not accepted as ${nodeId}'s`,
    remedy,
  );
}
