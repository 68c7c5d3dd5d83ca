/**
 * Task and node ids become ref names and file names, so they are restricted to what is safe in both:
 * lower case (no two ids differ only in case), no dot, no slash, at most 63 characters.
 */
export const ID_PATTERN = /^[a-z0-9][a-z0-9_-]{0,62}$/;

export type TaskId = string & { readonly __taskId: unique symbol };
export type NodeId = string & { readonly __nodeId: unique symbol };

export function isTaskId(text: string): text is TaskId {
  return ID_PATTERN.test(text);
}

export function isNodeId(text: string): text is NodeId {
  return ID_PATTERN.test(text);
}

/** For ids that were checked elsewhere (a schema, a test). @throws RangeError on an illegal id. */
export function taskId(text: string): TaskId {
  if (!isTaskId(text)) throw new RangeError(`not a task id: ${JSON.stringify(text)} (must match ${ID_PATTERN.source})`);
  return text;
}

/** @throws RangeError on an illegal id. */
export function nodeId(text: string): NodeId {
  if (!isNodeId(text)) throw new RangeError(`not a node id: ${JSON.stringify(text)} (must match ${ID_PATTERN.source})`);
  return text;
}
