/** Reading results, wherever they are: on the branch, or still in the ref of a finished task. */
import { entriesOf, MODE_TREE, parseCommit } from '../git/objects.ts';
import type { ObjectFormat, Oid } from '../git/oid.ts';
import type { Blob, Repository } from '../git/repository.ts';
import { lookUpPath } from '../git/tree-lookup.ts';
import type { TaskId } from '../task/id.ts';
import type { ResultRecord } from '../task/result.ts';
import { parseResultRecord } from '../task/result-schema.ts';
import { isTooDeep } from '../task/strict-json.ts';
import type { GridView } from './grid-view.ts';
import { RECORD_FILE, recordedPath, STDERR_FILE, STDOUT_FILE } from './state-writer.ts';
import { standingOf } from './task-standing.ts';

/** A task file and two excerpts, however they are spelled in JSON. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;
/** Of a task file as far as it may nest, and of what later versions may add. */
const MAX_RECORD_DEPTH = 100;
/** What one git command may answer. */
const MAX_LOG_BYTES = 256 * 1024 * 1024;
/** Records, with their excerpts, are read in portions of so many. */
const READ_BATCH = 500;

/** Whoever reads: a client of the grid is one. */
export interface ResultReader {
  repository: Repository;
  format: ObjectFormat;
  /** Ends what is under way. */
  signal: AbortSignal;
}

export type FoundResult = {
  /** False while only the task's ref holds it. */
  recorded: boolean;
} & (
  | {
      ok: true;
      record: ResultRecord;
      /** As it is in the repository: what a signature is made of. */
      bytes: Buffer;
    }
  | { ok: false; problem: string }
);

/** Tasks without a result are absent. @throws GitError */
export async function readResults(
  reader: ResultReader,
  view: GridView,
  ids: readonly TaskId[],
): Promise<Map<TaskId, FoundResult>> {
  const results = new Map<TaskId, FoundResult>();
  for (let at = 0; at < ids.length; at += READ_BATCH) {
    const blobs = await recordBlobs(reader, view, ids.slice(at, at + READ_BATCH));
    const wanted = [...blobs.values()].flatMap(({ blob }) => (blob ? [blob] : []));
    const contents = await reader.repository.readBlobs(wanted, MAX_RECORD_BYTES, reader.signal);
    for (const [id, { blob, recorded }] of blobs) {
      results.set(id, { recorded, ...parse(blob ? (contents.get(blob) ?? null) : null) });
    }
  }
  return results;
}

async function recordBlobs(
  reader: ResultReader,
  view: GridView,
  ids: readonly TaskId[],
): Promise<Map<TaskId, { blob: Oid | null; recorded: boolean }>> {
  const blobs = new Map<TaskId, { blob: Oid | null; recorded: boolean }>();
  const finished = new Map<TaskId, Oid>();
  for (const id of ids) {
    const standing = standingOf(view, id);
    if (standing.kind === 'recorded') blobs.set(id, { blob: standing.blob, recorded: true });
    else if (standing.kind === 'finished') finished.set(id, standing.oid);
  }
  const files = await filesOfStates(reader, [...finished.values()]);
  for (const [id, oid] of finished) {
    blobs.set(id, { blob: files.get(oid)?.get(RECORD_FILE) ?? null, recorded: false });
  }
  return blobs;
}

/** The files of finished states, by name. @throws GitError */
async function filesOfStates(reader: ResultReader, states: readonly Oid[]): Promise<Map<Oid, Map<string, Oid>>> {
  const { repository, signal, format } = reader;
  const trees = new Map<Oid, Oid>();
  for (const [oid, commit] of await repository.readObjects(states, signal)) {
    if (commit.type === 'commit') trees.set(oid, parseCommit(commit.content).tree);
  }
  const contents = await repository.readObjects([...new Set(trees.values())], signal);
  const files = new Map<Oid, Map<string, Oid>>();
  for (const [state, tree] of trees) {
    const object = contents.get(tree);
    const entries = object?.type === 'tree' ? entriesOf(object.content, format) : null;
    if (!entries) continue;
    const found = entries.filter(({ mode }) => mode !== MODE_TREE);
    files.set(state, new Map(found.map(({ name, oid }) => [name, oid])));
  }
  return files;
}

function parse(found: Blob | null): { ok: true; record: ResultRecord; bytes: Buffer } | { ok: false; problem: string } {
  if (!found) return { ok: false, problem: 'its record is missing' };
  if (found.kind === 'too-large') return { ok: false, problem: `its record has ${found.bytes} bytes, which none has` };
  const text = found.content.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, problem: 'its record is no JSON' };
  }
  if (isTooDeep(text, MAX_RECORD_DEPTH)) {
    return { ok: false, problem: `its record nests deeper than ${MAX_RECORD_DEPTH} objects and arrays` };
  }
  const parsed = parseResultRecord(value);
  if (parsed.ok) return { ok: true, record: parsed.record, bytes: found.content };
  return parsed.kind === 'newer-version'
    ? { ok: false, problem: `its record has version ${parsed.version}, which a newer version of D-GRID wrote` }
    : { ok: false, problem: `its record is not valid: ${parsed.problems.join('; ')}` };
}

export interface StreamOutput {
  bytes: Buffer;
  /** What the task wrote in all. */
  totalBytes: number;
  /** True when `bytes` is all of it. */
  whole: boolean;
}

/**
 * What a finished task wrote, as far as it was kept.
 * @param maxBytes of a log that is read; of a longer one the excerpt in the record is what is answered.
 * @throws GitError
 */
export async function readOutput(
  reader: ResultReader,
  view: GridView,
  record: ResultRecord,
  maxBytes: number = MAX_LOG_BYTES,
): Promise<{ stdout: StreamOutput; stderr: StreamOutput }> {
  const [stdoutLog, stderrLog] = await Promise.all(
    [STDOUT_FILE, STDERR_FILE].map((name) => readResultFile(reader, view, record.task_id, name, maxBytes)),
  );
  return {
    stdout: output(stdoutLog ?? null, record.stdout, record.stdout_bytes, record.stdout_truncated),
    stderr: output(stderrLog ?? null, record.stderr, record.stderr_bytes, record.stderr_truncated),
  };
}

function output(log: Buffer | null, excerpt: string, totalBytes: number, truncated: boolean): StreamOutput {
  if (log) return { bytes: log, totalBytes, whole: log.length === totalBytes };
  return { bytes: Buffer.from(excerpt), totalBytes, whole: !truncated };
}

/**
 * A file of a finished task, by its name in the finished state; null when there is none, or it is longer than `maxBytes`.
 * @throws GitError
 */
export async function readResultFile(
  reader: ResultReader,
  view: GridView,
  id: TaskId,
  name: string,
  maxBytes: number = MAX_LOG_BYTES,
): Promise<Buffer | null> {
  const { repository, signal } = reader;
  const standing = standingOf(view, id);
  let blob: Oid | undefined;
  if (standing.kind === 'recorded' && view.tipTree) {
    const path = recordedPath(standing.path, name);
    blob = (await lookUpPath(view.tipTree, path, (oids) => repository.readObjects(oids, signal), reader.format))?.oid;
  } else if (standing.kind === 'finished') {
    blob = (await filesOfStates(reader, [standing.oid])).get(standing.oid)?.get(name);
  }
  if (!blob) return null;
  const found = (await repository.readBlobs([blob], maxBytes, signal)).get(blob);
  return found?.kind === 'content' ? found.content : null;
}
