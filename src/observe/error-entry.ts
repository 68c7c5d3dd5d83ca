/** An error as it stands in the log: with its whole chain of causes, and only with fields that are known to be small. */

const MAX_CAUSES = 8;
const MAX_AGGREGATED = 10;
const MAX_TEXT_LENGTH = 16 * 1024;
/** Error objects of libraries carry whole requests and responses; these fields tell what happened. */
const FIELDS = ['kind', 'operation', 'code', 'errno', 'syscall', 'path', 'statusCode', 'exitCode', 'signal'] as const;

export interface ErrorEntry {
  type: string;
  message: string;
  stack?: string;
  cause?: ErrorEntry;
  errors?: ErrorEntry[];
  [field: string]: unknown;
}

export function errorEntry(error: unknown, depth = 0): ErrorEntry {
  if (!(error instanceof Error)) return { type: typeof error, message: cut(textOf(error)) };
  const entry: ErrorEntry = { type: error.name, message: cut(error.message) };
  const details = error as Error & Partial<Record<(typeof FIELDS)[number], unknown>>;
  for (const field of FIELDS) {
    const value = details[field];
    if (typeof value === 'string') entry[field] = cut(value);
    else if (typeof value === 'number') entry[field] = value;
  }
  if (error.stack !== undefined) entry.stack = cut(error.stack);
  if (depth >= MAX_CAUSES) return entry;
  if (error.cause !== undefined && error.cause !== null) entry.cause = errorEntry(error.cause, depth + 1);
  if (error instanceof AggregateError) {
    entry.errors = error.errors.slice(0, MAX_AGGREGATED).map((one) => errorEntry(one, depth + 1));
  }
  return entry;
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function cut(text: string): string {
  return text.length <= MAX_TEXT_LENGTH ? text : `${text.slice(0, MAX_TEXT_LENGTH)}…`;
}
