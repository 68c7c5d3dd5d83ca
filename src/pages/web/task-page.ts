/** One task with all that is known of it. */
import type { TaskDetail, TaskRow } from '../model.ts';
import { ticking } from './ages.ts';
import { instantOf } from './clock.ts';
import { type Child, h, quoted, type VNode } from './dom.ts';
import { bytes, duration, fullTime } from './format.ts';
import { type OutputActions, outputPanel } from './output-panel.ts';
import { facts, labelList, mark, nodeLink, panel } from './parts.ts';
import type { TaskState } from './task-keeper.ts';
import { timeline } from './timeline.ts';
import { meaningOf, wordOf } from './words.ts';

export interface TaskPageActions extends OutputActions {
  tryAgain: () => void;
  backHref: string;
}

/** @param row what the overview says of it; null: nothing. */
export function taskPage(id: string, state: TaskState, row: TaskRow | null, actions: TaskPageActions): VNode {
  const { detail, problem } = state;
  const known = detail?.row ?? row;
  return h(
    'div',
    { key: `task ${id}`, class: 'page' },
    back(actions.backHref),
    h(
      'div',
      { class: 'page-head' },
      h('h1', { tabindex: -1 }, h('span', { class: 'kind' }, 'Task '), quoted(id)),
      known === null ? null : mark(wordOf(known)),
    ),
    problem === null
      ? null
      : h(
          'div',
          { class: 'banner warn', role: 'status' },
          h('p', {}, problem),
          h('button', { type: 'button', 'data-focus': 'try again', onclick: actions.tryAgain }, 'Try again'),
        ),
    known === null ? (problem === null ? h('p', { class: 'quiet' }, 'Loading…') : null) : summary(known, detail),
    detail === null
      ? null
      : h('div', { class: 'columns' }, panel('phases', 'Phases', timeline(detail.phases)), usage(detail)),
    detail === null ? null : outputPanel(id, detail, actions),
    detail === null ? null : taskFile(detail.task),
    detail === null ? null : provenance(detail),
  );
}

/** @param href of the overview as it was last looked at, with its filters. */
export function back(href: string): VNode {
  return h(
    'p',
    { class: 'back' },
    h('a', { href, 'data-focus': 'back' }, '← Overview'),
    ' ',
    h('kbd', { 'aria-hidden': 'true' }, 'Esc'),
  );
}

function summary(row: TaskRow, detail: TaskDetail | null): VNode {
  const meaning = meaningOf(row.reason);
  const isFailed = row.status === 'failed';
  return h(
    'div',
    { class: `summary ${wordOf(row).tone}` },
    row.reason === null && !row.message
      ? null
      : h(
          'div',
          { class: 'why' },
          row.reason === null
            ? null
            : h(
                'p',
                {},
                h('strong', {}, isFailed ? 'Failed: ' : 'Why: '),
                h('code', {}, quoted(row.reason)),
                meaning === null ? null : ` – ${meaning}`,
              ),
          row.message ? h('p', { class: 'message' }, quoted(row.message)) : null,
        ),
    row.note === null ? null : h('p', { class: 'note warn' }, quoted(row.note)),
    facts([
      ['State', row.state],
      ['Node', row.node_id === null ? null : nodeLink(row.node_id, 'task page')],
      ['Priority', row.priority],
      ['Attempt', row.attempt],
      ['Exit code', detail?.exit_code ?? null],
      ['Image', row.image === null ? null : h('code', {}, quoted(row.image))],
      ['Needs', labelList(row.labels)],
      ['Claimed', instant(row.claimed_at)],
      ['Started', instant(row.started_at)],
      ['Ended', instant(row.finished_at)],
      ['Ran for', row.state === 'running' || row.run_ms === null ? null : duration(row.run_ms)],
    ]),
  );
}

function instant(isoTime: string | null): Child {
  const ms = instantOf(isoTime);
  return ms === null
    ? null
    : h('span', {}, fullTime(ms), h('span', { class: 'muted second-line' }, ticking(ms, ' ago')));
}

function usage({ usage: used }: TaskDetail): VNode {
  return panel(
    'usage',
    'Used',
    used === null
      ? h('p', { class: 'quiet' }, 'It could not be measured, or is not known yet.')
      : facts([
          ['Processor time', duration(used.cpu_seconds === null ? null : used.cpu_seconds * 1000)],
          ['Most memory', bytes(used.peak_memory_bytes)],
        ]),
  );
}

function taskFile(task: unknown): VNode {
  const script = typeof task === 'object' && task !== null && 'script' in task ? task.script : null;
  return panel(
    'task-file',
    'Task as submitted',
    typeof script === 'string' ? h('h3', {}, 'Script') : null,
    typeof script === 'string'
      ? h('pre', { class: 'output wrap', tabindex: 0, role: 'region', 'aria-label': 'Script' }, script)
      : null,
    typeof script === 'string' ? h('h3', {}, 'File') : null,
    task === null || task === undefined
      ? h('p', { class: 'quiet' }, 'It is no JSON, or cannot be had.')
      : h(
          'pre',
          { class: 'output wrap', tabindex: 0, role: 'region', 'aria-label': 'Task file' },
          JSON.stringify(task, null, 2),
        ),
  );
}

function provenance({ provenance: from }: TaskDetail): VNode {
  const code = (text: string | null): Child => (text === null ? null : h('code', {}, quoted(text)));
  return panel(
    'provenance',
    'Where it comes from',
    facts([
      ['Task file', code(from.queue_path)],
      ['Its blob', code(from.spec_blob)],
      ['Record', code(from.record_path)],
      ['Commit that was looked at', code(from.commit)],
      ['State', code(from.state_ref)],
      ['Its commit', code(from.state_commit)],
      ['Node', from.node_id === null ? null : nodeLink(from.node_id, 'provenance')],
      ['Epoch of the node', from.epoch],
      ['Image', code(from.image)],
      ['Digest', code(from.digest)],
      ['Signed by', code(from.signer)],
    ]),
  );
}
