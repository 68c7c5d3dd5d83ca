/** `dgrid keys`: keys to sign with, and the files that say whose signatures count. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { readKeyFile, replaceKeyFile } from '../../client/key-store.ts';
import {
  type KeyPurpose,
  parsePublicKey,
  problemWithPrincipal,
  readTrustedKeys,
  type TrustedKey,
  trustedLine,
  withLine,
} from '../../signing/key-files.ts';
import { fingerprintOf, generateKey, SigningError } from '../../signing/ssh-keygen.ts';
import { Failure } from '../failure.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';

const DESCRIPTION =
  'Tasks and results are signed with SSH keys. Who may sign stands in a file of trusted keys on each worker\n' +
  '(TRUSTED_KEYS_FILE); keys that are trusted no longer stand in a second one (REVOKED_KEYS_FILE).';

export function addKeysCommand(program: Command, cli: Cli): void {
  const keys = defineCommand(program, cli, {
    name: 'keys',
    summary: 'make, trust, list and revoke signing keys',
    description: DESCRIPTION,
    examples: ['dgrid keys generate ~/.ssh/dgrid_tasks', 'dgrid keys list --file /etc/dgrid/trusted-keys --json'],
    settings: null,
  });
  addGenerate(keys, cli);
  addTrust(keys, cli);
  addRevoke(keys, cli);
  addList(keys, cli);
}

function addGenerate(keys: Command, cli: Cli): void {
  const command = defineCommand(keys, cli, {
    name: 'generate <file>',
    summary: 'make a new key',
    description:
      'Makes an Ed25519 key without a passphrase, and its public half in <file>.pub. Nothing is overwritten.',
    examples: ['dgrid keys generate ~/.ssh/dgrid_tasks', 'dgrid keys generate /etc/dgrid/node-key --comment box-1'],
    settings: null,
  });
  command.option('--comment <text>', 'stands beside the public key, for people', 'dgrid');
  command.action(async (given: string) => {
    const output = outputOf(command, cli);
    const file = resolve(cli.machine.cwd, given);
    await orFailure(() => generateKey(file, String(command.opts()['comment'])));
    const publicKey = (await orFailure(() => readKeyFile(`${file}.pub`))).trim();
    output.line(`private key  ${file}`);
    output.line(`public key   ${file}.pub`);
    output.line(publicKey);
    output.document({ private_key: file, public_key_file: `${file}.pub`, public_key: publicKey });
  });
}

function addTrust(keys: Command, cli: Cli): void {
  const command = defineCommand(keys, cli, {
    name: 'trust <name> <public-key-file>',
    summary: 'add a key to the file of trusted keys',
    description:
      'From then on what is signed with the key counts as the word of <name>: a person, for tasks; a node, by its id, for\n' +
      'results. Workers read the file at each use.',
    examples: [
      'dgrid keys trust alice@example.com alice.pub --file /etc/dgrid/trusted-keys',
      'dgrid keys trust box-1 node-key.pub --for results --file trusted-nodes',
    ],
    settings: null,
  });
  addFileOption(command, 'trusted keys', 'TRUSTED_KEYS_FILE')
    .option('--for <purpose>', 'tasks, or results', 'tasks')
    .option('--from <instant>', 'not before this instant, such as 2030-01-31T12:00:00Z')
    .option('--until <instant>', 'not after this instant');
  command.action(async (name: string, keyFile: string) => {
    const output = outputOf(command, cli);
    const file = fileOf(command, cli, 'TRUSTED_KEYS_FILE');
    const key = await publicKeyIn(keyFile, cli);
    const { for: purpose, from, until } = command.opts<{ for: KeyPurpose; from?: string; until?: string }>();
    const problem = problemWithPrincipal(name);
    if (problem !== null) throw usage('<name>', problem);
    if (purpose !== 'tasks' && purpose !== 'results') throw usage('--for', 'must be tasks or results');
    const options = {
      purpose,
      fromMs: instant('--from', from),
      untilMs: instant('--until', until),
    };
    const line = trustedLine(name, key, options);
    const text = await orFailure(() => readKeyFile(file));
    const known = text.split('\n').includes(line);
    if (!known) await orFailure(() => replaceKeyFile(file, withLine(text, line)));
    output.line(known ? `${name} is trusted so already` : `${name} is trusted with ${key.keyType} for ${purpose}`);
    output.document({ file, line, added: !known });
  });
}

function addRevoke(keys: Command, cli: Cli): void {
  const command = defineCommand(keys, cli, {
    name: 'revoke <public-key-file>',
    summary: 'add a key to the file of revoked keys',
    description: 'Nothing that is signed with the key counts any more, whenever it was signed.',
    examples: ['dgrid keys revoke alice.pub --file /etc/dgrid/revoked-keys'],
    settings: null,
  });
  addFileOption(command, 'revoked keys', 'REVOKED_KEYS_FILE');
  command.action(async (keyFile: string) => {
    const output = outputOf(command, cli);
    const file = fileOf(command, cli, 'REVOKED_KEYS_FILE');
    const key = await publicKeyIn(keyFile, cli);
    const text = await orFailure(() => readKeyFile(file));
    if (text.startsWith('SSHKRL')) {
      throw new Failure(
        'usage',
        `${file} is a binary revocation list: add the key with "ssh-keygen -k -u -f ${file} ${keyFile}"`,
      );
    }
    const line = `${key.keyType} ${key.keyData}${key.comment ? ` ${key.comment}` : ''}`;
    const known = text.split('\n').some((each) => each.includes(key.keyData));
    if (!known) await orFailure(() => replaceKeyFile(file, withLine(text, line)));
    output.line(known ? 'revoked already' : 'revoked');
    output.document({ file, line, added: !known });
  });
}

function addList(keys: Command, cli: Cli): void {
  const command = defineCommand(keys, cli, {
    name: 'list',
    summary: 'show the trusted keys',
    description: 'Shows the file of trusted keys: whose, for what, from when until when, and whether revoked.',
    examples: ['dgrid keys list --file /etc/dgrid/trusted-keys --revoked /etc/dgrid/revoked-keys'],
    settings: null,
  });
  addFileOption(command, 'trusted keys', 'TRUSTED_KEYS_FILE').option(
    '--revoked <file>',
    'the file of revoked keys; without it REVOKED_KEYS_FILE of the environment',
  );
  command.action(async () => {
    const output = outputOf(command, cli);
    const file = fileOf(command, cli, 'TRUSTED_KEYS_FILE');
    const revokedFile = (command.opts()['revoked'] as string | undefined) ?? cli.env['REVOKED_KEYS_FILE'];
    const revoked = revokedFile ? await orFailure(() => readKeyFile(resolve(cli.machine.cwd, revokedFile))) : '';
    const { keys: found, problems } = readTrustedKeys(await orFailure(() => readKeyFile(file)));
    const rows = await Promise.all(found.map((key) => rowOf(key, revoked)));
    output.table(
      [
        { title: 'NAME', shrinks: true },
        { title: 'KEY', shrinks: true },
        { title: 'RULES', shrinks: true },
        { title: 'REVOKED' },
      ],
      rows.map(({ names, fingerprint, rules, revoked: isRevoked }) => [
        names,
        fingerprint ?? 'is no key',
        rules,
        isRevoked ? 'yes' : '',
      ]),
    );
    for (const { line, problem } of problems) output.note(`${file}:${line} ${problem}`);
    output.document({ file, keys: rows, problems });
  });
}

async function rowOf(key: TrustedKey, revoked: string) {
  const fingerprint = await orFailure(() => fingerprintOf(`${key.keyType} ${key.keyData}`));
  return {
    names: key.principals,
    fingerprint,
    rules: key.options,
    comment: key.comment,
    revoked: revoked.includes(key.keyData),
  };
}

function addFileOption(command: Command, what: string, variable: string): Command {
  return command.option('--file <file>', `the file of ${what}; without it ${variable} of the environment`);
}

/** @throws Failure (usage) */
function fileOf(command: Command, cli: Cli, variable: string): string {
  const given = (command.opts()['file'] as string | undefined) ?? cli.env[variable];
  if (!given) throw usage('--file', `is missing, and ${variable} is not set: name the file`);
  return resolve(cli.machine.cwd, given);
}

/** @throws Failure */
async function publicKeyIn(path: string, cli: Cli): Promise<NonNullable<ReturnType<typeof parsePublicKey>>> {
  const text = await orFailure(() => readKeyFile(resolve(cli.machine.cwd, path)));
  const key = parsePublicKey(text);
  if (key === null)
    throw usage(
      '<public-key-file>',
      `${path} holds no public key in OpenSSH's format; it is the file that ends in .pub`,
    );
  return key;
}

/** @throws Failure (usage) */
function instant(flag: string, given: string | undefined): number | null {
  const ms = given === undefined ? null : Date.parse(given);
  if (Number.isNaN(ms)) throw usage(flag, 'must be an instant, such as 2030-01-31T12:00:00Z');
  return ms;
}

function usage(name: string, message: string): Failure {
  return new Failure('usage', 'this cannot be done', { problems: [{ name, message }] });
}

async function orFailure<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof SigningError || (error as NodeJS.ErrnoException).code) {
      throw new Failure('failed', (error as Error).message, { cause: (error as Error).cause });
    }
    throw error;
  }
}
