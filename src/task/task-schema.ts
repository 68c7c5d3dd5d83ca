/** The fields of a task file, each with what it must be: the messages of the worker, and the JSON Schema for editors. */
import { z } from 'zod';
import { ID_PATTERN } from './id.ts';
import { parseMemorySize } from './memory-size.ts';
import { quote } from './strict-json.ts';

/** Most urgent first: a task's place in the queue is its priority's index here. */
export const PRIORITIES = ['critical', 'high', 'medium', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

export const DEFAULT_TIMEOUT_SECONDS = 60;
/** Timers hold 2³¹ − 1 milliseconds; more would fire at once. */
export const LONGEST_TIMEOUT_SECONDS = 2_147_483;
export const MAX_RETRIES = 10;
export const MAX_ENV_NAMES = 128;
export const MAX_REQUIRED_LABELS = 32;
export const MAX_SECRETS = 16;
export const MAX_COMMAND_ARGUMENTS = 1024;
export const LABEL_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._/:=-]{0,62}$/;

/** What Linux takes as one argument or one NAME=value, with its closing zero. */
export const MAX_ARGUMENT_BYTES = 131_071;
/** The engine takes no less. */
const MIN_MEMORY_BYTES = 6 * 1024 ** 2;
const MIN_CPUS = 0.01;
const ENV_NAME_PATTERN = /^[A-Za-z_][A-Za-z0-9_]*$/;
export const RESERVED_ENV_PREFIX = 'DGRID_';
/** The name of a grid: mostly the host and path of its repository. */
export const GRID_NAME_PATTERN = /^[A-Za-z0-9/~._][A-Za-z0-9 ._~:/@+-]{0,254}$/;
const NONCE_PATTERN = /^[A-Za-z0-9_-]{16,64}$/;
const SECRET_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const NETWORK_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** For the JSON Schema, which knows no functions: what a text may consist of, and what looks like a size. */
const NOT_ZERO = '[^\\u0000]';
const ARGUMENT = { pattern: `^${NOT_ZERO}*$`, maxLength: MAX_ARGUMENT_BYTES };
const MEMORY_TEXT = '^\\s*\\d+(\\.\\d+)?([kKmMgGtT][iI]?)?[bB]?\\s*$';
const IMAGE_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$/;

/** One text for whatever is wrong with a field: what it must be is the remedy. */
function must(text: string): { error: (issue: { input?: unknown }) => string } {
  return { error: (issue) => (issue.input === undefined ? `is missing; it ${text}` : `${text}${shown(issue.input)}`) };
}

function shown(input: unknown): string {
  if (typeof input === 'string') return `, not ${quote(input)}`;
  return typeof input === 'number' || typeof input === 'boolean' || input === null ? `, not ${input}` : '';
}

const NOT_TRANSPORTABLE = 'must not contain zero characters or half characters (lone surrogates)';
const isTransportable = (text: string): boolean => !text.includes('\0') && text.isWellFormed();
const transportable = { error: NOT_TRANSPORTABLE };

export const ARGUMENT_TOO_LONG = `must have at most ${MAX_ARGUMENT_BYTES} bytes; hand long input over in "script"`;

const idText = must('must be 1 to 63 of a-z, 0-9, "_" and "-", beginning with a letter or figure');
const timeoutText = must(`must be a whole number of seconds from 1 to ${LONGEST_TIMEOUT_SECONDS}`);
const retriesText = must(`must be a whole number from 0 to ${MAX_RETRIES}`);
const cpusText = must(`must be a number of CPUs from ${MIN_CPUS}, such as 0.5`);
const imageText = must('must be an image reference, such as "alpine:3.20"');
const networkText = must('must be the name of a network, such as "none" or "builds"');
const memoryText = must('must be a size from 6m, such as "256m" or "1g" (a bare number counts bytes)');
const secretText = must('must be the name of a secret: at most 63 letters, figures and ". _ -"');
const labelText = must('must be a label of at most 63 letters, figures and ". _ / : = -"');

const gridText = must('must be the name of a grid (GRID_NAME), such as "git.example.com/team/tasks"');
const instantText = must('must be an instant in UTC, such as "2030-01-31T12:00:00Z"');
const nonceText = must('must be 16 to 64 letters, figures, "_" and "-", drawn at random');
export const admissionSchema = z.strictObject(
  {
    grid: z.string(gridText).regex(GRID_NAME_PATTERN, gridText).describe('The name of the grid (GRID_NAME).'),
    not_before: z.iso.datetime(instantText).optional().describe('Not started before this instant, in UTC.'),
    expires_at: z.iso.datetime(instantText).describe('Not started after this instant, in UTC.'),
    nonce: z.string(nonceText).regex(NONCE_PATTERN, nonceText).describe('Drawn at random, and used once.'),
  },
  must('must be an object of grid, expires_at, nonce and, if wanted, not_before'),
);

export const taskSchema = z
  .strictObject(
    {
      task_id: z
        .string(idText)
        .regex(ID_PATTERN, idText)
        .meta({
          description:
            "The task's name, and its file's: <task_id>.json. Used once: to run it again, give it a new one.",
          examples: ['hello-1', 'build_2030-01-31'],
        }),
      script: z
        .string(must('must be a text'))
        .refine((script) => script.trim() !== '', { error: 'must not be empty' })
        .refine(isTransportable, transportable)
        .optional()
        .meta({
          description: 'A shell script. Exactly one of script and command.',
          examples: ['echo hello from $(hostname)', 'set -eu\nmake test'],
          pattern: `^${NOT_ZERO}*[^\\s\\u0000]${NOT_ZERO}*$`,
        }),
      command: z
        .array(
          z
            .string(must('must be a text'))
            .refine(isTransportable, transportable)
            .refine((argument) => Buffer.byteLength(argument) <= MAX_ARGUMENT_BYTES, { error: ARGUMENT_TOO_LONG })
            .meta(ARGUMENT),
          must('must be an array of texts, the program first'),
        )
        .min(1, { error: 'must name a program as its first element' })
        .max(MAX_COMMAND_ARGUMENTS, { error: `must have at most ${MAX_COMMAND_ARGUMENTS} elements` })
        .refine((argv) => argv[0] !== '', { error: 'must name a program as its first element' })
        .optional()
        .meta({
          description: 'A program and its arguments, run without a shell. Exactly one of script and command.',
          examples: [['awk', 'BEGIN { print 6 * 7 }']],
          // What stands here is not looked at by "items" any more.
          prefixItems: [{ type: 'string', minLength: 1, ...ARGUMENT }],
        }),
      timeout_seconds: z
        .int(timeoutText)
        .min(1, timeoutText)
        .max(LONGEST_TIMEOUT_SECONDS, timeoutText)
        .optional()
        .meta({
          description: `Stopped after this many seconds; default ${DEFAULT_TIMEOUT_SECONDS}, at most the operator's cap.`,
          examples: [30, 600],
        }),
      image: z
        .string(imageText)
        .regex(IMAGE_PATTERN, imageText)
        .optional()
        .meta({
          description: "A container image on the operator's list.",
          examples: ['busybox:stable', 'registry.example.com/team/tools:1.4'],
        }),
      env: z
        .record(
          z.string().regex(ENV_NAME_PATTERN, { error: 'must be a letter or "_", then letters, figures and "_"' }),
          z
            .string(must('must be a text; put figures in quotes'))
            .refine(isTransportable, transportable)
            .meta({ pattern: `^${NOT_ZERO}*$` }),
          must('must be an object of names and texts'),
        )
        .refine((env) => Object.keys(env).length <= MAX_ENV_NAMES, {
          error: `must have at most ${MAX_ENV_NAMES} names`,
        })
        .optional()
        .meta({
          description: `Environment variables. Names that begin with ${RESERVED_ENV_PREFIX} are reserved.`,
          examples: [{ GREETING: 'Good morning' }],
          maxProperties: MAX_ENV_NAMES,
          propertyNames: { type: 'string', pattern: `^(?!${RESERVED_ENV_PREFIX})[A-Za-z_][A-Za-z0-9_]*$` },
        }),
      network: z
        .string(networkText)
        .regex(NETWORK_PATTERN, networkText)
        .optional()
        .meta({
          description: "A container network on the operator's list; none is always allowed.",
          examples: ['none', 'builds'],
        }),
      cpus: z
        .number(cpusText)
        .min(MIN_CPUS, cpusText)
        .optional()
        .meta({ description: "CPUs, at most the operator's cap.", examples: [0.5, 2] }),
      memory: z
        .union([z.string().meta({ pattern: MEMORY_TEXT }), z.int().meta({ minimum: MIN_MEMORY_BYTES })], memoryText)
        .refine((size) => (memoryBytesOf(size) ?? 0) >= MIN_MEMORY_BYTES, memoryText)
        .optional()
        .meta({
          description: 'Memory, such as "256m" or "1g", or a number of bytes; at most the operator\'s cap.',
          examples: ['256m', '1g', 268_435_456],
        }),
      priority: z
        .enum(PRIORITIES, must(`must be one of ${PRIORITIES.join(', ')}`))
        .optional()
        .meta({ description: 'Which tasks go first; default medium.', examples: ['high'] }),
      retries: z
        .int(retriesText)
        .min(0, retriesText)
        .max(MAX_RETRIES, retriesText)
        .optional()
        .meta({ description: 'How often to try again after an exit code other than 0; default 0.', examples: [3] }),
      requires: z
        .array(z.string(labelText).regex(LABEL_PATTERN, labelText), must('must be an array of labels'))
        .max(MAX_REQUIRED_LABELS, { error: `must have at most ${MAX_REQUIRED_LABELS} labels` })
        .optional()
        .meta({ description: 'Labels that the node must have.', examples: [['arm64', 'camera']] }),
      admission: admissionSchema.optional().meta({
        description:
          'What a signature of this file is good for: which grid, from when, until when; "dgrid submit --sign" adds it.',
        examples: [
          {
            grid: 'git.example.com/team/tasks',
            expires_at: '2030-01-08T00:00:00Z',
            nonce: '9f8e7d6c5b4a39281706f5e4d3c2b1a0',
          },
        ],
      }),
      secrets: z
        .array(z.string(secretText).regex(SECRET_PATTERN, secretText), must('must be an array of names of secrets'))
        .max(MAX_SECRETS, { error: `must have at most ${MAX_SECRETS} names` })
        .refine((names) => new Set(names).size === names.length, { error: 'must not have a name twice' })
        .optional()
        .meta({
          description: "Names of the operator's secrets, which a script finds as files in $DGRID_SECRETS_DIR.",
          examples: [['upload-token']],
          uniqueItems: true,
        }),
      follow: z
        .boolean(must('must be true or false'))
        .optional()
        .meta({
          description:
            'Whether to publish what the task writes while it runs, for "dgrid logs --follow"; default false.',
          examples: [true],
        }),
    },
    must('must be a JSON object'),
  )
  .describe('A task for D-GRID: tasks/queue/<task_id>.json');

export type TaskFile = z.infer<typeof taskSchema>;

/** What this version knows; each worker tells the others. */
export const TASK_FIELDS: readonly string[] = Object.keys(taskSchema.shape);

/** JSON Schema (draft 2020-12) of the task file, for editors and other programs. */
export function taskJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(taskSchema, { target: 'draft-2020-12', io: 'input' });
  return { ...schema, title: 'D-GRID task', oneOf: [{ required: ['script'] }, { required: ['command'] }] };
}

export function memoryBytesOf(size: string | number): number | null {
  return typeof size === 'number' ? size : parseMemorySize(size);
}
