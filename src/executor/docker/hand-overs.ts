/**
 * Which task a container was given to that was made before anybody knew the task. Its labels can't be changed any more, so
 * this is written down on this machine before the script is sent: one file a container, as long as that is there.
 *
 * A crash leaves a container with a note, which is then as good as one that has its task on its labels, or one without,
 * which has never been sent anything and may be removed. The files need not outlast a power cut, so they are not synced:
 * that ends the containers too, and one without a note is removed, while its task is tried again.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { durably, type StepParts } from '../../steps.ts';
import { type RunLabels, readLabels, readWarmLabels, writeLabels } from './labels.ts';

export interface HandOver {
  labels: RunLabels;
  /** How long the container had been running by then. */
  waitedMs: number;
}

export interface IdentifiedRun {
  labels: RunLabels;
  /** null: the container was made for its task. */
  waitedMs: number | null;
}

const CONTAINER_ID = /^[0-9a-f]{12,64}$/;
const SUFFIX = '.json';
/** Of the note. Fields may be added under the same number. */
const NOTE_VERSION = 1;

export class HandOvers {
  readonly #directory: string;
  readonly #parts: StepParts;

  constructor(directory: string, parts: StepParts) {
    this.#directory = directory;
    this.#parts = parts;
  }

  /** @throws the file system's error: then the container must not be given its task. */
  async note(containerId: string, { labels, waitedMs }: HandOver): Promise<void> {
    const text = `${JSON.stringify({ version: NOTE_VERSION, labels: writeLabels(labels), waited_ms: waitedMs })}\n`;
    const fields = { container: containerId, task: labels.key.taskId };
    await durably(this.#parts, 'container.hand-over', fields, async () => {
      const path = this.#path(containerId);
      try {
        await writeFile(path, text, { mode: 0o600 });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        await mkdir(this.#directory, { recursive: true, mode: 0o700 });
        await writeFile(path, text, { mode: 0o600 });
      }
    });
  }

  /** For a container that is gone. Never throws: a note of none is dropped when the pool looks around. */
  async forget(containerId: string): Promise<void> {
    await rm(this.#path(containerId), { force: true }).catch(() => {});
  }

  /** The containers that there are notes of. */
  async noted(): Promise<string[]> {
    const names = await readdir(this.#directory).catch(() => []);
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .filter((id) => CONTAINER_ID.test(id));
  }

  /** Which run a container is, by its labels or by its note; null: none, as far as anybody knows. */
  async identify(containerId: string, labels: Readonly<Record<string, string>>): Promise<IdentifiedRun | null> {
    const own = readLabels(labels);
    if (own !== null) return { labels: own, waitedMs: null };
    const warm = readWarmLabels(labels);
    const note = warm === null ? null : await this.#read(containerId);
    if (warm === null || note === null) return null;
    const { gridId, key, nonce } = note.labels;
    const fits = gridId === warm.gridId && key.nodeId === warm.nodeId && nonce === warm.nonce;
    return fits ? note : null;
  }

  async #read(containerId: string): Promise<HandOver | null> {
    if (!CONTAINER_ID.test(containerId)) return null;
    try {
      const read = JSON.parse(await readFile(this.#path(containerId), 'utf8')) as Record<string, unknown>;
      // The first ones had no number.
      if ((read['version'] ?? NOTE_VERSION) !== NOTE_VERSION) return null;
      const labels = readLabels(read['labels'] as Record<string, string>);
      const waitedMs = read['waited_ms'];
      if (labels === null || typeof waitedMs !== 'number' || !(waitedMs >= 0)) return null;
      return { labels, waitedMs };
    } catch {
      return null; // missing or damaged: nobody knows
    }
  }

  #path(containerId: string): string {
    if (!CONTAINER_ID.test(containerId)) throw new RangeError(`not a container id: ${JSON.stringify(containerId)}`);
    return join(this.#directory, `${containerId}${SUFFIX}`);
  }
}
