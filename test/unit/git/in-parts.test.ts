import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { GitError } from '../../../src/git/errors.ts';
import { OversizedError } from '../../../src/git/http/pack-reader.ts';
import { inParts, MAX_WANTS } from '../../../src/git/in-parts.ts';
import { type Oid, oid } from '../../../src/git/oid.ts';

const id = (at: number): Oid => oid(at.toString(16).padStart(40, '0'));

it('gets all but what is to blame, and names that', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(200), fc.uniqueArray(fc.nat(199), { maxLength: 10 }), async (count, culprits) => {
      const wanted = Array.from({ length: count }, (_, at) => id(at));
      const bad = new Set(culprits.filter((at) => at < count).map(id));
      const got: Oid[] = [];
      const refused: Oid[] = [];
      let requests = 0;
      await inParts(wanted, {
        ask: async (batch) => {
          requests += 1;
          if (batch.some((one) => bad.has(one))) throw new OversizedError(9);
          got.push(...batch);
        },
        blames: (error) => (error instanceof OversizedError ? error : null),
        refuse: (one) => refused.push(one),
      });
      expect(new Set(got)).toEqual(new Set(wanted.filter((one) => !bad.has(one))));
      expect(new Set(refused)).toEqual(bad);
      expect(requests).toBeLessThanOrEqual(1 + bad.size * 2 * 8);
    }),
  );
});

it('goes on another time with what is left after very many requests', async () => {
  const wanted = Array.from({ length: 2_000 }, (_, at) => id(at));
  const refused = new Set<Oid>();
  const blames = (error: unknown): OversizedError => error as OversizedError;
  for (let looks = 0; refused.size < wanted.length; looks += 1) {
    expect(looks).toBeLessThan(20);
    let requests = 0;
    await inParts(
      wanted.filter((one) => !refused.has(one)),
      {
        ask: async () => {
          requests += 1;
          throw new OversizedError(9);
        },
        blames,
        refuse: (one) => refused.add(one),
      },
    );
    expect(requests).toBeLessThanOrEqual(300);
  }
});

it('asks for so many at a time, and gives up where no object is to blame', async () => {
  const sizes: number[] = [];
  const wanted = Array.from({ length: MAX_WANTS + 1 }, (_, at) => id(at));
  const parts = { blames: () => null, refuse: () => undefined };
  await inParts(wanted, { ...parts, ask: async (batch) => void sizes.push(batch.length) });
  expect(sizes.toSorted((a, b) => a - b)).toEqual([1, MAX_WANTS]);
  const ask = async (): Promise<void> => {
    throw new GitError('network', 'fetch', 'gone');
  };
  await expect(inParts(wanted, { ...parts, ask })).rejects.toThrow('gone');
});
