/**
 * Keeps known secrets out of the log: as they are, inside base64 (a Basic authorization header holds a token that way) and
 * URL-encoded. Works on whole entries, so it does not matter through which field, message, error or stack one slipped in.
 */

/** A shorter text is no secret worth the name, and masking it would mask half of every entry. */
export const MIN_SECRET_LENGTH = 4;
/** Replaced tokens come in while the process runs; beyond this the oldest is forgotten. */
export const MAX_SECRETS = 64;
const MASK = '***';
/** A shorter piece of base64 would match by chance. */
const MIN_BASE64_PIECE_LENGTH = 5;

export class Redactor {
  readonly #secrets = new Map<string, readonly string[]>();
  /** What to replace in text, longest first, so that no part of a longer form is left over. */
  #forms: readonly string[] = [];
  /** What to look for in JSON: the forms, and the forms as a JSON string spells them. */
  #marks: readonly string[] = [];

  constructor(secrets: Iterable<string> = []) {
    for (const secret of secrets) this.add(secret);
  }

  add(secret: string): void {
    if (secret.length < MIN_SECRET_LENGTH) return;
    this.#secrets.delete(secret);
    this.#secrets.set(secret, formsOf(secret));
    if (this.#secrets.size > MAX_SECRETS) {
      const oldest = this.#secrets.keys().next();
      if (!oldest.done) this.#secrets.delete(oldest.value);
    }
    const forms = new Set([...this.#secrets.values()].flat());
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
  const encoded = encodeURIComponent(secret);
  const strict = encoded.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  const urls = [encoded, strict, strict.replaceAll('%20', '+')];
  const base64 = base64Pieces(secret);
  return [
    ...new Set([
      secret,
      ...urls,
      ...urls.map((url) => url.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())),
      ...base64,
      ...base64.map((piece) => piece.replaceAll('+', '-').replaceAll('/', '_')),
    ]),
  ];
}

/** How the secret looks inside the base64 of something longer: once for each place in a group of three bytes. */
function base64Pieces(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  const pieces = [0, 1, 2].map((shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    // Characters at the edges also depend on the neighbouring bytes.
    const tail = (shift + bytes.length) % 3 === 0 ? 0 : 1;
    return whole.slice(shift === 0 ? 0 : shift + 1, whole.length - tail);
  });
  return pieces.filter((piece) => piece.length >= MIN_BASE64_PIECE_LENGTH);
}
