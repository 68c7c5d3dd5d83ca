import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyDelta, deltaResultBytes, writeDelta } from '../../../src/git/delta.ts';
import { MODE_FILE, MODE_TREE, makeBlob, makeTree, type TreeEntry } from '../../../src/git/objects.ts';
import type { ObjectFormat } from '../../../src/git/oid.ts';
import { findEntry, spliceTree } from '../../../src/git/tree-splice.ts';

// Names that sort differently as files and as directories: "." and "-" come before "/", "0" after it.
const names = fc.constantFrom('a', 'a.b', 'a-b', 'a0', 'ab', 'b', 'b.json', 'c', 'ä', 'a/'.slice(0, 1) + '.');
const entries = (format: ObjectFormat) =>
  fc
    .array(fc.tuple(names, fc.constantFrom(MODE_FILE, MODE_TREE, '100755', '120000', '160000'), fc.nat(50)), {
      maxLength: 10,
    })
    .map((all) => {
      const byName = new Map<string, TreeEntry>();
      for (const [name, mode, number] of all) byName.set(name, { name, mode, oid: makeBlob(`${number}`, format).oid });
      return byName;
    });
const changes = fc.array(fc.tuple(names, fc.boolean(), fc.option(fc.nat(50))), { maxLength: 8 });

describe.each(['sha1', 'sha256'] as const)('spliceTree with %s', (format) => {
  it('does what taking the tree apart and sorting it anew does, and says how', () => {
    fc.assert(
      fc.property(entries(format), changes, (before, wanted) => {
        const old = makeTree([...before.values()], format).content;
        const after = new Map(before);
        // One change a name: which of two would count is the caller's to decide.
        const distinct = new Map(wanted.map(([name, directory, number]) => [name, { directory, number }]));
        const given = [...distinct].map(([name, { directory, number }]) => ({
          name,
          mode: directory ? MODE_TREE : MODE_FILE,
          oid: number === null ? null : makeBlob(`new ${number}`, format).oid,
        }));
        for (const { name, mode, oid } of given) {
          if (oid) after.set(name, { name, mode, oid });
          else if ((after.get(name)?.mode === MODE_TREE) === (mode === MODE_TREE)) after.delete(name);
        }
        const { content, parts } = spliceTree(old, given, format);
        expect(content).toEqual(makeTree([...after.values()], format).content);
        const delta = writeDelta(old.length, parts);
        expect(deltaResultBytes(delta)).toBe(content.length);
        expect(applyDelta(old, delta)).toEqual(content);
        for (const { name, mode, oid } of after.values()) expect(findEntry(content, name, mode, format)).toBe(oid);
        expect(findEntry(content, 'nobody', MODE_FILE, format)).toBeNull();
      }),
      { numRuns: 500 },
    );
  });
});

it('refuses what is no tree', () => {
  const change = [{ name: 'z', mode: MODE_FILE, oid: makeBlob('', 'sha1').oid }];
  expect(() => spliceTree(Buffer.from('garbage'), change, 'sha1')).toThrow(RangeError);
  expect(() => spliceTree(Buffer.from('100644 a\0short'), change, 'sha1')).toThrow(RangeError);
});

it('copies pieces of any length in a delta', () => {
  const base = Buffer.alloc(300_000, 'abcdefg');
  const parts = [
    { from: 70_001, length: 200_000 },
    Buffer.alloc(1_000, 'x'),
    { from: 0, length: 1 },
    { from: 256, length: 65_536 },
  ];
  const expected = Buffer.concat([
    base.subarray(70_001, 270_001),
    Buffer.alloc(1_000, 'x'),
    base.subarray(0, 1),
    base.subarray(256, 65_792),
  ]);
  expect(applyDelta(base, writeDelta(base.length, parts))).toEqual(expected);
});
