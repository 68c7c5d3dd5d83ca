/**
 * Which images this worker brought to the engine itself. Images can't be labelled when they are pulled, so the list is
 * kept in a file; an image that is not on it is somebody else's and never removed.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface OwnedImage {
  /** The full name under which it was brought. */
  name: string;
  /** The image that the name stood for then. When it stands for another one now, somebody else put it there. */
  id: string;
  /** When it was last asked for, by this machine's clock; 0 when that is not known. For the order in which images go only. */
  usedMs: number;
}

/** Of the file. Fields may be added under the same number. */
const FILE_VERSION = 1;
const MAX_ENTRIES = 1_000;
/** A use is written down when the one written last is older than this. */
const USE_GRAIN_MS = 3_600_000;

interface Entry {
  id: string;
  usedMs: number;
}

export class OwnedImages {
  readonly #file: string;
  #entries: Map<string, Entry> | null = null;
  /** One write at a time, in order. */
  #writing: Promise<void> = Promise.resolve();

  constructor(file: string) {
    this.#file = file;
  }

  async list(): Promise<OwnedImage[]> {
    return [...(await this.#load())].map(([name, { id, usedMs }]) => ({ name, id, usedMs }));
  }

  async has(name: string, id: string): Promise<boolean> {
    return (await this.#load()).get(name)?.id === id;
  }

  async add(image: OwnedImage): Promise<void> {
    const entries = await this.#load();
    if (entries.get(image.name)?.id === image.id) return;
    entries.delete(image.name);
    entries.set(image.name, { id: image.id, usedMs: image.usedMs });
    // Forgetting the oldest leaves an image on the disk, which is the harmless mistake.
    for (const oldest of entries.keys()) {
      if (entries.size <= MAX_ENTRIES) break;
      entries.delete(oldest);
    }
    await this.#save();
  }

  /** Somebody asked for it. Never throws: what is not written down is only the order in which images go. */
  async noteUse(name: string, wallMs: number): Promise<void> {
    const entry = (await this.#load()).get(name);
    if (entry === undefined || Math.abs(wallMs - entry.usedMs) < USE_GRAIN_MS) return;
    entry.usedMs = wallMs;
    await this.#save().catch(() => {});
  }

  async forget(name: string): Promise<void> {
    if ((await this.#load()).delete(name)) await this.#save();
  }

  /** Resolves when everything is written. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => {}); // whoever wrote got the error
  }

  async #load(): Promise<Map<string, Entry>> {
    if (this.#entries === null) {
      const read = parse(await readFile(this.#file, 'utf8').catch(() => ''));
      this.#entries ??= read;
    }
    return this.#entries;
  }

  async #save(): Promise<void> {
    const write = async () => {
      await mkdir(dirname(this.#file), { recursive: true });
      const draft = `${this.#file}.new`;
      const images = (await this.list()).map(({ name, id, usedMs }) => ({ name, id, used_ms: usedMs }));
      await writeFile(draft, `${JSON.stringify({ version: FILE_VERSION, images }, null, 2)}\n`);
      await rename(draft, this.#file);
    };
    this.#writing = this.#writing.then(write, write);
    await this.#writing;
  }
}

/** A missing or damaged file means that nothing is known to be ours. */
function parse(text: string): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  try {
    const { images, version = FILE_VERSION } = JSON.parse(text) as { images: unknown; version?: unknown };
    // The first ones had no number; what a newer one means is not guessed at.
    if (version !== FILE_VERSION) return entries;
    for (const image of Array.isArray(images) ? (images as unknown[]) : []) {
      const { name, id, used_ms: usedMs } = (image ?? {}) as Record<string, unknown>;
      if (typeof name !== 'string' || typeof id !== 'string') continue;
      entries.set(name, { id, usedMs: typeof usedMs === 'number' && Number.isFinite(usedMs) ? usedMs : 0 });
    }
  } catch {
    entries.clear();
  }
  return entries;
}
