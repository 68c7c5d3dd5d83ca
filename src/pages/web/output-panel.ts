/** What a task wrote: with long lines wrapped or not, to copy, and to save. */
import type { TaskDetail } from '../model.ts';
import { after } from './clock.ts';
import { type Child, h, type VNode } from './dom.ts';
import { bytes, withoutColours } from './format.ts';
import { panel } from './parts.ts';

export interface OutputActions {
  wrap: boolean;
  setWrap: (wrap: boolean) => void;
  say: (text: string) => void;
  /** Where all that was kept of a stream can be had; null: nowhere but in the repository. */
  addressOf: ((stream: 'stdout' | 'stderr') => string) | null;
}

const SAVING_MS = 30_000;

type Output = NonNullable<TaskDetail['stdout']>;

export function outputPanel(taskId: string, { stdout, stderr, live }: TaskDetail, actions: OutputActions): VNode {
  const shown = { ...actions, live };
  return panel(
    'output',
    live === 'live' ? 'Output so far' : 'Output',
    h(
      'label',
      { class: 'check' },
      h('input', {
        type: 'checkbox',
        checked: actions.wrap,
        'data-focus': 'wrap',
        onchange: () => actions.setWrap(!actions.wrap),
      }),
      ' Wrap long lines',
    ),
    stream('Standard output', `${taskId}.stdout.txt`, stdout, actions.addressOf?.('stdout') ?? null, shown),
    stream('Standard error', `${taskId}.stderr.txt`, stderr, actions.addressOf?.('stderr') ?? null, shown),
  );
}

/** Why nothing is seen before the result. */
const WITHOUT_RESULT: Readonly<Record<NonNullable<TaskDetail['live']> | 'none', string>> = {
  live: 'Nothing is known of it yet.',
  'not-asked': 'It comes with the result: the task was not submitted with --follow.',
  never: 'It comes with the result: the node does not publish it before (FOLLOW_OUTPUT).',
  unsupported: 'It comes with the result.',
  none: 'It comes with the result.',
};

function stream(
  title: string,
  fileName: string,
  output: Output | null,
  address: string | null,
  { live, say, wrap }: OutputActions & Pick<TaskDetail, 'live'>,
): VNode {
  if (output === null)
    return h(
      'div',
      { class: 'stream', key: title },
      h('h3', {}, title),
      h('p', { class: 'quiet' }, WITHOUT_RESULT[live ?? 'none']),
    );
  if (output.total_bytes === 0)
    return h(
      'div',
      { class: 'stream', key: title },
      h('h3', {}, title),
      h('p', { class: 'quiet' }, live === null ? 'Nothing was written.' : 'Nothing was written yet.'),
    );
  return h(
    'div',
    { class: 'stream', key: title },
    h(
      'div',
      { class: 'stream-head' },
      h('h3', {}, title),
      h('span', { class: 'muted' }, bytes(output.total_bytes)),
      h(
        'button',
        { type: 'button', 'aria-label': `Copy: ${title}`, onclick: () => void copy(output.text, say) },
        'Copy',
      ),
      h(
        'button',
        { type: 'button', 'aria-label': `Download: ${title}`, onclick: () => save(fileName, output.text) },
        'Download',
      ),
    ),
    output.whole
      ? null
      : h(
          'p',
          { class: 'note warn' },
          ...(live === null
            ? [`Of ${bytes(output.total_bytes)} this is a part. `, ...whereAllIs(title, fileName, address)]
            : ['The task wrote more than this, which comes with the result.']),
        ),
    h(
      'pre',
      {
        class: wrap ? 'output wrap' : 'output',
        tabindex: 0,
        role: 'region',
        'aria-label': title,
        // Whoever has scrolled to the end wants to stay there.
        'data-tail': live !== null,
      },
      withoutColours(output.text),
    ),
  );
}

function whereAllIs(title: string, fileName: string, address: string | null): Child[] {
  if (address === null) return [h('code', {}, 'dgrid logs'), ' prints all that was kept.'];
  const props = { href: address, download: fileName, 'data-focus': `all of ${title}` };
  return [h('a', props, 'Download all that was kept'), '.'];
}

async function copy(text: string, say: (text: string) => void): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
  } catch {
    say(copyByHand(text) ? 'Copied.' : 'This browser does not let the page copy: select the text, or download it.');
  }
}

/** Where the page does not come from this machine or over https, browsers give it no other way. */
function copyByHand(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'hidden';
  document.body.append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  return copied;
}

function save(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/plain;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // Not before the browser has read it.
  after(SAVING_MS, () => URL.revokeObjectURL(address));
}
