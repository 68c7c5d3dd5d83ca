/** The examples are what people copy first: each must be accepted as it stands, by a worker with default settings. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { taskId } from '../../src/task/id.ts';
import { parseTaskFile } from '../../src/task/spec.ts';
import { taskJsonSchema } from '../../src/task/task-schema.ts';

const ROOT = join(import.meta.dirname, '../..');
const DIRECTORY = join(ROOT, 'examples/tasks');
const LIMITS = { maxTaskBytes: 256 * 1024, maxTimeoutSeconds: 3600 };
const FILES = readdirSync(DIRECTORY);

describe('examples', () => {
  it.each(FILES)('%s is a task', (file) => {
    const id = taskId(basename(file, '.json'));
    const parsed = parseTaskFile(readFileSync(join(DIRECTORY, file)), id, LIMITS);
    expect(parsed).toMatchObject({ ok: true, spec: { taskId: id } });
  });

  it('show every field of a task', () => {
    const shown = FILES.flatMap((file) =>
      Object.keys(JSON.parse(readFileSync(join(DIRECTORY, file), 'utf8')) as object),
    );
    const { properties } = taskJsonSchema() as { properties: object };
    expect([...new Set(shown)].toSorted()).toEqual(Object.keys(properties).toSorted());
  });

  it('are all explained, and nothing else is', () => {
    const readme = readFileSync(join(ROOT, 'examples/README.md'), 'utf8');
    const explained = [...readme.matchAll(/^\| `([^`]+)`/gm)].map(([, file]) => String(file));
    expect(explained.toSorted()).toEqual(FILES.toSorted());
  });
});
