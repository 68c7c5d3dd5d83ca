/**
 * JSON that does nothing to a terminal. Its strings come from other people: the words of a Git server, names of files. JSON
 * itself spells out only the oldest control characters; terminals obey younger ones, too, and marks that turn the direction
 * of writing make a text seem another one.
 */

/** Delete, the second set of control characters, and marks of direction. They stand in strings only. */
const ACTING = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The same document. */
export function escaped(json: string): string {
  return json.replace(ACTING, unicode);
}

/** For whoever shows the strings themselves: each holds the spelling now, but for line feeds and tabs. */
export function visible(json: string): string {
  return json
    .replace(/\\(?:\\|u00[01][0-9a-f]|[bfr])/gi, (found) => (found === '\\\\' ? found : `\\${found}`))
    .replace(ACTING, (character) => `\\${unicode(character)}`);
}

function unicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
