/** The published JSON Schemas of task files and records, by their path: for editors, and for programs in other languages. */

import { recordJsonSchema } from '../src/task/result-schema.ts';
import { taskJsonSchema } from '../src/task/task-schema.ts';

export function schemaFiles(): ReadonlyMap<string, string> {
  const text = (schema: object): string => `${JSON.stringify(schema, null, 2)}\n`;
  return new Map([
    ['schemas/task.schema.json', text(taskJsonSchema())],
    ['schemas/result.schema.json', text(recordJsonSchema())],
  ]);
}
