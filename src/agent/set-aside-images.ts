/** Which images all others have set aside too, by what their last signs of life say. */
import type { GridView } from '../ledger/grid-view.ts';
import type { NodeId } from '../task/id.ts';

export interface OthersKnowledge {
  nodeId: NodeId;
  /** For how long a node seems to have been silent. */
  silentMs: (id: NodeId) => number;
}

/** A task's image, and the labels of which its node must have all. */
export type IsHopeless = (image: string, requires: readonly string[]) => boolean;

/** How a node tells others that it leaves the tasks of an image alone. */
export interface ImageRefusal {
  reason: 'image';
  image: string;
  text: string;
}

/** What is not known of a node speaks for it: then its tasks are waited for. */
export function hopelessImages(view: GridView, { nodeId, silentMs }: OthersKnowledge): IsHopeless {
  const others: { setAside: ReadonlySet<string>; labels: ReadonlySet<unknown> | null }[] = [];
  for (const [id, { state }] of view.nodes) {
    if (id === nodeId) continue;
    if (state?.kind !== 'state') others.push({ setAside: new Set(), labels: null });
    else if (state.state.state === 'alive' && silentMs(id) <= state.state.ttlMs) {
      const { labels, refuses } = (state.state.info ?? {}) as Record<string, unknown>;
      others.push({ setAside: imagesOf(refuses), labels: Array.isArray(labels) ? new Set(labels) : null });
    }
  }
  return (image, requires) =>
    others.every(
      ({ setAside, labels }) =>
        setAside.has(image) || (labels !== null && requires.some((label) => !labels.has(label))),
    );
}

/** Others wrote it, perhaps in another version. */
function imagesOf(refuses: unknown): ReadonlySet<string> {
  const entries = Array.isArray(refuses) ? (refuses as Partial<Record<string, unknown> | null>[]) : [];
  return new Set(
    entries.flatMap((entry) =>
      entry?.['reason'] === 'image' && typeof entry['image'] === 'string' ? [entry['image']] : [],
    ),
  );
}
