import { describe, expect, it } from 'vitest';
import {
  parsePublicKey,
  problemWithPrincipal,
  readTrustedKeys,
  trustedLine,
  withLine,
} from '../../../src/signing/key-files.ts';

const DATA = 'AAAAC3NzaC1lZDI1NTE5AAAAIBlQVjb9amLVw1zRDmzDa6i6/Z8zbxTuSB5g2g2o2xqB';
const KEY = `ssh-ed25519 ${DATA} alice of the team`;

describe('a public key', () => {
  it('is type, data and comment', () => {
    expect(parsePublicKey(`${KEY}\n`)).toEqual({
      keyType: 'ssh-ed25519',
      keyData: DATA,
      comment: 'alice of the team',
    });
  });

  it.each(['', 'hello', `${KEY}\n${KEY}\n`, '-----BEGIN OPENSSH PRIVATE KEY-----', `ssh-ed25519 ${DATA.slice(0, 20)}`])(
    'is not %j',
    (text) => {
      expect(parsePublicKey(text)).toBeNull();
    },
  );
});

describe('a line of trusted keys', () => {
  it('says for what, from when, until when', () => {
    const key = parsePublicKey(KEY)!;
    const fromMs = Date.parse('2030-01-31T12:00:05Z');
    const line = trustedLine('alice@example.com', key, { purpose: 'tasks', fromMs, untilMs: fromMs + 86_400_000 });
    expect(line).toBe(
      `alice@example.com namespaces="dgrid-task-v1",valid-after="20300131120005Z",valid-before="20300201120005Z" ${KEY}`,
    );
    const [read] = readTrustedKeys(`# people\n\n${line}\n`).keys;
    expect(read).toMatchObject({ line: 3, principals: 'alice@example.com', keyType: 'ssh-ed25519', keyData: DATA });
    expect(read?.options).toContain('valid-before="20300201120005Z"');
  });

  it('may have no options, and blanks in quotation marks', () => {
    const text = `a,b ${KEY}\nc namespaces="x y" ${KEY}`;
    expect(readTrustedKeys(text).keys.map(({ principals, options }) => [principals, options])).toEqual([
      ['a,b', ''],
      ['c', 'namespaces="x y"'],
    ]);
  });

  it('is named when it is none', () => {
    expect(readTrustedKeys(`${KEY}\nalice ${KEY}\nalice nothing\n`)).toMatchObject({
      keys: [{ line: 2 }],
      problems: [{ line: 1 }, { line: 3 }],
    });
  });

  it('comes after a last line that has no end', () => {
    expect(withLine('a', 'b')).toBe('a\nb\n');
    expect(withLine('', 'b')).toBe('b\n');
  });

  it.each(['', '*', 'a b', 'a,b', '!a', 'a"b', '-n'])('is for no such name as %j', (name) => {
    expect(problemWithPrincipal(name)).toContain('must be a name');
  });
});
