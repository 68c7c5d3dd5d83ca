import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_SECRETS, Redactor } from '../../../src/observe/redaction.ts';

const SECRET = 'gh/p+Tok"en !42';

describe('masks', () => {
  const redactor = new Redactor([SECRET]);
  const entry = (value: unknown): string => redactor.jsonLine(`${JSON.stringify(value)}\n`);

  test('in values, names and depths', () => {
    expect(entry({ a: `x${SECRET}y`, b: [{ [SECRET]: SECRET }], n: 1, t: true, z: null })).toBe(
      '{"a":"x***y","b":[{"***":"***"}],"n":1,"t":true,"z":null}\n',
    );
  });

  test.each([
    ['encodeURIComponent', encodeURIComponent(SECRET)],
    ['lower-case hexadecimal', encodeURIComponent(SECRET).replace(/%../g, (code) => code.toLowerCase())],
    ['strict', 'gh%2Fp%2BTok%22en%20%2142'],
    ['a form', 'gh%2Fp%2BTok%22en+%2142'],
  ])('URL-encoded: %s', (_, text) =>
    expect(entry({ url: `https://u:${text}@host/` })).toBe('{"url":"https://u:***@host/"}\n'),
  );

  test('lines without a secret stay byte for byte the same', () => {
    const line = '{"a": 1, "b":"x"}\n';
    expect(redactor.jsonLine(line)).toBe(line);
  });
});

test('base64, whatever stands before and after it', () => {
  const around = fc.uint8Array({ maxLength: 12 });
  const secrets = fc.string({ minLength: 8, maxLength: 40 });
  fc.assert(
    fc.property(
      around,
      secrets,
      around,
      fc.constantFrom('base64' as const, 'base64url' as const),
      (before, secret, after, form) => {
        const masked = new Redactor([secret]).text(Buffer.concat([before, Buffer.from(secret), after]).toString(form));
        expect(masked).toContain('***');
        // What is left are the bytes around it, and at its edges characters that hold less than a byte of it.
        const left = masked.replace('***', '').replace(/=+$/, '').length;
        expect(left).toBeLessThanOrEqual(Math.ceil((before.length * 4) / 3) + Math.ceil((after.length * 4) / 3) + 2);
      },
    ),
  );
});

test('any secret in any string: gone, and the line is JSON still', () => {
  // A mask next to what is left must not spell the secret again, so it has no asterisk.
  const unit = fc.constantFrom('a', 'b', ' ', '"', '\\', '/', '\n', '%', 'ß', '日', '🚀', '\u0000', '\u2028');
  fc.assert(
    fc.property(fc.string({ unit, minLength: 4 }), fc.string({ unit }), fc.integer(), (secret, around, number) => {
      const line = `${JSON.stringify({ '': around + secret + around, number })}\n`;
      const parsed = JSON.parse(new Redactor([secret]).jsonLine(line)) as Record<string, unknown>;
      expect(Object.values(parsed)).toContain(number);
      expect(String(parsed[''])).toContain('***');
      expect(String(parsed['']).includes(secret)).toBe(false);
    }),
  );
});

test('digits of a secret inside a number break nothing', () => {
  expect(new Redactor(['1234']).jsonLine('{"time":1712340,"msg":"1234"}\n')).toBe('{"time":1712340,"msg":"***"}\n');
});

test('too short is no secret', () => expect(new Redactor(['abc', '']).text('abc')).toBe('abc'));

test('hexadecimal', () => {
  const hex = Buffer.from(SECRET).toString('hex');
  expect(new Redactor([SECRET]).text(`x ${hex} ${hex.toUpperCase()} y`)).toBe('x *** *** y');
});

test('those that come and go do not push out what is known from the beginning', () => {
  const redactor = new Redactor(['secret-of-mine']);
  for (let i = 0; i <= MAX_SECRETS; i++) redactor.add(`secret-<${i}>`);
  expect(redactor.text('secret-of-mine')).toBe('***');
});

test('one that comes again counts as the latest', () => {
  const redactor = new Redactor();
  for (let i = 0; i < MAX_SECRETS; i++) redactor.add(`secret-<${i}>`);
  redactor.add('secret-<0>');
  redactor.add('one-more-secret');
  expect(redactor.text('secret-<0> secret-<1>')).toBe('*** secret-<1>');
});

test('later secrets count, and the number is bounded', () => {
  const redactor = new Redactor();
  for (let i = 0; i <= MAX_SECRETS; i++) redactor.add(`secret-<${i}>`);
  expect(redactor.text('secret-<0> secret-<1>')).toBe('secret-<0> ***');
});
