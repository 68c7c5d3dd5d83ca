import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type JsonPath, jsonPlaces, lineAndColumn } from '../../../../src/client/check/json-places.ts';

const DEPTH = 64;

function paths(value: unknown, path: JsonPath = []): { path: JsonPath; value: unknown }[] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([name, one]) =>
          paths(one, [...path, Array.isArray(value) ? Number(name) : name]),
        )
      : [];
  return [{ path, value }, ...inner];
}

describe('places in JSON', () => {
  it('are those of every name and every element, however it is laid out', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const places = jsonPlaces(text, DEPTH);
        const real = JSON.parse(text) as unknown;
        expect([places.errorAt, places.tooDeepAt]).toEqual([null, null]);
        for (const { path } of paths(real)) {
          const step = path.at(-1);
          const at = places.of(path);
          if (typeof step === 'string') expect(text.startsWith(JSON.stringify(step), at)).toBe(true);
          else expect(text.charAt(at)).toMatch(/[[{"\-0-9tfn]/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('find an error exactly where the parser of the language finds one', () => {
    const cut = fc.tuple(
      fc.jsonValue({ maxDepth: 3 }),
      fc.nat(),
      fc.constantFrom('', ',', '}', ']', '"', 'x', '1', '\n'),
    );
    fc.assert(
      fc.property(cut, ([value, where, put]) => {
        const whole = JSON.stringify(value, null, 1);
        const at = where % (whole.length + 1);
        const text = whole.slice(0, at) + put + whole.slice(at + 1);
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect(jsonPlaces(text, DEPTH).errorAt === null, text).toBe(isJson);
      }),
      { numRuns: 5_000 },
    );
  });

  it('tell repeated names, and stop before it is too deep', () => {
    const text = '{"a":1,\n"b":{"a":1,"a":2},\n"a":3,"__proto__":4}';
    const { repeatsAt } = jsonPlaces(text, DEPTH);
    expect(repeatsAt.map((at) => lineAndColumn(text, at))).toEqual([
      { line: 2, column: 12 },
      { line: 3, column: 1 },
      { line: 3, column: 7 },
    ]);
    expect(jsonPlaces('['.repeat(100_000), 3)).toMatchObject({ tooDeepAt: 3, errorAt: null });
    expect(jsonPlaces('[[[1]]]', 3)).toMatchObject({ tooDeepAt: null, errorAt: null });
  });

  it('fall back on what is around, where there is nothing', () => {
    const text = '{\n"env": {\n"A": 1}\n}';
    const places = jsonPlaces(text, DEPTH);
    expect(lineAndColumn(text, places.of(['env', 'A'])).line).toBe(3);
    expect(lineAndColumn(text, places.of(['env', 'B'])).line).toBe(2);
    expect(lineAndColumn(text, places.of(['script'])).line).toBe(1);
  });
});
