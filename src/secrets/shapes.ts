/**
 * The shapes in which a secret slips into text: as it is, in base64 (also inside the base64 of something longer), in
 * hexadecimal, URL-encoded, and as a JSON string spells it. For whoever has to mask it. Pure.
 */
import { isUtf8 } from 'node:buffer';

/** A shorter piece of base64 would match by chance. */
const MIN_BASE64_PIECE_LENGTH = 5;

/** All shapes but the secret itself. */
export function encodedShapes(secret: Uint8Array): readonly string[] {
  const bytes = Buffer.from(secret);
  const base64 = base64Pieces(bytes);
  const hex = bytes.toString('hex');
  return [
    ...new Set([
      ...(isUtf8(bytes) ? textShapes(bytes.toString('utf8')) : []),
      ...base64,
      ...base64.map((piece) => piece.replaceAll('+', '-').replaceAll('/', '_')),
      hex,
      hex.toUpperCase(),
    ]),
  ];
}

function textShapes(secret: string): string[] {
  const encoded = encodeURIComponent(secret);
  const strict = encoded.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  const urls = [encoded, strict, strict.replaceAll('%20', '+')];
  return [
    JSON.stringify(secret).slice(1, -1),
    ...urls,
    ...urls.map((url) => url.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())),
  ];
}

/** How the secret looks inside the base64 of something longer: once for each place in a group of three bytes. */
function base64Pieces(secret: Buffer): string[] {
  const pieces = [0, 1, 2].map((shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift), secret])
      .toString('base64')
      .replace(/=+$/, '');
    // Characters at the edges also depend on the neighbouring bytes.
    const tail = (shift + secret.length) % 3 === 0 ? 0 : 1;
    return whole.slice(shift === 0 ? 0 : shift + 1, whole.length - tail);
  });
  return pieces.filter((piece) => piece.length >= MIN_BASE64_PIECE_LENGTH);
}
