/**
 * How much of a grid a document shows. Apart from the documents themselves, so that a worker which only collects what a page
 * may show one day does not load their description.
 */

/** Rows of one overview: what is in work first, then what waits, in the order of claiming, then what is queued. */
export const MAX_TASK_ROWS = 500;
/** Results, the newest first. */
export const MAX_RECENT_ROWS = 200;
export const MAX_NODE_ROWS = 1_000;
export const MAX_PROBLEMS = 100;
/** Of one output stream in a task's document: its end. */
export const MAX_OUTPUT_TEXT_BYTES = 256 * 1024;
/** Of one output stream by itself: its end. */
export const MAX_OUTPUT_STREAM_BYTES = 4 * 1024 * 1024;
/** Points of a chart. */
export const MAX_SERIES_POINTS = 360;
export const SERIES_STEP_MS = 10_000;
/** Characters of a message of a record. */
export const MAX_MESSAGE_LENGTH = 500;
/** Characters of anything else that others wrote: names, versions, labels. */
export const MAX_NAME_LENGTH = 255;
/** Of a list in what a node tells of itself. */
export const MAX_NODE_LABELS = 64;
export const MAX_NODE_TASKS = 256;
export const MAX_NODE_REASONS = 20;
