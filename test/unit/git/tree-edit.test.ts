import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type GitObject, MODE_TREE, makeBlob, makeObject, makeTree, parseTree } from '../../../src/git/objects.ts';
import type { Oid } from '../../../src/git/oid.ts';
import { editTree, type PathEdit } from '../../../src/git/tree-edit.ts';

class Store {
  readonly objects = new Map<Oid, GitObject>();
  reads = 0;
  read = async (oids: readonly Oid[]): Promise<ReadonlyMap<Oid, GitObject>> => {
    this.reads += oids.length;
    return new Map(oids.flatMap((id) => (this.objects.has(id) ? [[id, this.objects.get(id) as GitObject]] : [])));
  };
  async edit(root: Oid | null, edits: readonly PathEdit[]): Promise<Oid> {
    const result = await editTree(root, edits, this.read, 'sha1');
    for (const object of result.created) this.objects.set(object.oid, object);
    return result.root.oid;
  }
  flatten(root: Oid, prefix = ''): Map<string, Oid> {
    const files = new Map<string, Oid>();
    for (const entry of parseTree((this.objects.get(root) as GitObject).content, 'sha1')) {
      const path = prefix + entry.name;
      if (entry.mode === MODE_TREE) for (const [name, id] of this.flatten(entry.oid, `${path}/`)) files.set(name, id);
      else files.set(path, entry.oid);
    }
    return files;
  }
}

// Files and directories have different names here, so that a path never means both.
const paths = fc
  .tuple(fc.array(fc.constantFrom('d', 'e', 'g'), { maxLength: 3 }), fc.constantFrom('a', 'b', 'c.json'))
  .map(([dirs, file]) => [...dirs, file].join('/'));
const edits = fc.array(fc.record({ path: paths, content: fc.option(fc.constantFrom('1', '2', '3')) }), {
  maxLength: 12,
});

describe('editTree', () => {
  it('does what the same edits do to a list of files', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(edits, { maxLength: 4 }), async (rounds) => {
        const store = new Store();
        const model = new Map<string, Oid>();
        let root: Oid | null = null;
        for (const round of rounds) {
          const changes = round.map(({ path, content }) => ({
            path,
            oid: content === null ? null : makeBlob(content, 'sha1').oid,
          }));
          root = await store.edit(root, changes);
          for (const { path, oid } of changes) {
            if (oid) model.set(path, oid);
            else model.delete(path);
          }
          expect(store.flatten(root)).toEqual(new Map([...model].toSorted(([a], [b]) => (a < b ? -1 : 1))));
        }
        // The way there leaves no trace: the same files give the same tree.
        const fresh = await store.edit(
          null,
          [...model].map(([path, oid]) => ({ path, oid })),
        );
        expect(fresh).toBe(root ?? makeTree([], 'sha1').oid);
      }),
      { numRuns: 100 },
    );
  });

  it('takes a file out of a tree that is out of order', async () => {
    const store = new Store();
    const id = makeBlob('x', 'sha1').oid;
    const entry = (name: string): Buffer => Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(id, 'hex')]);
    const odd = makeObject('tree', Buffer.concat(['z', 'b', 'm', 'a'].map(entry)), 'sha1');
    store.objects.set(odd.oid, odd);
    const root = await store.edit(
      odd.oid,
      ['b', 'z'].map((path) => ({ path, oid: null })),
    );
    expect([...store.flatten(root).keys()]).toEqual(['a', 'm']);
  });

  it('reads only the directories on the way', async () => {
    const store = new Store();
    const id = makeBlob('x', 'sha1').oid;
    const wide = Array.from({ length: 50 }, (_, at) => ({ path: `dir${at}/file`, oid: id }));
    const root = await store.edit(null, wide);
    store.reads = 0;
    await store.edit(root, [{ path: 'dir7/other', oid: id }]);
    expect(store.reads).toBe(2);
  });

  it('leaves a directory alone when a file of its name is removed', async () => {
    const store = new Store();
    const id = makeBlob('x', 'sha1').oid;
    const root = await store.edit(null, [{ path: 'a/b', oid: id }]);
    expect(store.flatten(await store.edit(root, [{ path: 'a', oid: null }]))).toEqual(new Map([['a/b', id]]));
  });

  it.each(['', '/a', 'a/', 'a//b', './a', 'a/../b', '..'])('refuses %j', async (path) => {
    await expect(new Store().edit(null, [{ path, oid: null }])).rejects.toThrow(RangeError);
  });

  it('says which tree cannot be read', async () => {
    const root = makeBlob('not a tree', 'sha1').oid;
    await expect(new Store().edit(root, [{ path: 'a', oid: null }])).rejects.toThrow(root);
  });
});
