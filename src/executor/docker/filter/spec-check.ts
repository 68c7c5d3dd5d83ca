/**
 * Whether the body of a create request is one that `container-spec.ts` makes, within the operator's caps. Pure.
 *
 * It is not searched for what is forbidden. What a task may choose is read from it (program, variables, limits, whose it
 * is), the specification is made anew from that by the same code that the worker uses, and both have to be equal, field by
 * field. So a field that is not ours, whatever its name or its case, is a difference; and what goes to the engine is what
 * was made here.
 */
import type { DockerSettings } from '../../../config/settings.ts';
import { taskId } from '../../../task/id.ts';
import { ExecutorError, type Job } from '../../executor.ts';
import { type ContainerSpec, containerSpec, warmSpec } from '../container-spec.ts';
import type { EngineQuirks } from '../engine-quirks.ts';
import { type RunLabels, readLabels, readWarmLabels, type WarmLabels } from '../labels.ts';

export interface SpecRules {
  settings: Pick<
    DockerSettings,
    'cpus' | 'cpuShares' | 'memoryBytes' | 'timeoutMs' | 'pidsLimit' | 'runtime' | 'workDirBytes'
  >;
  gridId: string;
  nodeId: string;
  maxOutputBytes: number;
}

export interface EngineSays {
  /** Of the image that the request names. */
  volumes: readonly string[];
  quirks: EngineQuirks;
  /** The one that the request names, found to be one that tasks may have. */
  networkMode: string;
}

export class SpecRefused extends Error {
  override readonly name = 'SpecRefused';
}

const IMAGE_ID = /^sha256:[0-9a-f]{64}$/;

export function isImageId(text: string): boolean {
  return IMAGE_ID.test(text);
}

/** A script's variables, a megabyte in all, and each character of them escaped. */
export const MAX_SPEC_BYTES = 8 * 1024 * 1024;
const MAX_DEPTH = 8;
const NANO = 1e9;

/**
 * Reads the body. It has to be written the way the worker writes it, to the byte: then no name is there twice, and no
 * other parser can read it in another way.
 * @throws SpecRefused
 */
export function parseSpec(body: Uint8Array): Record<string, unknown> {
  if (body.length > MAX_SPEC_BYTES) throw new SpecRefused(`the body is longer than ${MAX_SPEC_BYTES} bytes`);
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
    value = JSON.parse(text);
  } catch {
    throw new SpecRefused('the body is not JSON in UTF-8');
  }
  if (!isRecord(value)) throw new SpecRefused('the body is not a JSON object');
  if (depthOf(value, MAX_DEPTH) > MAX_DEPTH) throw new SpecRefused(`the body nests deeper than ${MAX_DEPTH}`);
  if (JSON.stringify(value) !== text) {
    throw new SpecRefused('the body is not written as the worker writes it: a name twice, or spaces, or odd numbers');
  }
  return value;
}

/**
 * The id of the image that the request names, to be looked up before `checkSpec`: by id, so that nobody can put another
 * image in its place. @throws SpecRefused
 */
export function imageOf(given: Readonly<Record<string, unknown>>): string {
  const id = textAt(given, 'Image');
  if (!isImageId(id)) throw new SpecRefused('Image is not the id of one');
  return id;
}

/** `none`, or a network of which the caller has to know that tasks may have it. @throws SpecRefused */
export function networkModeOf(given: Readonly<Record<string, unknown>>): string {
  return textAt(recordAt(given, 'HostConfig'), 'NetworkMode');
}

/** @returns the specification to forward. @throws SpecRefused with the first field that differs */
export function checkSpec(
  given: Readonly<Record<string, unknown>>,
  engine: EngineSays,
  rules: SpecRules,
): ContainerSpec {
  const made = remake(given, engine, rules);
  const difference = firstDifference(given, made, '');
  if (difference !== null) throw new SpecRefused(`${difference} is not what the worker asks for`);
  return made;
}

function remake(given: Readonly<Record<string, unknown>>, engine: EngineSays, rules: SpecRules): ContainerSpec {
  const labels = recordAt(given, 'Labels') as Record<string, string>;
  if (!Object.values(labels).every((value) => typeof value === 'string')) throw refusedField('Labels');
  const run = readLabels(labels);
  const warm = run === null ? readWarmLabels(labels) : null;
  const owner = run === null ? warm : { gridId: run.gridId, nodeId: run.key.nodeId };
  if (owner === null || owner.gridId !== rules.gridId || owner.nodeId !== rules.nodeId) {
    throw new SpecRefused('Labels do not name a task, or a container ahead of one, of this grid and node');
  }
  const host = recordAt(given, 'HostConfig');
  const limits = { memoryBytes: numberAt(host, 'Memory'), cpus: numberAt(host, 'NanoCpus') / NANO };
  const { settings, gridId, maxOutputBytes } = rules;
  const { networkMode, quirks, volumes } = engine;
  const imageId = imageOf(given);
  const imageDigest = run?.image?.digest ?? null;
  const ofImage = { imageId, imageDigest, imageVolumes: volumes };
  const context = { gridId, maxOutputBytes, engineCpus: null, networkMode, quirks, ...ofImage };
  // The cap in the steps in which it is written.
  const caps = { ...settings, cpus: Math.max(settings.cpus, Math.round(settings.cpus * NANO) / NANO) };
  try {
    if (run !== null) {
      const job = { ...jobOf(given, run, caps), ...limits };
      return containerSpec(job, caps, { ...context, nonce: run.nonce });
    }
    const { nonce, nodeId } = warm as WarmLabels;
    const spec = containerSpec({ ...idleJob(warm as WarmLabels, caps), ...limits }, caps, { ...context, nonce });
    return warmSpec(spec, imageId, { gridId, nodeId, nonce });
  } catch (error) {
    if (error instanceof ExecutorError) throw new SpecRefused(error.message, { cause: error });
    throw error;
  }
}

type Unlimited = Omit<Job, 'cpus' | 'memoryBytes'>;

function jobOf(given: Readonly<Record<string, unknown>>, run: RunLabels, caps: SpecRules['settings']): Unlimited {
  const argv = textsAt(given, 'Entrypoint');
  return {
    key: run.key,
    attempt: run.attempt,
    // What the record is to say; which image it is, its id decides.
    image: run.image?.name ?? 'unnamed',
    // Which script comes over standard input does not show in the specification.
    program: run.program === 'script' ? { kind: 'script', script: '' } : { kind: 'command', argv },
    env: environmentOf(textsAt(given, 'Env')),
    timeoutMs: caps.timeoutMs,
  };
}

/** What `warmSpec` leaves of a job is the same for all of them. */
function idleJob({ nodeId }: WarmLabels, caps: SpecRules['settings']): Unlimited {
  const key = { taskId: taskId('none'), nodeId, incarnation: 'none', epoch: 0 };
  const program = { kind: 'script', script: '' } as const;
  return { key, attempt: 0, image: 'none', program, env: {}, timeoutMs: caps.timeoutMs };
}

function environmentOf(entries: readonly string[]): Record<string, string> {
  const pairs = entries.map((entry) => {
    const equals = entry.indexOf('=');
    if (equals === -1) throw refusedField('Env');
    return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
  });
  return Object.fromEntries(pairs);
}

/** The path of the first place where they are not the same; null when there is none. */
export function firstDifference(given: unknown, made: unknown, path: string): string | null {
  if (isRecord(given) && isRecord(made)) {
    for (const name of new Set([...Object.keys(given), ...Object.keys(made)])) {
      const at = path === '' ? name : `${path}.${name}`;
      if (!Object.hasOwn(given, name) || !Object.hasOwn(made, name)) return shortened(at);
      const difference = firstDifference(given[name], made[name], at);
      if (difference !== null) return difference;
    }
    return null;
  }
  if (Array.isArray(given) && Array.isArray(made)) {
    if (given.length !== made.length) return path;
    const index = made.findIndex((value, at) => firstDifference(given[at], value, '') !== null);
    return index === -1 ? null : `${path}[${index}]`;
  }
  return given === made ? null : path;
}

function shortened(path: string): string {
  return JSON.stringify(path.slice(0, 100)).slice(1, -1);
}

function depthOf(value: unknown, limit: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (limit === 0) return 1;
  let deepest = 0;
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner, limit - 1));
  return 1 + deepest;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function recordAt(given: Readonly<Record<string, unknown>>, name: string): Record<string, unknown> {
  const value = given[name];
  if (!isRecord(value)) throw refusedField(name);
  return value;
}

function textAt(given: Readonly<Record<string, unknown>>, name: string): string {
  const value = given[name];
  if (typeof value !== 'string') throw refusedField(name);
  return value;
}

function numberAt(given: Readonly<Record<string, unknown>>, name: string): number {
  const value = given[name];
  if (typeof value !== 'number') throw refusedField(name);
  return value;
}

function textsAt(given: Readonly<Record<string, unknown>>, name: string): string[] {
  const value = given[name];
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw refusedField(name);
  return value;
}

function refusedField(name: string): SpecRefused {
  return new SpecRefused(`${name} is missing or of another type`);
}
