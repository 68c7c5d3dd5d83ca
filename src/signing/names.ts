/** What signatures are made for: one made for the one purpose is worth nothing for the other. */
export const TASK_SIGNATURE_NAMESPACE = 'dgrid-task-v1';
export const RESULT_SIGNATURE_NAMESPACE = 'dgrid-result-v1';
/** An armoured signature of the largest keys takes about 2 KiB. */
export const MAX_SIGNATURE_BYTES = 16 * 1024;
