/**
 * JSON as the submitter, the reviewer and the worker must all read it the same way: plain UTF-8, no name twice in one
 * object (parsers disagree on which one counts), bounded in size and depth.
 */
export interface StrictJsonLimits {
  maxBytes: number;
  /** How many objects and arrays may stand inside each other. */
  maxDepth: number;
}

export type StrictJson = { ok: true; value: unknown } | { ok: false; problems: string[]; value: unknown };

const SHOWN_CHARACTERS = 60;
const SHOWN_REPEATS = 5;

/** Never throws. On failure `value` is what could be read all the same, else null. */
export function parseStrictJson(bytes: Uint8Array, limits: StrictJsonLimits): StrictJson {
  if (bytes.length > limits.maxBytes) {
    return failed(`the file has ${bytes.length} bytes, the most allowed is ${limits.maxBytes}; make it smaller`);
  }
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return failed('the file begins with a byte order mark; save it as UTF-8 without one');
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return failed('the file is not UTF-8; save it as UTF-8');
  }
  let value: unknown;
  try {
    // The engine's parser keeps its own stack, so that depth is no danger here; it is one to whoever walks the value.
    value = JSON.parse(text);
  } catch (error) {
    return failed(`the file is not JSON: ${shorten((error as Error).message, 2 * SHOWN_CHARACTERS)}`);
  }
  const shape = inspect(text, limits.maxDepth);
  if (shape.tooDeep) {
    return failed(`the file nests deeper than ${limits.maxDepth} objects and arrays; make it flatter`);
  }
  const problems = [...shape.repeated].map(
    (name) => `${quote(name)} stands twice in the same object; keep one of them`,
  );
  // As an own property it would vanish or do harm in whatever copies the object.
  if (shape.hasProtoName) problems.push('"__proto__" is not allowed as a name; remove it');
  return problems.length > 0 ? { ok: false, problems, value } : { ok: true, value };
}

/** Whether JSON (which it must be) nests deeper than that: who walks such a value runs out of stack. */
export function isTooDeep(json: string, maxDepth: number): boolean {
  return inspect(json, maxDepth).tooDeep;
}

/** A name or value from a task file, quoted and cut so that a message stays a message. */
export function quote(text: string): string {
  return JSON.stringify(shorten(text, SHOWN_CHARACTERS));
}

function shorten(text: string, maxCharacters: number): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters).toWellFormed()}…`;
}

function failed(problem: string): StrictJson {
  return { ok: false, problems: [problem], value: null };
}

interface Shape {
  tooDeep: boolean;
  repeated: Set<string>;
  hasProtoName: boolean;
}

/** Walks text that is known to be valid JSON: only then is every quote the begin of a string. */
function inspect(text: string, maxDepth: number): Shape {
  const shape: Shape = { tooDeep: false, repeated: new Set(), hasProtoName: false };
  /** One entry for each open bracket: the names seen so far of an object, null for an array. */
  const open: (Set<string> | null)[] = [];
  let nameIsNext = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charAt(at)) {
      case '{':
        open.push(new Set());
        nameIsNext = true;
        break;
      case '[':
        open.push(null);
        nameIsNext = false;
        break;
      case '}':
      case ']':
        open.pop();
        nameIsNext = false;
        break;
      case ',':
        nameIsNext = open.at(-1) instanceof Set;
        break;
      case '"': {
        const end = endOfString(text, at);
        const names = open.at(-1);
        if (nameIsNext && names) {
          const name = JSON.parse(text.slice(at, end + 1)) as string;
          if (names.has(name) && shape.repeated.size < SHOWN_REPEATS) shape.repeated.add(name);
          names.add(name);
          shape.hasProtoName ||= name === '__proto__';
          nameIsNext = false;
        }
        at = end;
        break;
      }
    }
    if (open.length > maxDepth) return { ...shape, tooDeep: true };
  }
  return shape;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}
