/** The task file: what a submitter writes, checked strictly, with messages that say what to mend. */
import { z } from 'zod';
import { ID_PATTERN, type TaskId } from './id.ts';
import { parseMemorySize } from './memory-size.ts';
import { parseStrictJson, quote } from './strict-json.ts';

/** Most urgent first: a task's place in the queue is its priority's index here. */
export const PRIORITIES = ['critical', 'high', 'medium', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

export type TaskProgram = { kind: 'script'; script: string } | { kind: 'command'; argv: readonly string[] };

export interface TaskSpec {
  taskId: TaskId;
  program: TaskProgram;
  timeoutMs: number;
  /** null: the operator's default image. */
  image: string | null;
  env: Readonly<Record<string, string>>;
  /** null: the operator's. */
  network: string | null;
  /** null: the operator's default. */
  cpus: number | null;
  /** null: the operator's default. */
  memoryBytes: number | null;
  priority: Priority;
  /** How often to try again after an exit code other than 0. */
  retries: number;
  /** Labels that a node must have to run it. */
  requires: readonly string[];
  /** Names of the operator's secrets that it asks for. */
  secrets: readonly string[];
  /** What a signature of this file is good for; null: it says nothing of it. */
  admission: TaskAdmission | null;
}

/** Signed with the rest of the file, so that the signature is worth nothing elsewhere, later, or a second time. */
export interface TaskAdmission {
  grid: string;
  /** Milliseconds since 1970; null: from the beginning of time. */
  notBeforeMs: number | null;
  expiresAtMs: number;
  nonce: string;
}

export interface TaskLimits {
  maxTaskBytes: number;
  /** The operator's cap. Lowers the default only: a task that asks for more by name is a matter of policy. */
  maxTimeoutSeconds: number;
}

export type ParsedTask =
  | { ok: true; spec: TaskSpec; raw: unknown }
  /** `raw` is the parsed JSON for the record; null when there is none that is safe to keep. */
  | { ok: false; problems: string[]; raw: unknown };

export const DEFAULT_TIMEOUT_SECONDS = 60;
/** Timers hold 2³¹ − 1 milliseconds; more would fire at once. */
export const LONGEST_TIMEOUT_SECONDS = 2_147_483;
export const MAX_RETRIES = 10;
export const MAX_ENV_NAMES = 128;
export const MAX_REQUIRED_LABELS = 32;
export const MAX_SECRETS = 16;
export const MAX_COMMAND_ARGUMENTS = 1024;
export const LABEL_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._/:=-]{0,62}$/;

const MAX_DEPTH = 16;
const MAX_PROBLEMS = 20;
/** What Linux takes as one argument or one NAME=value, with its closing zero. */
const MAX_ARGUMENT_BYTES = 131_071;
/** The engine takes no less. */
const MIN_MEMORY_BYTES = 6 * 1024 ** 2;
const MIN_CPUS = 0.01;
const ENV_NAME_PATTERN = /^[A-Za-z_][A-Za-z0-9_]*$/;
const RESERVED_ENV_PREFIX = 'DGRID_';
/** The name of a grid: mostly the host and path of its repository. */
export const GRID_NAME_PATTERN = /^[A-Za-z0-9/~._][A-Za-z0-9 ._~:/@+-]{0,254}$/;
const NONCE_PATTERN = /^[A-Za-z0-9_-]{16,64}$/;
const SECRET_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const NETWORK_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
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

const ARGUMENT_TOO_LONG = `must have at most ${MAX_ARGUMENT_BYTES} bytes; hand long input over in "script"`;

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
const admissionSchema = z.strictObject(
  {
    grid: z.string(gridText).regex(GRID_NAME_PATTERN, gridText),
    not_before: z.iso.datetime(instantText).optional(),
    expires_at: z.iso.datetime(instantText),
    nonce: z.string(nonceText).regex(NONCE_PATTERN, nonceText),
  },
  must('must be an object of grid, expires_at, nonce and, if wanted, not_before'),
);

const taskSchema = z
  .strictObject(
    {
      task_id: z.string(idText).regex(ID_PATTERN, idText).describe("The task's name, and its file's: <task_id>.json"),
      script: z
        .string(must('must be a text'))
        .refine((script) => script.trim() !== '', { error: 'must not be empty' })
        .refine(isTransportable, transportable)
        .optional()
        .describe('A shell script. Exactly one of script and command.'),
      command: z
        .array(
          z
            .string(must('must be a text'))
            .refine(isTransportable, transportable)
            .refine((argument) => Buffer.byteLength(argument) <= MAX_ARGUMENT_BYTES, { error: ARGUMENT_TOO_LONG }),
          must('must be an array of texts, the program first'),
        )
        .min(1, { error: 'must name a program as its first element' })
        .max(MAX_COMMAND_ARGUMENTS, { error: `must have at most ${MAX_COMMAND_ARGUMENTS} elements` })
        .refine((argv) => argv[0] !== '', { error: 'must name a program as its first element' })
        .optional()
        .describe('A program and its arguments, run without a shell. Exactly one of script and command.'),
      timeout_seconds: z
        .int(timeoutText)
        .min(1, timeoutText)
        .max(LONGEST_TIMEOUT_SECONDS, timeoutText)
        .optional()
        .describe(`Stopped after this many seconds; default ${DEFAULT_TIMEOUT_SECONDS}, at most the operator's cap.`),
      image: z
        .string(imageText)
        .regex(IMAGE_PATTERN, imageText)
        .optional()
        .describe("A container image on the operator's list."),
      env: z
        .record(
          z.string().regex(ENV_NAME_PATTERN, { error: 'must be a letter or "_", then letters, figures and "_"' }),
          z.string(must('must be a text; put figures in quotes')).refine(isTransportable, transportable),
          must('must be an object of names and texts'),
        )
        .refine((env) => Object.keys(env).length <= MAX_ENV_NAMES, {
          error: `must have at most ${MAX_ENV_NAMES} names`,
        })
        .optional()
        .describe(`Environment variables. Names that begin with ${RESERVED_ENV_PREFIX} are reserved.`),
      network: z
        .string(networkText)
        .regex(NETWORK_PATTERN, networkText)
        .optional()
        .describe("A container network on the operator's list; none is always allowed."),
      cpus: z.number(cpusText).min(MIN_CPUS, cpusText).optional().describe("CPUs, at most the operator's cap."),
      memory: z
        .union([z.string(), z.int()], memoryText)
        .refine((size) => (memoryBytesOf(size) ?? 0) >= MIN_MEMORY_BYTES, memoryText)
        .optional()
        .describe('Memory, such as "256m" or "1g", or a number of bytes; at most the operator\'s cap.'),
      priority: z
        .enum(PRIORITIES, must(`must be one of ${PRIORITIES.join(', ')}`))
        .optional()
        .describe('Which tasks go first; default medium.'),
      retries: z
        .int(retriesText)
        .min(0, retriesText)
        .max(MAX_RETRIES, retriesText)
        .optional()
        .describe('How often to try again after an exit code other than 0; default 0.'),
      requires: z
        .array(z.string(labelText).regex(LABEL_PATTERN, labelText), must('must be an array of labels'))
        .max(MAX_REQUIRED_LABELS, { error: `must have at most ${MAX_REQUIRED_LABELS} labels` })
        .optional()
        .describe('Labels that the node must have.'),
      admission: admissionSchema
        .optional()
        .describe(
          'What a signature of this file is good for: which grid, from when, until when; "dgrid submit --sign" adds it.',
        ),
      secrets: z
        .array(z.string(secretText).regex(SECRET_PATTERN, secretText), must('must be an array of names of secrets'))
        .max(MAX_SECRETS, { error: `must have at most ${MAX_SECRETS} names` })
        .refine((names) => new Set(names).size === names.length, { error: 'must not have a name twice' })
        .optional()
        .describe("Names of the operator's secrets, which a script finds as files in $DGRID_SECRETS_DIR."),
    },
    must('must be a JSON object'),
  )
  .describe('A task for D-GRID: tasks/queue/<task_id>.json');

type TaskFile = z.infer<typeof taskSchema>;

/**
 * Reads a task file of the queue. Never throws; a problem is one line that names the field and what it must be.
 * What the operator allows (images, caps) is not checked here but by `checkAgainstPolicy`.
 */
export function parseTaskFile(bytes: Uint8Array, expectedId: TaskId, limits: TaskLimits): ParsedTask {
  const json = parseStrictJson(bytes, { maxBytes: limits.maxTaskBytes, maxDepth: MAX_DEPTH });
  if (!json.ok) return { ok: false, problems: json.problems, raw: json.value };
  const raw = json.value;
  const parsed = taskSchema.safeParse(raw);
  const problems = new Set(parsed.success ? [] : parsed.error.issues.flatMap(problemsOf));
  if (typeof raw === 'object' && raw !== null && !Array.isArray(raw)) {
    for (const problem of problemsAcrossFields(raw as Record<string, unknown>, expectedId)) problems.add(problem);
  }
  if (!parsed.success || problems.size > 0) return { ok: false, problems: bounded([...problems]), raw };
  return { ok: true, spec: specOf(parsed.data, expectedId, limits), raw };
}

/** JSON Schema (draft 2020-12) of the task file, for editors and other programs. */
export function taskJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(taskSchema, { target: 'draft-2020-12', io: 'input' });
  return { ...schema, title: 'D-GRID task', oneOf: [{ required: ['script'] }, { required: ['command'] }] };
}

/** Checked on the raw object, so that these too are named when something else is wrong. */
function problemsAcrossFields(raw: Record<string, unknown>, expectedId: TaskId): string[] {
  const problems: string[] = [];
  const { task_id: id, script, command, env } = raw as Partial<Record<keyof TaskFile, unknown>>;
  if (typeof id === 'string' && ID_PATTERN.test(id) && id !== expectedId) {
    problems.push(`task_id: is ${quote(id)} but the file is ${quote(`${expectedId}.json`)}; make the two the same`);
  }
  if (script === undefined && command === undefined) {
    problems.push('script: is missing; a task needs exactly one of script and command');
  } else if (script !== undefined && command !== undefined) {
    problems.push('command: stands beside script; a task needs exactly one of the two, remove the other');
  }
  if (typeof env === 'object' && env !== null && !Array.isArray(env)) {
    for (const [name, value] of Object.entries(env)) {
      if (name.startsWith(RESERVED_ENV_PREFIX)) {
        problems.push(`env: ${quote(name)} is reserved; choose a name that does not begin with ${RESERVED_ENV_PREFIX}`);
      }
      if (typeof value === 'string' && Buffer.byteLength(`${name}=${value}`) > MAX_ARGUMENT_BYTES) {
        problems.push(`env: ${quote(name)} ${ARGUMENT_TOO_LONG}`);
      }
    }
  }
  return problems;
}

function problemsOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(issue.path.length > 0 ? admissionSchema.shape : taskSchema.shape).join(', ');
    if (issue.path.length > 0) {
      return issue.keys.map(
        (key) => `${String(issue.path[0])}: ${quote(key)} is not a field of it; the fields are ${known}`,
      );
    }
    return issue.keys.map((key) => `${quote(key)} is not a field of a task; the fields are ${known}`);
  }
  const [field, ...rest] = issue.path;
  if (field === undefined) return [`the file ${issue.message}`];
  const inner = rest.map((step) => (typeof step === 'number' ? `[${step}]` : ` ${quote(String(step))}`)).join('');
  const text = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return [`${String(field)}:${inner} ${text}`];
}

function bounded(problems: string[]): string[] {
  if (problems.length <= MAX_PROBLEMS) return problems;
  return [...problems.slice(0, MAX_PROBLEMS - 1), `and ${problems.length - MAX_PROBLEMS + 1} more problems`];
}

function memoryBytesOf(size: string | number): number | null {
  return typeof size === 'number' ? size : parseMemorySize(size);
}

function specOf(file: TaskFile, taskId: TaskId, limits: TaskLimits): TaskSpec {
  return {
    taskId,
    program:
      file.script === undefined
        ? { kind: 'command', argv: file.command ?? [] }
        : { kind: 'script', script: file.script },
    // The default bends to the cap: a task that asks for nothing must not be turned away.
    timeoutMs: (file.timeout_seconds ?? Math.min(DEFAULT_TIMEOUT_SECONDS, limits.maxTimeoutSeconds)) * 1000,
    image: file.image ?? null,
    env: file.env ?? {},
    network: file.network ?? null,
    cpus: file.cpus ?? null,
    memoryBytes: file.memory === undefined ? null : memoryBytesOf(file.memory),
    priority: file.priority ?? 'medium',
    retries: file.retries ?? 0,
    requires: file.requires ?? [],
    secrets: file.secrets ?? [],
    admission: file.admission === undefined ? null : admissionOf(file.admission),
  };
}

function admissionOf(given: NonNullable<TaskFile['admission']>): TaskAdmission {
  return {
    grid: given.grid,
    notBeforeMs: given.not_before === undefined ? null : Date.parse(given.not_before),
    expiresAtMs: Date.parse(given.expires_at),
    nonce: given.nonce,
  };
}
