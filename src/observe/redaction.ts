/**
 * Keeps known secrets out of the log, in all their shapes (a Basic authorization header holds a token in base64, say).
 * Works on whole entries, so it does not matter through which field, message, error or stack one slipped in.
 */
import { encodedShapes } from '../secrets/shapes.ts';

/** A shorter text is no secret worth the name, and masking it would mask half of every entry. */
export const MIN_SECRET_LENGTH = 4;
/** Of those that come in while the process runs; beyond this the oldest is forgotten. */
export const MAX_SECRETS = 64;
const MASK = '***';

export class Redactor {
  /** Known from the beginning, and never forgotten: those of tasks, which come and go, must not push them out. */
  readonly #own = new Map<string, readonly string[]>();
  readonly #added = new Map<string, readonly string[]>();
  /** What to replace in text, longest first, so that no part of a longer form is left over. */
  #forms: readonly string[] = [];
  /** What to look for in JSON: the forms, and the forms as a JSON string spells them. */
  #marks: readonly string[] = [];

  constructor(secrets: Iterable<string> = []) {
    for (const secret of secrets) if (secret.length >= MIN_SECRET_LENGTH) this.#own.set(secret, formsOf(secret));
    this.#collect();
  }

  add(secret: string): void {
    if (secret.length < MIN_SECRET_LENGTH || this.#own.has(secret)) return;
    const known = this.#added.get(secret);
    this.#added.delete(secret);
    this.#added.set(secret, known ?? formsOf(secret));
    if (known !== undefined) return;
    const [oldest] = this.#added.keys();
    if (this.#added.size > MAX_SECRETS && oldest !== undefined) this.#added.delete(oldest);
    this.#collect();
  }

  #collect(): void {
    const forms = new Set([...this.#own.values(), ...this.#added.values()].flat());
    this.#forms = [...forms].sort((a, b) => b.length - a.length);
    this.#marks = [...new Set(this.#forms.flatMap((form) => [form, JSON.stringify(form).slice(1, -1)]))];
  }

  text(value: string): string {
    let clean = value;
    for (const form of this.#forms) clean = clean.replaceAll(form, MASK);
    return clean;
  }

  /** `line` is one JSON document. Only strings and names change, so what comes out is JSON again. */
  jsonLine(line: string): string {
    if (!this.#marks.some((mark) => line.includes(mark))) return line;
    return `${JSON.stringify(this.#value(JSON.parse(line)))}\n`;
  }

  #value(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((item) => this.#value(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [this.text(name), this.#value(item)]));
  }
}

function formsOf(secret: string): readonly string[] {
  return [secret, ...encodedShapes(Buffer.from(secret, 'utf8'))];
}
