/**
 * Where in a text of JSON things stand: each name and value by its path, and the places where it is no JSON, repeats a name
 * or nests too deep. The parsers of the language tell values and lose places. Pure.
 */

export type JsonPath = readonly (string | number)[];

export interface JsonPlaces {
  /** Where it stops being JSON; null: it is JSON, as far as it was read. */
  errorAt: number | null;
  /** Where it becomes deeper than that; null: it does not. Nothing behind it is read. */
  tooDeepAt: number | null;
  /** The second of two equal names in one object, and each "__proto__", in the order of the text. */
  repeatsAt: number[];
  /** Where a value stands, or the nearest thing around it that is there: names for what stands in an object. */
  of(path: JsonPath): number;
}

class Stop extends Error {}

const LITERAL = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// oxlint-disable-next-line no-control-regex -- JSON allows none inside of a text
const TEXT = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;

/** @param maxDepth how many objects and arrays may stand inside each other. Never throws. */
export function jsonPlaces(text: string, maxDepth: number): JsonPlaces {
  const scan = new Scan(text, maxDepth);
  try {
    scan.value([]);
    scan.end();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  const { places } = scan;
  return {
    errorAt: scan.errorAt,
    tooDeepAt: scan.tooDeepAt,
    repeatsAt: scan.repeatsAt,
    of: (path) => {
      for (let length = path.length; length > 0; length -= 1) {
        const at = places.get(keyOf(path.slice(0, length)));
        if (at !== undefined) return at;
      }
      return places.get(keyOf([])) ?? 0;
    },
  };
}

/** Lines and columns begin with 1, and columns count UTF-16 units, as editors do. */
export function lineAndColumn(text: string, at: number): { line: number; column: number } {
  let line = 1;
  let begin = 0;
  for (let next = text.indexOf('\n'); next !== -1 && next < at; next = text.indexOf('\n', next + 1)) {
    line += 1;
    begin = next + 1;
  }
  return { line, column: at - begin + 1 };
}

class Scan {
  readonly #text: string;
  readonly #maxDepth: number;
  readonly places = new Map<string, number>();
  errorAt: number | null = null;
  tooDeepAt: number | null = null;
  readonly repeatsAt: number[] = [];
  #at = 0;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  /** The stack grows with the depth, which has a bound. */
  value(path: JsonPath): void {
    this.#skip(SPACE);
    const begin = this.#at;
    // Of what stands in an object its name is the place.
    const key = keyOf(path);
    if (!this.places.has(key)) this.places.set(key, begin);
    const first = this.#text.charAt(begin);
    if (first === '{' || first === '[') {
      if (path.length >= this.#maxDepth) {
        this.tooDeepAt = begin;
        throw new Stop();
      }
      this.#at += 1;
      if (first === '{') this.#object(path);
      else this.#array(path);
    } else if (first === '"') this.#textual();
    else if (!this.#skip(LITERAL)) this.#fail();
  }

  end(): void {
    this.#skip(SPACE);
    if (this.#at < this.#text.length) this.#fail();
  }

  #object(path: JsonPath): void {
    const names = new Set<string>();
    this.#skip(SPACE);
    if (this.#take('}')) return;
    do {
      this.#skip(SPACE);
      const begin = this.#at;
      const name = JSON.parse(this.#textual()) as string;
      if (names.has(name) || name === '__proto__') this.repeatsAt.push(begin);
      names.add(name);
      this.#skip(SPACE);
      if (!this.#take(':')) this.#fail();
      const inner = [...path, name];
      this.places.set(keyOf(inner), begin);
      this.value(inner);
      this.#skip(SPACE);
    } while (this.#take(','));
    if (!this.#take('}')) this.#fail();
  }

  #array(path: JsonPath): void {
    this.#skip(SPACE);
    if (this.#take(']')) return;
    let index = 0;
    do {
      this.value([...path, index]);
      index += 1;
      this.#skip(SPACE);
    } while (this.#take(','));
    if (!this.#take(']')) this.#fail();
  }

  #textual(): string {
    const begin = this.#at;
    if (!this.#skip(TEXT)) this.#fail();
    return this.#text.slice(begin, this.#at);
  }

  #take(character: string): boolean {
    if (this.#text.charAt(this.#at) !== character) return false;
    this.#at += 1;
    return true;
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.#text)) return false;
    this.#at = pattern.lastIndex;
    return true;
  }

  #fail(): never {
    this.errorAt = this.#at;
    throw new Stop();
  }
}

function keyOf(path: JsonPath): string {
  return JSON.stringify(path);
}
