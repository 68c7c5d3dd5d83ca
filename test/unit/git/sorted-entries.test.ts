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
        const inOrder = entries.lastNames('.json', 1_000);
        expect(inOrder.toSorted()).toEqual([...all.keys()].filter((name) => name.endsWith('.json')).toSorted());
        expect(entries.lastNames('.json', 2)).toEqual(inOrder.slice(0, 2));
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

it('lists the files that were added since another tree', () => {
  const entry = fc.tuple(names, fc.constantFrom(MODE_FILE, MODE_TREE));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), fc.array(entry, { maxLength: 60 }), (before, after) => {
      const filesOf = (given: readonly [string, string][]): { entries: SortedEntries; files: Set<string> } => {
        const all = new Map(given.map(([name, mode]) => [name, { name, mode, oid: makeBlob(name, 'sha1').oid }]));
        const files = [...all.values()].filter(({ name, mode }) => mode === MODE_FILE && name.endsWith('.json'));
        return {
          entries: new SortedEntries(makeTree([...all.values()], 'sha1').content, 'sha1'),
          files: new Set(files.map(({ name }) => name.slice(0, -'.json'.length))),
        };
      };
      const old = filesOf(before);
      const now = filesOf(after);
      expect(new Set(now.entries.files('.json'))).toEqual(now.files);
      expect([...now.entries.addedSince(old.entries, '.json')].toSorted()).toEqual(
        [...now.files.difference(old.files)].toSorted(),
      );
    }),
    { numRuns: 1_000 },
  );
});
