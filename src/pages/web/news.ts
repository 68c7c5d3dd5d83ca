/** What has changed between two looks that somebody who only listens should hear. */
import type { Overview } from '../model.ts';

/** null: nothing worth a word. */
export function newsBetween(before: Overview, now: Overview): string | null {
  const known = new Set(before.recent.map(({ task_id }) => task_id));
  const fresh = now.recent.filter(({ task_id }) => !known.has(task_id));
  const failed = fresh.filter(({ status }) => status === 'failed');
  const states = new Map(before.nodes.map(({ node_id, state }) => [node_id, state]));
  const turned = now.nodes.filter(({ node_id, state }) => (states.get(node_id) ?? state) !== state);
  const news = [
    ...turned.map(({ node_id, state }) => `Node ${node_id} is ${state}.`),
    failed.length === 1
      ? `Task ${failed[0]?.task_id} failed.`
      : failed.length > 1
        ? `${failed.length} tasks failed.`
        : '',
    fresh.length > failed.length ? `${fresh.length - failed.length} succeeded.` : '',
    before.problem === null && now.problem !== null ? 'The repository cannot be read.' : '',
  ].filter(Boolean);
  return news.length === 0 ? null : news.join(' ');
}
