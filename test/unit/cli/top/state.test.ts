import { describe, expect, it } from 'vitest';
import { type Key, KeyDecoder } from '../../../../src/cli/top/keys.ts';
import {
  type Action,
  initialState,
  press,
  rowsOf,
  selectedTask,
  type TopState,
} from '../../../../src/cli/top/state.ts';
import { samplePicture, sampleTask } from '../../../support/top-sample.ts';

const EXTENT = { page: 10, lastScroll: 20 };
const PICTURE = samplePicture({
  tasks: [
    sampleTask('run-b', { state: 'running', node_id: 'box-2', sinceMs: 5 }),
    sampleTask('run-a', { state: 'running', node_id: 'box-1', sinceMs: 9 }),
    ...Array.from({ length: 30 }, (_, at) => sampleTask(`q-${String(at).padStart(2, '0')}`)),
  ],
  recent: [sampleTask('done-1', { state: 'success' })],
});

function after(
  text: string,
  from: TopState = { ...initialState('r'), picture: PICTURE },
): { state: TopState; actions: Action[] } {
  const decoder = new KeyDecoder();
  const actions: Action[] = [];
  let state = from;
  for (const key of [...decoder.feed(text), ...decoder.flush()]) {
    const pressed = press(state, key, EXTENT);
    state = pressed.state;
    if (pressed.action) actions.push(pressed.action);
  }
  return { state, actions };
}

describe('keys', () => {
  it('are read from what terminals send, also in pieces', () => {
    const decoder = new KeyDecoder();
    const names = (keys: Key[]): (string | null)[] => keys.map(({ name, text }) => name ?? text);
    expect(names(decoder.feed('aü👍\r\t\u007f\u0003\u001a'))).toEqual([
      'a',
      'ü',
      '👍',
      'enter',
      'tab',
      'backspace',
      'interrupt',
      'suspend',
    ]);
    expect(names(decoder.feed('\u001b[A\u001bOB\u001b[5~\u001b[1;5C\u001b[H'))).toEqual([
      'up',
      'down',
      'page-up',
      'unknown',
      'home',
    ]);
    expect(decoder.isWaiting).toBe(false);
    expect(
      names([...decoder.feed('\u001b'), ...decoder.feed('['), ...decoder.feed('6'), ...decoder.feed('~x')]),
    ).toEqual(['page-down', 'x']);
    expect(names(decoder.feed('\u001b'))).toEqual([]);
    expect(decoder.isWaiting).toBe(true);
    expect(names(decoder.flush())).toEqual(['escape']);
    expect(names(decoder.feed('\u001bq\u0001'))).toEqual(['escape', 'q', 'unknown']);
  });

  it('move the mark, and stay within the list', () => {
    expect(selectedTask(after('').state)).toBe('run-b');
    expect(selectedTask(after('jj').state)).toBe('q-00');
    expect(selectedTask(after('kkk').state)).toBe('run-b');
    expect(selectedTask(after('\u001b[6~').state)).toBe('q-08');
    expect(selectedTask(after('Gjjj').state)).toBe('q-29');
    expect(selectedTask(after('Gg').state)).toBe('run-b');
    expect(selectedTask(after('\t').state)).toBe('done-1');
    expect(selectedTask(after('\tj\t').state)).toBe('run-b');
    expect(selectedTask(after('jG', initialState('r')).state)).toBeNull();
  });

  it('keep the mark on its task when the list changes, and near it when it is gone', () => {
    const { state } = after('jjjj');
    expect(selectedTask(state)).toBe('q-02');
    const [, ...rest] = PICTURE.tasks;
    expect(selectedTask({ ...state, picture: { ...PICTURE, tasks: rest } })).toBe('q-02');
    const without = PICTURE.tasks.filter(({ task_id: id }) => id !== 'q-02');
    expect(selectedTask({ ...state, picture: { ...PICTURE, tasks: without } })).toBe('q-03');
    expect(selectedTask({ ...state, picture: { ...PICTURE, tasks: [] } })).toBeNull();
  });

  it('search while they are typed', () => {
    const ids = (state: TopState): string[] => rowsOf(state).map(({ task_id: id }) => id);
    expect(ids(after('/q-1').state)).toHaveLength(10);
    expect(ids(after('/Q-17\r').state)).toEqual(['q-17']);
    expect(ids(after('/box-1\r').state)).toEqual(['run-a']);
    expect(ids(after('/q-17\u007f\u007f\u007f\u007f\u007frunning').state)).toEqual(['run-b', 'run-a']);
    expect(ids(after('/q-17\u001b').state)).toHaveLength(32);
    const accepted = after('/q-17\r');
    expect(accepted.state.isTyping).toBe(false);
    expect(ids(after('\u001b', accepted.state).state)).toHaveLength(32);
    // Not a command while somebody types.
    expect(after('/qqq').actions).toEqual([]);
    expect(after(`/${'x'.repeat(200)}`).state.filter).toHaveLength(63);
  });

  it('sort', () => {
    const first = (keys: string): string | undefined => rowsOf(after(keys).state)[0]?.task_id;
    expect([first(''), first('s'), first('ss'), first('sss'), first('ssss')]).toEqual([
      'run-b',
      'q-00',
      'run-a',
      'run-b',
      'run-b',
    ]);
  });

  it('show a task, scroll in it, and go back', () => {
    const { state, actions } = after('j\r');
    expect(actions).toEqual([{ kind: 'open', id: 'run-a' }]);
    expect(state).toMatchObject({ view: 'task', detail: { task_id: 'run-a' } });
    expect(after('jj ', state).state.scroll).toBe(12);
    for (const key of ['q', '\u001b']) {
      const back = after(key, state);
      expect([back.state.view, back.state.detail, back.actions]).toEqual(['list', null, []]);
    }
    expect(after('\r', initialState('r')).actions).toEqual([]);
  });

  it('scroll no further than there is anything, and stay at the end', () => {
    const { state } = after('\r');
    const scroll = (keys: string): number => after(keys, state).state.scroll;
    expect([scroll('k'), scroll('G'), scroll('  '), scroll(' ')]).toEqual([0, Infinity, Infinity, 10]);
    // From the end it goes back at once.
    expect([scroll('Gk'), scroll('Gjjk'), scroll('Gg')]).toEqual([19, 19, 0]);
    const short = press(state, { name: 'up', text: null }, { page: 10, lastScroll: 0 });
    expect(short.state.scroll).toBe(0);
  });

  it('cancel only after asking', () => {
    expect(after('c').actions).toEqual([]);
    expect(after('c').state.asked).toBe('run-b');
    expect(after('cy').actions).toEqual([{ kind: 'cancel', id: 'run-b' }]);
    for (const no of ['cn', 'c\r', 'c\u001b', 'cq'])
      expect(after(no)).toMatchObject({ actions: [], state: { asked: null } });
    expect(after('\tc').state).toMatchObject({ asked: null, message: 'done-1 has its result already' });
  });

  it('leave, pause, suspend and help', () => {
    expect(after('q').actions).toEqual([{ kind: 'quit' }]);
    for (const state of [after('?').state, after('/x').state, after('c').state, after('\r').state]) {
      expect(after('\u0003', state).actions).toEqual([{ kind: 'quit' }]);
    }
    expect(after('\u001a\u000c').actions).toEqual([{ kind: 'suspend' }, { kind: 'redraw' }]);
    expect([after('p').state.paused, after('pp').state.paused]).toEqual([true, false]);
    expect([after('?').state.view, after('??').state.view, after('?q').state.view]).toEqual(['help', 'list', 'list']);
  });
});
