/** What `git cat-file --batch` prints, taken apart. */
import { type GitObject, makeObject, type ObjectType } from './objects.ts';
import type { ObjectFormat, Oid } from './oid.ts';

/** The answer contradicts itself or its ids: the store it came from is damaged. */
export class DamagedObjectError extends Error {
  override readonly name = 'DamagedObjectError';
}

export interface ObjectBatch {
  objects: Map<Oid, GitObject>;
  missing: Oid[];
}

const TYPES: ReadonlySet<string> = new Set<ObjectType>(['blob', 'tree', 'commit', 'tag']);

/**
 * Each content is hashed again: git itself does not, so a flipped bit that still inflates would go unseen.
 * @throws DamagedObjectError
 */
export function parseObjectBatch(output: Buffer, format: ObjectFormat): ObjectBatch {
  const objects = new Map<Oid, GitObject>();
  const missing: Oid[] = [];
  let at = 0;
  while (at < output.length) {
    const lineEnd = output.indexOf(0x0a, at);
    if (lineEnd < 0) throw new DamagedObjectError('the answer breaks off inside a header');
    const [id = '', type = '', size = ''] = output.toString('latin1', at, lineEnd).split(' ');
    at = lineEnd + 1;
    if (type === 'missing') {
      missing.push(id as Oid);
      continue;
    }
    const end = at + Number(size);
    if (!TYPES.has(type) || !/^\d+$/.test(size)) throw new DamagedObjectError(`unexpected header for ${id}`);
    if (end >= output.length) throw new DamagedObjectError(`the answer breaks off inside ${id}`);
    const object = makeObject(type as ObjectType, output.subarray(at, end), format);
    if (object.oid !== id) throw new DamagedObjectError(`the content of ${id} has another id, ${object.oid}`);
    objects.set(object.oid, object);
    at = end + 1;
  }
  return { objects, missing };
}
