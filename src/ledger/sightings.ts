/**
 * What somebody who keeps watching has seen himself: when each node last gave a sign of life, and how fast tasks get done.
 * All of it on the watcher's own monotonic clock; no other machine's time goes into it.
 */
import type { Oid } from '../git/oid.ts';
import type { NodeId } from '../task/id.ts';

const RATE_WINDOW_MS = 5 * 60_000;
const MAX_SAMPLES = 1_000;

export interface BeatSighting {
  /** False while the ref has not moved since the watcher came: then only the length of the silence is known. */
  seen: boolean;
  /** Since the beat was seen, or since the watcher looks. */
  agoMs: number;
}

interface Beat {
  oid: Oid;
  seen: boolean;
  sinceMs: number;
}

export class Sightings {
  #beats = new Map<NodeId, Beat>();
  /** Tasks that had their result, over time. */
  #samples: { atMs: number; done: number }[] = [];

  observe(nodes: Iterable<readonly [NodeId, Oid]>, done: number, nowMs: number): void {
    const beats = new Map<NodeId, Beat>();
    for (const [id, oid] of nodes) {
      const before = this.#beats.get(id);
      // A node that was not there before has just given its first sign, unless it is our own first look.
      const isNews = before ? before.oid !== oid : this.#samples.length > 0;
      beats.set(id, before && !isNews ? before : { oid, seen: isNews, sinceMs: nowMs });
    }
    this.#beats = beats;
    const kept = this.#samples.filter(({ atMs }) => nowMs - atMs <= RATE_WINDOW_MS).slice(1 - MAX_SAMPLES);
    this.#samples = [...kept, { atMs: nowMs, done }];
  }

  beatOf(id: NodeId, nowMs: number): BeatSighting | null {
    const beat = this.#beats.get(id);
    return beat ? { seen: beat.seen, agoMs: nowMs - beat.sinceMs } : null;
  }

  /** null before there is anything to compare. */
  donePerMinute(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.atMs === first.atMs) return null;
    return ((last.done - first.done) / (last.atMs - first.atMs)) * 60_000;
  }
}
