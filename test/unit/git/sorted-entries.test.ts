import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { MODE_FILE, MODE_TREE, makeBlob, makeTree, type TreeEntry } from '../../../src/git/objects.ts';
import { SortedEntries } from '../../../src/git/sorted-entries.ts';

const names = fc.stringMatching(/^[a-c.\-0]{1,4}(?:\.json)?$/).filter((name) => !/^\.\.?$/.test(name));

it.each(['sha1', 'sha256'] as const)('finds in a %s tree what is there, and nothing else', (format) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(names, fc.constantFrom(MODE_FILE, MODE_TREE, '120000')), { maxLength: 60 }),
      fc.array(names, { maxLength: 20 }),
      (given, others) => {
        const all = new Map<string, TreeEntry>();
        for (const [name, mode] of given) all.set(name, { name, mode, oid: makeBlob(name, format).oid });
        const entries = new SortedEntries(makeTree([...all.values()], format).content, format);
        for (const { name, mode, oid } of all.values()) if (mode !== MODE_TREE) expect(entries.idOf(name)).toBe(oid);
        for (const name of others) if (!all.has(name)) expect(entries.idOf(name)).toBeNull();
        expect(entries.countFiles('.json')).toBe([...all.keys()].filter((name) => name.endsWith('.json')).length);
      },
    ),
    { numRuns: 400 },
  );
});

it('refuses what is no tree', () => {
  expect(() => new SortedEntries(Buffer.from('nonsense'), 'sha1').idOf('a')).toThrow(RangeError);
});

it('finds in a tree out of order what is there', () => {
  const named = (mode: string, name: string): Buffer =>
    Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(makeBlob(name, 'sha1').oid, 'hex')]);
  fc.assert(
    fc.property(fc.uniqueArray(names, { maxLength: 40 }), fc.infiniteStream(fc.boolean()), (all, kinds) => {
      const entries = all.map((name) => ({ name, mode: kinds.next().value === true ? MODE_TREE : MODE_FILE }));
      const tree = Buffer.concat(entries.map(({ mode, name }) => named(mode, name)));
      const sorted = new SortedEntries(tree, 'sha1');
      for (const { mode, name } of entries) {
        expect(sorted.idOf(name)).toBe(mode === MODE_FILE ? makeBlob(name, 'sha1').oid : null);
      }
    }),
  );
});
