import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { taskId } from '../../../src/task/id.ts';
import { parseTaskFile } from '../../../src/task/spec.ts';
import { PRIORITIES, taskJsonSchema } from '../../../src/task/task-schema.ts';

const limits = { maxTaskBytes: 256 * 1024, maxTimeoutSeconds: 3600 };
const parse = (file: unknown, id = 'build-1', over: Partial<typeof limits> = {}) =>
  parseTaskFile(Buffer.from(JSON.stringify(file)), taskId(id), { ...limits, ...over });
const problemsOf = (file: unknown): string[] => {
  const parsed = parse(file);
  return parsed.ok ? [] : parsed.problems;
};
const minimal = { task_id: 'build-1', script: 'echo hello' };

describe('a good task file', () => {
  it('needs no more than an id and a script', () => {
    expect(parse(minimal)).toEqual({
      ok: true,
      raw: minimal,
      spec: {
        taskId: 'build-1',
        program: { kind: 'script', script: 'echo hello' },
        timeoutMs: 60_000,
        image: null,
        env: {},
        network: null,
        cpus: null,
        memoryBytes: null,
        priority: 'medium',
        retries: 0,
        requires: [],
        admission: null,
        secrets: [],
        follow: false,
      },
    });
  });

  it('may say everything', () => {
    const parsed = parse({
      task_id: 'build-1',
      command: ['sh', '-c', 'echo "$GREETING"'],
      timeout_seconds: 5,
      image: 'registry.example:5000/tools/alpine@sha256:0123abcd',
      env: { GREETING: 'grüezi', _x1: '' },
      cpus: 0.25,
      memory: '256m',
      priority: 'critical',
      retries: 10,
      requires: ['gpu', 'arch=arm64', 'region:eu/ch'],
      network: 'team_a.builds-1',
      secrets: ['npm-token', 'deploy.key'],
      follow: true,
    });
    expect(parsed).toMatchObject({
      ok: true,
      spec: {
        program: { kind: 'command', argv: ['sh', '-c', 'echo "$GREETING"'] },
        timeoutMs: 5000,
        image: 'registry.example:5000/tools/alpine@sha256:0123abcd',
        env: { GREETING: 'grüezi', _x1: '' },
        cpus: 0.25,
        memoryBytes: 268_435_456,
        priority: 'critical',
        retries: 10,
        requires: ['gpu', 'arch=arm64', 'region:eu/ch'],
        network: 'team_a.builds-1',
        secrets: ['npm-token', 'deploy.key'],
        follow: true,
      },
    });
  });

  it('takes memory as a number of bytes too', () => {
    expect(parse({ ...minimal, memory: 8_388_608 })).toMatchObject({ ok: true, spec: { memoryBytes: 8_388_608 } });
  });

  it('has a default time limit that bends to a lower cap, a stated one does not', () => {
    expect(parse(minimal, 'build-1', { maxTimeoutSeconds: 30 })).toMatchObject({
      ok: true,
      spec: { timeoutMs: 30_000 },
    });
    expect(parse({ ...minimal, timeout_seconds: 90 }, 'build-1', { maxTimeoutSeconds: 30 })).toMatchObject({
      ok: true,
      spec: { timeoutMs: 90_000 },
    });
  });

  it('knows its priorities, most urgent first', () => {
    expect(PRIORITIES).toEqual(['critical', 'high', 'medium', 'low']);
  });
});

describe('a wrong field is named with its remedy', () => {
  it.each([
    ['task_id missing', { task_id: undefined }, /^task_id: is missing/],
    ['task_id illegal', { task_id: '../etc' }, /^task_id: must be 1 to 63 of a-z.*not "\.\.\/etc"/],
    ['task_id of another file', { task_id: 'build-2' }, /^task_id: is "build-2" but the file is "build-1\.json"/],
    ['no program', { script: undefined }, /^script: is missing.*exactly one/],
    ['two programs', { command: ['true'] }, /^command: stands beside script/],
    ['an empty script', { script: ' \n' }, /^script: must not be empty/],
    ['a script that is no text', { script: 7 }, /^script: must be a text, not 7/],
    ['a zero character', { script: 'echo \0' }, /^script: must not contain zero characters/],
    ['half a character', { script: 'echo \ud800' }, /^script: must not contain.*half/],
    ['an empty command', { script: undefined, command: [] }, /^command: must name a program/],
    ['a command without a program', { script: undefined, command: [''] }, /^command: must name a program/],
    ['a command as a text', { script: undefined, command: 'ls' }, /^command: must be an array of texts/],
    ['an argument that is no text', { script: undefined, command: ['ls', 3] }, /^command:\[1\] must be a text, not 3/],
    ['an argument too long', { script: undefined, command: ['x'.repeat(131_072)] }, /^command:\[0\] must have at most/],
    ['no time at all', { timeout_seconds: 0 }, /^timeout_seconds: must be a whole number of seconds from 1/],
    ['part of a second', { timeout_seconds: 1.5 }, /^timeout_seconds: .*not 1\.5/],
    ['more than a timer holds', { timeout_seconds: 3e9 }, /^timeout_seconds: .*to 2147483/],
    ['time as a text', { timeout_seconds: '60' }, /^timeout_seconds: .*not "60"/],
    ['a null', { image: null }, /^image: must be an image reference.*not null/],
    ['an image with a blank', { image: 'alpine --privileged' }, /^image: must be an image reference/],
    ['an image that begins with a dash', { image: '-v' }, /^image: must be an image reference/],
    ['an env name with a dash', { env: { 'A-B': 'x' } }, /^env: "A-B" must be a letter/],
    ['an env value that is no text', { env: { A: 1 } }, /^env: "A" must be a text; put figures in quotes/],
    ['an env as an array', { env: ['A=1'] }, /^env: must be an object of names and texts/],
    ['a reserved env name', { env: { DGRID_TOKEN: 'x' } }, /^env: "DGRID_TOKEN" is reserved/],
    ['an env value too long', { env: { A: 'x'.repeat(131_072) } }, /^env: "A" must have at most 131071 bytes/],
    ['too many env names', { env: Object.fromEntries(Array.from({ length: 129 }, (_, n) => [`V${n}`, ''])) }, /^env: /],
    ['no CPU', { cpus: 0 }, /^cpus: must be a number of CPUs from 0\.01.*not 0/],
    ['memory in a wrong unit', { memory: '1 lot' }, /^memory: must be a size from 6m.*not "1 lot"/],
    ['memory meant as MiB', { memory: 256 }, /^memory: .*bare number counts bytes.*not 256/],
    [
      'a priority of its own',
      { priority: 'urgent' },
      /^priority: must be one of critical, high, medium, low, not "urg/,
    ],
    ['too many retries', { retries: 11 }, /^retries: must be a whole number from 0 to 10, not 11/],
    ['labels as a text', { requires: 'gpu' }, /^requires: must be an array of labels/],
    ['an illegal label', { requires: ['ok', 'a b'] }, /^requires:\[1\] must be a label/],
    [
      'the network of a container',
      { network: 'container:x' },
      /^network: must be the name of a network.*not "container:x"/,
    ],
    ['no network at all', { network: '' }, /^network: must be the name of a network/],
    ['secrets as a text', { secrets: 'key' }, /^secrets: must be an array of names of secrets/],
    ['a way to a secret', { secrets: ['../key'] }, /^secrets:\[0\] must be the name of a secret/],
    ['a secret twice', { secrets: ['key', 'key'] }, /^secrets: must not have a name twice/],
    ['an unknown field', { timeout: 5 }, /^"timeout" is not a field of a task; the fields are task_id, script/],
  ])('%s', (_what, change, problem) => {
    expect(problemsOf({ ...minimal, ...change })).toEqual([expect.stringMatching(problem)]);
  });

  it('and every one of them at once', () => {
    const problems = problemsOf({ task_id: 'other', command: [], script: '', timeout_seconds: -1, colour: 'red' });
    for (const start of [
      'task_id: ',
      'script: ',
      'command: must',
      'command: stands',
      'timeout_seconds: ',
      '"colour" ',
    ]) {
      expect(problems).toContainEqual(expect.stringMatching(new RegExp(`^${start}`)));
    }
  });

  it.each([[[]], [null], ['text'], [3]])('%j is no task', (file) => {
    expect(problemsOf(file)).toEqual([expect.stringMatching(/^the file must be a JSON object/)]);
  });

  it('with a bound on how much it says', () => {
    const problems = problemsOf({
      ...minimal,
      requires: Array.from({ length: 32 }, () => 'a b'.repeat(1000)),
      ...Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`${'k'.repeat(70)}${n}`, 1])),
    });
    expect(problems).toHaveLength(20);
    expect(problems.at(-1)).toMatch(/^and \d+ more problems$/);
    expect(problems.join('\n').length).toBeLessThan(10_000);
  });
});

describe('the raw task', () => {
  it('is kept for the record when it could be read', () => {
    expect(parse({ ...minimal, retries: -1 })).toMatchObject({ ok: false, raw: { retries: -1 } });
  });

  it('is null when it could not', () => {
    expect(parseTaskFile(Buffer.from('{'), taskId('a'), limits)).toMatchObject({ ok: false, raw: null });
    expect(parse(minimal, 'build-1', { maxTaskBytes: 10 })).toMatchObject({ ok: false, raw: null });
  });
});

it('never throws, whatever stands in the file', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const parsed = parse(value);
      expect(parsed.ok).toBe(false);
    }),
    { numRuns: 200 },
  );
});

it('never throws, whatever stands in a field', () => {
  const field = fc.constantFrom(
    'script',
    'command',
    'timeout_seconds',
    'env',
    'cpus',
    'memory',
    'priority',
    'requires',
    'network',
    'secrets',
  );
  fc.assert(
    fc.property(field, fc.jsonValue({ maxDepth: 3 }), (name, value) => {
      const parsed = parse({ ...minimal, [name]: value });
      if (parsed.ok) expect(parsed.spec.timeoutMs).toBeGreaterThan(0);
      else expect(parsed.problems.length).toBeGreaterThan(0);
    }),
    { numRuns: 500 },
  );
});

it('has a JSON Schema for editors', () => {
  const schema = taskJsonSchema();
  expect(schema).toMatchObject({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    required: ['task_id'],
    additionalProperties: false,
    oneOf: [{ required: ['script'] }, { required: ['command'] }],
    properties: {
      priority: { enum: ['critical', 'high', 'medium', 'low'] },
      timeout_seconds: { type: 'integer', minimum: 1 },
      env: { type: 'object', additionalProperties: { type: 'string' } },
    },
  });
  const properties = schema['properties'] as Record<string, { description?: string }>;
  for (const [name, property] of Object.entries(properties)) expect(property.description, name).toBeTruthy();
});
