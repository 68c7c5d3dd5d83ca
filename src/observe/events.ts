/**
 * Everything worth telling that happens in the worker, as typed events. Whoever does a thing emits; loggers, metrics and
 * pages subscribe. This file is the only one of `observe/` that the rest of the code may import.
 *
 * The text of an entry is what operators grep for: it is static, figures stand in the fields beside it.
 */
export type LogLevelName = 'debug' | 'info' | 'warn' | 'error';

export interface EventDescription {
  level: LogLevelName;
  message: string;
}

export const EVENTS = {
  'worker.started': { level: 'info', message: 'Worker started' },
  'worker.ready': { level: 'info', message: 'Worker ready' },
  'worker.stopping': { level: 'info', message: 'Stopping: no new claims' },
  'worker.killing': { level: 'warn', message: 'Second signal: stopping containers now' },
  'worker.idle': { level: 'info', message: 'Nothing left to do' },
  'worker.failed': { level: 'error', message: 'Worker failed' },
  'http.listening': { level: 'info', message: 'Health pages ready' },
  'http.unavailable': { level: 'warn', message: 'Health pages cannot be served, working without them' },
  'hook.refused': { level: 'warn', message: 'Webhook calls refused' },
  'worker.summary': { level: 'info', message: 'Health summary' },

  'clone.started': { level: 'info', message: 'Cloning repository' },
  'clone.completed': { level: 'info', message: 'Shallow clone completed' },
  'clone.full-completed': { level: 'info', message: 'Full clone completed' },
  'clone.damaged': { level: 'warn', message: 'Local clone is damaged, replacing it' },
  'poll.skipped': { level: 'info', message: 'Skipping pull - repository already up-to-date' },
  'poll.pulling': { level: 'info', message: 'Pulling new commits' },
  'poll.pace': { level: 'info', message: 'Polling pace' },
  'poll.nudged': { level: 'debug', message: 'Asked to look at once' },
  'poll.failed': { level: 'warn', message: 'Poll failed' },
  'git.retry': { level: 'warn', message: 'Git operation failed, trying again' },
  'transport.fallback': { level: 'warn', message: 'Host or machine needs the git command, using it' },
  'step.begun': { level: 'debug', message: 'Durable step begun' },
  'step.done': { level: 'debug', message: 'Durable step done' },
  'git.command': { level: 'debug', message: 'Git command finished' },
  'swap.settled': { level: 'debug', message: 'Swap settled' },
  'push.completed': { level: 'debug', message: 'Push completed' },
  'push.failed': { level: 'warn', message: 'Push failed' },
  'push.unclear': { level: 'warn', message: 'Push outcome unclear, reading back' },
  'ref.locked': { level: 'warn', message: 'Repository keeps a ref locked' },
  'remote.broken': {
    level: 'error',
    message: 'Repository has broken refs, nothing can be pushed until they are mended',
  },
  'remote.mended': { level: 'info', message: 'Repository takes pushes again' },
  'push.budget-wait': { level: 'debug', message: 'Push waits for the budget' },

  'task.claimed': { level: 'info', message: 'Task claimed' },
  'task.claim-lost': { level: 'debug', message: 'Claim lost to another worker' },
  'task.claim-given-up': { level: 'info', message: 'Claim given up, task is settled already' },
  'task.started': { level: 'info', message: 'Task started' },
  'task.adopted': { level: 'info', message: 'Running container taken up again' },
  'task.finished': { level: 'info', message: 'Task finished' },
  'task.retry': { level: 'info', message: 'Task will be tried again' },
  'task.handed-back': { level: 'info', message: 'Task handed back' },
  'task.taken-over': { level: 'warn', message: 'Task taken over from a dead node' },
  'task.fenced': { level: 'warn', message: 'Result dropped, the task belongs to another worker' },
  'task.cancelled': { level: 'info', message: 'Task cancelled' },
  'task.withdrawn': { level: 'info', message: 'Task withdrawn, its file left the queue' },
  'task.rejected': { level: 'warn', message: 'Task not run' },
  'task.engine-failed': { level: 'error', message: 'Engine failed while running a task' },
  'task.newer-format': { level: 'warn', message: 'Task state has a newer format, leaving it alone' },
  'task.unreadable-state': { level: 'warn', message: 'Task state cannot be read, leaving it alone' },
  'queue.illegal-name': { level: 'warn', message: 'Queue file has no legal task id as its name' },
  'queue.more-illegal-names': { level: 'warn', message: 'Queue has more files without a legal task id as their name' },
  'queue.unreadable': { level: 'warn', message: 'Queue directory cannot be read, leaving it out' },
  'queue.too-large': { level: 'warn', message: 'Queue has more directories and files than are read, leaving some out' },
  'queue.already-recorded': { level: 'warn', message: 'Queue file has a record already, it needs a new task id' },
  'queue.duplicate': { level: 'warn', message: 'Two queue files have the same task id, the first by path counts' },
  'result.recorded': { level: 'info', message: 'Results recorded' },
  'result.acknowledged': { level: 'debug', message: 'Result accepted by the repository' },
  'record.conflict': { level: 'debug', message: 'Branch moved while recording, building again' },
  'record.refused': { level: 'error', message: 'Host refuses recording on the branch, results stay in their refs' },
  'janitor.deleted': { level: 'debug', message: 'Recorded task refs deleted' },

  'node.registered': { level: 'info', message: 'Node registered' },
  'node.heartbeat': { level: 'debug', message: 'Heartbeat published' },
  'node.heartbeat-failed': { level: 'warn', message: 'Heartbeat failed' },
  'node.fenced': { level: 'warn', message: 'This node was declared dead, starting a new incarnation' },
  'node.dead': { level: 'warn', message: 'Node declared dead' },
  'node.id-taken': { level: 'warn', message: 'Node id is held by another machine, watching whether it lives' },
  'node.id-conflict': { level: 'error', message: 'Another machine uses this node id' },
  'node.unreadable-state': { level: 'warn', message: 'Node state cannot be read, leaving it alone' },
  'ref.illegal-name': { level: 'warn', message: 'Ref is that of no task and no node, leaving it alone' },
  'node.goodbye': { level: 'info', message: 'Node signed off' },
  'namespace.split': { level: 'error', message: 'Other workers use another ref namespace, stopping' },
  'namespace.fallback': { level: 'warn', message: 'Host refuses the ref namespace, using branches instead' },

  'engine.ready': { level: 'info', message: 'Container engine ready' },
  'engine.unavailable': { level: 'error', message: 'Container engine unavailable, claiming paused' },
  'image.pulling': { level: 'info', message: 'Pulling image' },
  'image.progress': { level: 'debug', message: 'Image pull progress' },
  'image.pulled': { level: 'info', message: 'Image pulled' },
  'image.built': { level: 'warn', message: 'Default image cannot be pulled, built a small one on the spot' },
  'image.unavailable': { level: 'warn', message: 'Image unavailable' },
  'container.foreign': { level: 'warn', message: 'Container with our node label is not ours, leaving it alone' },
  'container.remove-failed': { level: 'warn', message: 'Container could not be removed, trying again later' },
  'pool.filled': { level: 'debug', message: 'Container waits for a task' },
  'pool.failed': { level: 'warn', message: 'Containers cannot be made ahead, tasks start without' },
  'pool.died': { level: 'warn', message: 'Container ended while it waited for a task' },
  'pool.unable': { level: 'info', message: 'Image cannot wait for a script, its tasks start without' },
  'container.leftover': { level: 'warn', message: 'Removed a leftover container' },

  'limit.rate': { level: 'info', message: 'Rate limit reached' },
  'limit.rate-cleared': { level: 'info', message: 'Rate limit cleared' },
  'quota.damaged': { level: 'warn', message: 'Task count is damaged, counting the hour as used up' },
  'quota.unwritable': { level: 'warn', message: 'Task count cannot be saved' },
  'limit.resources': { level: 'warn', message: 'Resource threshold exceeded' },
  'limit.resources-cleared': { level: 'info', message: 'Resource threshold cleared' },
  'limit.memory': { level: 'info', message: 'Task waits, not enough memory for it on this machine' },
  'health.passed': { level: 'info', message: 'Health check passed' },
  'health.failed': { level: 'error', message: 'Health check failed' },
  'cleanup.completed': { level: 'info', message: 'Docker cleanup completed' },
  'cleanup.failed': { level: 'warn', message: 'Docker cleanup failed' },
  'state.unwritable': { level: 'error', message: 'State directory cannot be written, claiming paused' },
  'state.writable': { level: 'info', message: 'State directory can be written again' },
  'outbox.replayed': { level: 'info', message: 'Unpublished results found, publishing them' },
  'outbox.failed': { level: 'error', message: 'Result could not be saved on this machine, publishing it from memory' },
  'outbox.damaged': { level: 'error', message: 'Outbox entry is damaged, set aside' },
} as const satisfies Record<string, EventDescription>;

export type EventName = keyof typeof EVENTS;
/** Snake-case names, JSON values. An `err` field holds an Error and is serialised with its causes. */
export type EventFields = Readonly<Record<string, unknown>>;
export type Emit = (name: EventName, fields?: EventFields) => void;
