/** The description of `/api/v1` for programs: OpenAPI 3.1, made from the schemas that the documents are checked by. */
import { z } from 'zod';
import { ID_PATTERN } from '../task/id.ts';
import { changeNotice, nodeList, nodeRow, overview, problemDocument, taskDetail, taskList, taskRow } from './model.ts';
import { taskQuery } from './task-list.ts';

export const API_PREFIX = '/api/v1';

const SCHEMAS = {
  Overview: overview,
  TaskList: taskList,
  TaskDetail: taskDetail,
  TaskRow: taskRow,
  NodeList: nodeList,
  NodeRow: nodeRow,
  ChangeNotice: changeNotice,
  Problem: problemDocument,
} as const;

type SchemaName = keyof typeof SCHEMAS;

const taskIdParameter = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'the id of a task',
  schema: { type: 'string', pattern: ID_PATTERN.source },
};

/** @param version of the product. */
export function openApiDocument(version: string): Record<string, unknown> {
  return {
    openapi: '3.1.0',
    info: {
      title: 'D-GRID',
      version,
      description: 'What a task grid is doing, read only. Fields may be added under the same schema_version.',
    },
    paths: {
      [`${API_PREFIX}/overview`]: {
        get: {
          summary: 'The whole grid at a glance',
          parameters: [ifNoneMatch],
          responses: {
            200: { ...json('Overview'), headers: { ETag: { schema: { type: 'string' } } } },
            304: { description: 'Nothing has changed since the document with that ETag' },
            ...problems(),
          },
        },
      },
      [`${API_PREFIX}/tasks`]: {
        get: {
          summary: 'Tasks through a filter, page by page',
          parameters: queryParameters(),
          responses: { 200: json('TaskList'), ...problems(400) },
        },
      },
      [`${API_PREFIX}/tasks/{id}`]: {
        get: {
          summary: 'One task with all that is known of it',
          parameters: [taskIdParameter],
          responses: { 200: json('TaskDetail'), ...problems(404, 502, 503) },
        },
      },
      [`${API_PREFIX}/tasks/{id}/output/{stream}`]: {
        get: {
          summary: 'What a task with a result wrote, as far as it was kept; of a long one the end',
          parameters: [
            taskIdParameter,
            { name: 'stream', in: 'path', required: true, schema: { type: 'string', enum: ['stdout', 'stderr'] } },
          ],
          responses: {
            200: {
              description: 'the output',
              headers: {
                'x-dgrid-total-bytes': { description: 'what the task wrote in all', schema: { type: 'integer' } },
                'x-dgrid-whole': { description: 'whether this is all of it', schema: { enum: ['true', 'false'] } },
              },
              content: { 'text/plain': { schema: { type: 'string' } } },
            },
            ...problems(404, 502, 503),
          },
        },
      },
      [`${API_PREFIX}/nodes`]: {
        get: { summary: 'All workers', responses: { 200: json('NodeList'), ...problems() } },
      },
      [`${API_PREFIX}/events`]: {
        get: {
          summary: 'Server-sent events: "changed" whenever the overview has another revision',
          responses: {
            200: {
              description: 'events whose data is a ChangeNotice',
              content: { 'text/event-stream': { schema: { type: 'string' } } },
            },
            ...problems(503),
          },
        },
      },
      [`${API_PREFIX}/openapi.json`]: {
        get: {
          summary: 'This document',
          responses: {
            200: { description: 'this document', content: { 'application/json': { schema: { type: 'object' } } } },
            ...problems(),
          },
        },
      },
    },
    components: {
      schemas: Object.fromEntries(Object.entries(SCHEMAS).map(([name, schema]) => [name, schemaOf(schema)])),
    },
  };
}

const ifNoneMatch = {
  name: 'If-None-Match',
  in: 'header',
  description: 'the ETag of the document that is there already',
  schema: { type: 'string' },
};

/** Later versions may add fields: whoever reads by this must not refuse them. */
function schemaOf(schema: z.ZodType): unknown {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io: 'input' });
  return described;
}

function json(name: SchemaName): Record<string, unknown> {
  return {
    description: SCHEMAS[name].description ?? name,
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } },
  };
}

const PROBLEM_TEXTS = {
  400: 'The question is not understood',
  404: 'There is no such thing',
  502: 'The repository could not be read',
  503: 'Too much is asked for at the same time',
} as const;

function problems(...codes: (keyof typeof PROBLEM_TEXTS)[]): Record<string, unknown> {
  const answers = codes.map((code) => [code, { ...json('Problem'), description: PROBLEM_TEXTS[code] }]);
  return {
    ...Object.fromEntries(answers),
    default: { ...json('Problem'), description: 'Anything else that went wrong' },
  };
}

function queryParameters(): unknown[] {
  const { properties = {} } = z.toJSONSchema(taskQuery, { io: 'input' });
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = schema as { description?: string };
    return { name, in: 'query', required: false, ...(description ? { description } : {}), schema: rest };
  });
}
