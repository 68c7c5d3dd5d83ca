/** Whatever a host sends, reading it ends: with an answer, or with an error that says so. */
import { deflateSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OversizedError, readPack } from '../../../../src/git/http/pack-reader.ts';
import { DELIMITER, FLUSH, ProtocolError, packet, packets, splitBands } from '../../../../src/git/http/pkt-line.ts';
import { readAbilities, readFetch, readLsRefs, readPushAnswer, WireRefusal } from '../../../../src/git/http/wire.ts';
import { makeBlob, makeTree } from '../../../../src/git/objects.ts';
import { refName } from '../../../../src/git/oid.ts';
import { writePack } from '../../../../src/git/pack.ts';
import { spliceTree } from '../../../../src/git/tree-splice.ts';

const ID = 'a'.repeat(40);
const none = async () => new Map();
const options = { format: 'sha1' as const, maxObjectBytes: 1_000_000, maxTotalBytes: 2_000_000, known: none };
const lines = (...texts: string[]): Buffer => Buffer.concat([...texts.map((text) => packet(`${text}\n`)), FLUSH]);

describe('packets', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 })), (contents) => {
        const written = Buffer.concat(contents.map((content) => packet(Buffer.from(content))));
        const read = [...packets(written)].map((found) => (found.kind === 'data' ? [...found.data] : found.kind));
        expect(read).toEqual(contents.map((content) => [...content]));
      }),
    );
    expect([...packets(Buffer.concat([FLUSH, DELIMITER, Buffer.from('0002')]))].map(({ kind }) => kind)).toEqual([
      'flush',
      'delimiter',
      'response-end',
    ]);
  });

  it.each(['0003', '000', 'zzzz', '0005', '<html>', 'ffff'])('are not found in %s', (text) => {
    expect(() => [...packets(Buffer.from(text))]).toThrow(ProtocolError);
  });

  it('refuse what no packet can hold', () => {
    expect(() => packet(Buffer.alloc(65_517))).toThrow(RangeError);
    expect(() => splitBands([Buffer.from([9, 1])])).toThrow(ProtocolError);
  });
});

describe('a first answer', () => {
  it('tells what the host can do', () => {
    const body = lines(
      'version 2',
      'agent=git/2',
      'ls-refs=unborn',
      'fetch=shallow wait-for-done filter',
      'object-format=sha256',
    );
    expect(readAbilities(body)).toEqual({ format: 'sha256', shallow: true, filter: true, unborn: true });
    const announced = Buffer.concat([lines('# service=git-upload-pack'), lines('version 2', 'ls-refs', 'fetch')]);
    expect(readAbilities(announced)).toEqual({ format: 'sha1', shallow: false, filter: false, unborn: false });
  });

  it.each([
    ['an older version', lines(`${ID} HEAD\0multi_ack`)],
    ['a page', Buffer.from('<html>hello</html>')],
    ['nothing', Buffer.alloc(0)],
    ['an unknown hash', lines('version 2', 'ls-refs', 'fetch', 'object-format=sha3')],
    ['a host that lists nothing', lines('version 2', 'fetch')],
  ])('is refused that is %s', (_, body) => expect(() => readAbilities(body)).toThrow(ProtocolError));
});

describe('a listing', () => {
  it('keeps what was asked for', () => {
    const body = lines(
      `${ID} HEAD symref-target:refs/heads/main`,
      `${ID} refs/heads/main`,
      `${ID} refs/tags/v1 peeled:${ID}`,
      `${'0'.repeat(40)} refs/heads/broken`,
      'nonsense',
    );
    expect(readLsRefs(body, ['refs/heads/'])).toEqual({
      refs: new Map([[refName('refs/heads/main'), ID]]),
      headBranch: 'refs/heads/main',
      broken: ['refs/heads/broken'],
    });
    expect(readLsRefs(lines('unborn HEAD symref-target:refs/heads/x'), ['refs/']).headBranch).toBe('refs/heads/x');
  });

  it('holds no name that means something else to git, and no HEAD that is no branch', () => {
    const evil = [
      'refs/heads/a\nb',
      'refs/heads/../x',
      'refs/heads/x y',
      'refs/heads/*',
      'refs/heads/a:b',
      'refs/heads/\0',
    ];
    const body = Buffer.concat([
      ...evil.map((name) => packet(`${ID} ${name}\n`)),
      packet(`${ID} HEAD symref-target:refs/heads/x\n+refs/*:refs/*\n`),
      packet(`${ID} refs/heads/good\n`),
      FLUSH,
    ]);
    const { headBranch, refs } = readLsRefs(body, ['refs/']);
    // What stands behind a blank says something of the ref.
    expect([...refs.keys()]).toEqual(['refs/heads/x', 'refs/heads/good']);
    expect(headBranch).toBeNull();
    for (const target of ['refs/dgrid/tasks/x', 'HEAD', '/etc/passwd', '-x', 'refs/heads/', 'refs/heads/x.lock']) {
      expect(readLsRefs(lines(`${ID} HEAD symref-target:${target}`), ['refs/']).headBranch).toBeNull();
    }
    expect(readLsRefs(lines(`${ID} HEAD symref-target:refs/heads/ä/b-1.2`), ['refs/']).headBranch).toBe(
      'refs/heads/ä/b-1.2',
    );
  });

  it('is not believed when it breaks off, and passes on what the host says', () => {
    expect(() => readLsRefs(packet(`${ID} refs/heads/main\n`), ['refs/'])).toThrow(ProtocolError);
    expect(() => readLsRefs(lines('ERR go away'), ['refs/'])).toThrow(WireRefusal);
  });
});

describe('a report of a push', () => {
  const report = (...texts: string[]): Buffer =>
    Buffer.concat([packet(Buffer.concat([Buffer.from([1]), lines(...texts)])), FLUSH]);

  it('answers for each ref', () => {
    const { verdicts, unpacked } = readPushAnswer(
      report(
        'unpack ok',
        'ok refs/a',
        'ng refs/b failed to update ref',
        'ng refs/c hook declined',
        'ng refs/d who knows',
      ),
    );
    expect(unpacked).toBe('ok');
    expect([...verdicts].map(([ref, { kind }]) => [ref, kind])).toEqual([
      ['refs/a', 'applied'],
      ['refs/b', 'rejected'],
      ['refs/c', 'refused'],
      ['refs/d', 'unclear'],
    ]);
  });

  it('is no report without its first line', () => {
    expect(() => readPushAnswer(report('ok refs/a'))).toThrow(ProtocolError);
    expect(() => readPushAnswer(Buffer.alloc(0))).toThrow(ProtocolError);
    const said = Buffer.concat([packet(Buffer.from('\u0003disk full')), FLUSH]);
    expect(() => readPushAnswer(said)).toThrow(/disk full/);
  });
});

describe('a pack', () => {
  const blobs = Array.from({ length: 20 }, (_, at) => makeBlob('x'.repeat(at * 100), 'sha1'));

  it('is read as it was written, differences too', async () => {
    expect(await readPack(writePack(blobs, 'sha1'), options)).toEqual(blobs);
    const old = makeTree(
      blobs.map(({ oid }, at) => ({ mode: '100644', name: `${at}`, oid })),
      'sha1',
    );
    const many = makeTree(
      Array.from({ length: 200 }, (_, at) => ({ mode: '100644', name: `n${at}`, oid: old.oid })),
      'sha1',
    );
    const { content, parts } = spliceTree(many.content, [{ name: 'n5', mode: '100644', oid: null }], 'sha1');
    const changed = { ...makeTree([], 'sha1'), content, basis: { oid: many.oid, bytes: many.content.length, parts } };
    const thin = writePack([changed], 'sha1', { thin: true });
    expect(thin.length).toBeLessThan(200);
    const [read] = await readPack(thin, { ...options, known: async () => new Map([[many.oid, many]]) });
    expect(read?.content).toEqual(content);
    await expect(readPack(thin, options)).rejects.toThrow(/nobody has/);
  });

  it('has a bound for each object', async () => {
    await expect(readPack(writePack(blobs, 'sha1'), { ...options, maxObjectBytes: 1_500 })).rejects.toThrow(
      OversizedError,
    );
    // One that says it is small and unpacks to something large.
    const bomb = deflateSync(Buffer.alloc(50_000_000));
    const pack = writePack([makeBlob('ab', 'sha1')], 'sha1');
    const body = Buffer.concat([pack.subarray(0, 13), bomb]);
    const { createHash } = await import('node:crypto');
    const whole = Buffer.concat([body, createHash('sha1').update(body).digest()]);
    await expect(readPack(whole, options)).rejects.toThrow(ProtocolError);
  });

  it('has a bound for all objects together, and for what differences make of them', async () => {
    const many = Array.from({ length: 100 }, (_, at) => makeBlob(`${at}`, 'sha1'));
    await expect(readPack(writePack(many, 'sha1'), { ...options, maxTotalBytes: 20_000 })).rejects.toThrow(
      OversizedError,
    );
    expect(await readPack(writePack(many, 'sha1'), { ...options, maxTotalBytes: 40_000 })).toHaveLength(100);
    const base = makeBlob(Buffer.alloc(60_000), 'sha1');
    // A difference of some bytes that takes all of its base twelve times.
    const unfolded = Buffer.alloc(12 * 60_000);
    const parts = Array.from({ length: 12 }, () => ({ from: 0, length: 60_000 }));
    const made = { ...makeBlob(unfolded, 'sha1'), basis: { oid: base.oid, bytes: 60_000, parts } };
    const pack = writePack([base, made], 'sha1', { thin: true });
    expect(await readPack(pack, options)).toHaveLength(2);
    await expect(readPack(pack, { ...options, maxTotalBytes: 700_000 })).rejects.toThrow(OversizedError);
    await expect(readPack(pack, { ...options, maxObjectBytes: 700_000 })).rejects.toThrow(OversizedError);
  });

  it('is read in one go, in whatever order its differences stand', async () => {
    const base = makeBlob('x'.repeat(3_000), 'sha1');
    const chain = [base];
    for (let at = 0; at < 4_000; at += 1) {
      const before = chain.at(-1) as typeof base;
      const own = Buffer.from(`${at},`);
      const content = Buffer.concat([own, before.content.subarray(own.length)]);
      const parts = [own, { from: own.length, length: content.length - own.length }];
      const basis = { oid: before.oid, bytes: before.content.length, parts };
      chain.push({ ...makeBlob(content, 'sha1'), basis });
    }
    const pack = writePack(chain.toReversed(), 'sha1', { thin: true });
    const read = await readPack(pack, { ...options, maxTotalBytes: 100_000_000 });
    expect(new Set(read.map(({ oid }) => oid))).toEqual(new Set(chain.map(({ oid }) => oid)));
  });

  it('is an error in every damaged form, and never anything else', async () => {
    const pack = writePack(blobs, 'sha1');
    await fc.assert(
      fc.asyncProperty(fc.nat(pack.length - 1), fc.nat(255), fc.boolean(), async (at, byte, signed) => {
        const damaged = Buffer.from(pack);
        damaged[at] = byte;
        if (signed) {
          const { createHash } = await import('node:crypto');
          createHash('sha1')
            .update(damaged.subarray(0, -20))
            .digest()
            .copy(damaged, damaged.length - 20);
        }
        const read = await readPack(damaged, options).catch((error: unknown) => error);
        if (read instanceof Error) expect(read).toBeInstanceOf(ProtocolError);
        // Every object has the id that it goes by, whatever was done to it.
        else for (const object of read as typeof blobs) expect(makeBlob(object.content, 'sha1').oid.length).toBe(40);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('an answer to a fetch', () => {
  it('is put together where it lies, and what is said beside it has a bound', () => {
    const band = (number: number, content: string): Buffer =>
      packet(Buffer.from(`${String.fromCharCode(number)}${content}`));
    const body = Buffer.concat([
      packet('packfile\n'),
      band(1, 'one'),
      ...Array.from({ length: 100 }, () => band(2, 'talk'.repeat(5_000))),
      band(1, ''),
      band(1, 'two'),
      FLUSH,
    ]);
    const gone = Buffer.concat([
      packet('packfile\n'),
      band(2, 'fatal: bad tree object 1\n'),
      band(3, 'given up\0'),
      FLUSH,
    ]);
    expect(() => readFetch(gone)).toThrow(new WireRefusal('given up; fatal: bad tree object 1'));
    const pack = readFetch(body);
    expect(pack.toString()).toBe('onetwo');
    expect(pack.buffer).toBe(body.buffer);
    const said = splitBands(Array.from({ length: 100 }, () => Buffer.from(`\u0002${'talk'.repeat(5_000)}`)));
    expect(said.progress.length).toBeLessThan(200_000);
  });
});

describe('garbage', () => {
  it('ends every reading with an answer or a known error', async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
      fc
        .array(
          fc.oneof(
            fc.string(),
            fc.constantFrom('ERR x', 'version 2', 'packfile', 'unpack ok', `${ID} refs/a`, '\u0001PACK'),
          ),
          { maxLength: 8 },
        )
        .map((texts) => lines(...texts)),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (body) => {
        for (const read of [readAbilities, (all: Buffer) => readLsRefs(all, ['refs/']), readFetch, readPushAnswer]) {
          try {
            read(body);
          } catch (error) {
            expect(error instanceof ProtocolError || error instanceof WireRefusal).toBe(true);
          }
        }
        await expect(readPack(body, options)).rejects.toBeInstanceOf(ProtocolError);
      }),
      { numRuns: 3_000 },
    );
  });
});
