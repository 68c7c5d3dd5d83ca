import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MODE_FILE,
  MODE_TREE,
  makeBlob,
  makeCommit,
  makeTree,
  parseCommit,
  parseTree,
} from '../../../src/git/objects.ts';
import { oid } from '../../../src/git/oid.ts';

const formats = fc.constantFrom('sha1' as const, 'sha256' as const);
const names = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((name) => !/[\0/]/.test(name) && name !== '.' && name !== '..' && name.isWellFormed());

describe('objects', () => {
  it('knows the ids that everybody knows', () => {
    expect(makeBlob('', 'sha1').oid).toBe('e69de29bb2d1d6434b8b29ae775ad8c2e48c5391');
    expect(makeTree([], 'sha1').oid).toBe('4b825dc642cb6eb9a060e54bf8d69288fbee4904');
    expect(makeBlob('', 'sha256').oid).toBe('473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813');
  });

  it('reads back every tree that it writes, whatever the order of the entries', () => {
    fc.assert(
      fc.property(
        formats,
        fc.uniqueArray(fc.record({ name: names, dir: fc.boolean() }), { selector: (e) => e.name }),
        (format, list) => {
          const id = makeBlob('x', format).oid;
          const entries = list.map(({ name, dir }) => ({ name, mode: dir ? MODE_TREE : MODE_FILE, oid: id }));
          const tree = makeTree(entries, format);
          const back = parseTree(tree.content, format);
          expect(new Map(back.map((entry) => [entry.name, entry]))).toEqual(
            new Map(entries.map((entry) => [entry.name, entry])),
          );
          expect(makeTree(entries.toReversed(), format).oid).toBe(tree.oid);
          expect(makeTree(back, format).oid).toBe(tree.oid);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('sorts a directory as if its name ended in a slash', () => {
    const id = makeBlob('', 'sha1').oid;
    const tree = makeTree(
      [
        { mode: MODE_TREE, name: 'a', oid: id },
        { mode: MODE_FILE, name: 'a.b', oid: id },
        { mode: MODE_FILE, name: 'a-b', oid: id },
      ],
      'sha1',
    );
    expect(parseTree(tree.content, 'sha1').map((entry) => entry.name)).toEqual(['a-b', 'a.b', 'a']);
  });

  it.each(['', '.', '..', 'a/b', 'a\0b'])('refuses %j as the name of an entry', (name) => {
    expect(() => makeTree([{ mode: MODE_FILE, name, oid: makeBlob('', 'sha1').oid }], 'sha1')).toThrow(RangeError);
  });

  it('refuses a name given twice', () => {
    const entry = { mode: MODE_FILE, name: 'a', oid: makeBlob('', 'sha1').oid };
    expect(() => makeTree([entry, { ...entry, mode: MODE_TREE }], 'sha1')).toThrow(/twice/);
  });

  it('refuses bytes that are no tree', () => {
    const good = makeTree([{ mode: MODE_FILE, name: 'a', oid: makeBlob('', 'sha1').oid }], 'sha1').content;
    expect(() => parseTree(good.subarray(0, good.length - 1), 'sha1')).toThrow(RangeError);
    expect(() => parseTree(Buffer.from('garbage'), 'sha1')).toThrow(RangeError);
  });

  it('reads back every commit that it writes', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((value) => value.isWellFormed());
    fc.assert(
      fc.property(formats, text, text, fc.nat(2 ** 33), fc.nat(3), (format, name, message, seconds, parentCount) => {
        const tree = makeTree([], format).oid;
        const parents = Array.from({ length: parentCount }, (_, at) => makeBlob(String(at), format).oid);
        const who = { name, email: 'a@b', seconds };
        const commit = makeCommit({ tree, parents, author: who, committer: who, message }, format);
        expect(parseCommit(commit.content)).toEqual({ tree, parents, message, committedAtSeconds: seconds });
      }),
      { numRuns: 200 },
    );
  });

  it('keeps an identity on its line, so that a name cannot forge a header', () => {
    const who = { name: 'x\ntree 123 <a>', email: 'a>\nparent b', seconds: 1 };
    const tree = makeTree([], 'sha1').oid;
    const commit = makeCommit({ tree, parents: [], author: who, committer: who, message: '' }, 'sha1');
    expect(commit.content.toString().split('\n')).toHaveLength(5);
    expect(parseCommit(commit.content).parents).toEqual([]);
  });

  it('refuses a commit without a tree', () => {
    expect(() => parseCommit(Buffer.from('parent 12\n\nx'))).toThrow(RangeError);
  });

  it('takes full ids only', () => {
    expect(() => oid('abc')).toThrow(RangeError);
    expect(() => oid('A'.repeat(40))).toThrow(RangeError);
    expect(oid('a'.repeat(64))).toHaveLength(64);
  });
});
