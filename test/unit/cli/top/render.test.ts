import { styleText } from 'node:util';
import { describe, expect, it } from 'vitest';
import { displayWidth } from '../../../../src/cli/display-width.ts';
import { bar, cell, type Paint, sparkline } from '../../../../src/cli/top/line.ts';
import { lastScroll, pageSize, render, type ScreenSize } from '../../../../src/cli/top/render.ts';
import { initialState, type TopState } from '../../../../src/cli/top/state.ts';
import { SAMPLE_NOW_MS, sampleNode, samplePicture, sampleTask } from '../../../support/top-sample.ts';

const plain: Paint = (_style, text) => text;
const coloured: Paint = (style, text) => styleText(style, text, { validateStream: false });
const NORMAL: ScreenSize = { columns: 80, rows: 24 };
// oxlint-disable-next-line no-control-regex -- they are what must not be there
const ACTS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const EVIL = 'x\u001b[2J\u001b]0;gone\u0007\u202egnp\n日本語\t';

function state(change: Partial<TopState> = {}): TopState {
  return { ...initialState('/srv/tasks.git'), picture: PICTURE, ...change };
}

function screen(shown: TopState, size: ScreenSize = NORMAL, paint: Paint = plain): string[] {
  return render(shown, size, paint, SAMPLE_NOW_MS);
}

const PICTURE = samplePicture({
  series: [0, 4, 12, 3],
  nodes: [
    sampleNode('idle'),
    sampleNode('busy', {
      running: ['r1', 'r2'],
      paused: [{ reason: 'disk', text: 'full' }],
      info: { cpu_percent: 42, memory_percent: 'much' },
    }),
    sampleNode('gone', { state: 'fenced', fenced_by: 'busy' as never }),
  ],
  tasks: [
    sampleTask('r1', { state: 'running', node_id: 'busy', attempt: 1, sinceMs: SAMPLE_NOW_MS - 65_000, seen: true }),
    sampleTask('r2', { state: 'running', node_id: 'busy', attempt: 2, sinceMs: SAMPLE_NOW_MS - 5_000, seen: false }),
    sampleTask('w1', { state: 'waiting', attempt: 1, sinceMs: SAMPLE_NOW_MS, seen: true, note: 'to be tried again' }),
    ...Array.from({ length: 50 }, (_, at) => sampleTask(`q-${String(at).padStart(2, '0')}`, { priority: 'high' })),
  ],
  recent: [
    sampleTask('d2', { state: 'failed', node_id: 'idle', run_ms: 1_500, note: 'exit-code: exit code 1' }),
    sampleTask('d1', { state: 'success', node_id: 'busy', run_ms: 90_000, note: 'all went well' }),
  ],
});

describe('a frame', () => {
  it('shows nodes, tasks, results and the rate', () => {
    const lines = screen(state());
    expect(lines).toHaveLength(24);
    const text = lines.join('\n');
    expect(text).toMatch(/^dgrid top {2}\/srv\/tasks\.git, main at c0ffee00 {2}0\.4 s old$/m);
    expect(text).toMatch(/^50 queued {2}2 in work {2}0 waiting {2}19 completed {2}0 failed/m);
    expect(text).toMatch(/^76\.0 tasks a minute {2}▁▃█▃$/m);
    expect(text).toMatch(/^ {2}NODES \(3\)/m);
    // Who works comes first, who is gone last.
    expect(lines.filter((line) => / (alive|fenced) /.test(line))).toEqual([
      expect.stringMatching(/^ {2}busy +alive +\[██░░\] 2\/4 +3\.0 s ago {2}disk$/),
      expect.stringMatching(/^ {2}idle +alive +\[░░░░\] 0\/4 +3\.0 s ago$/),
      expect.stringMatching(/^ {2}gone +fenced .*declared dead by busy$/),
    ]);
    expect(text).toMatch(/^> r1 +running +medium +busy +1 +1 min 5 s/m);
    // Only a lower bound: it ran before anybody looked.
    expect(text).toMatch(/^ {2}r2 +running +medium +busy +2 +≥ 5\.0 s/m);
    expect(text).toMatch(/^ {2}w1 +waiting .* to be/m);
    expect(text).toMatch(/^ {2}RESULTS \(2\)/m);
    expect(text).toMatch(/^ {2}d2 +failed +.*1\.5 s {2}exit-c/m);
    expect(lines.at(-1)).toMatch(/^q quit/);
  });

  it('shows the load of machines where there is room for it, and nothing that a node made up', () => {
    const wide = screen(state(), { columns: 120, rows: 30 }).join('\n');
    expect(wide).toMatch(/^ {2}busy .* 2\/4 + {1,}42 % {8}3\.0 s ago/m);
  });

  it.each([
    [60, 15],
    [80, 24],
    [200, 60],
    [40, 8],
    [39, 7],
    [10, 3],
    [1, 1],
  ])('never leaves a screen of %i x %i, whatever it shows', (columns, rows) => {
    const wide = samplePicture({
      nodes: Array.from({ length: 30 }, (_, at) => sampleNode(`n${at}`, { node_id: `日本語${at}` as never })),
      tasks: Array.from({ length: 100 }, (_, at) =>
        sampleTask(`タスク${at}`, { note: '👍'.repeat(60), state: 'running' }),
      ),
      recent: Array.from({ length: 100 }, (_, at) => sampleTask(`r${at}`, { note: 'x'.repeat(300) })),
      series: Array.from({ length: 400 }, (_, at) => at % 7),
    });
    const detail = {
      task_id: 'a' as never,
      facts: [['task', 'é'.repeat(300)]] as const,
      output: ['語'.repeat(300)],
      isOver: true,
    };
    for (const change of [
      {},
      { pane: 'results' as const },
      { view: 'help' as const },
      { view: 'task' as const, detail },
      { view: 'task' as const, detail, scroll: Infinity },
      { problem: '語'.repeat(100), paused: true },
      { picture: null },
      { isTyping: true, filter: 'x'.repeat(63) },
      { asked: 'x'.repeat(63) as never },
      { message: 'é'.repeat(300) },
    ]) {
      for (const paint of [plain, coloured]) {
        const lines = screen(state({ picture: wide, ...change }), { columns, rows }, paint);
        expect(lines.length).toBeLessThanOrEqual(rows);
        for (const line of lines) expect(displayWidth(line), line).toBeLessThanOrEqual(columns);
      }
    }
  });

  it('shows of what others wrote nothing that a terminal obeys', () => {
    const evil = samplePicture({
      nodes: [
        sampleNode('n', { node_id: EVIL as never, paused: [{ reason: EVIL, text: EVIL }], fenced_by: EVIL as never }),
      ],
      tasks: [sampleTask(EVIL, { node_id: EVIL, note: EVIL, priority: EVIL as never })],
      recent: [sampleTask(EVIL, { state: 'failed', note: EVIL })],
      summary: { branch: EVIL, commit: EVIL },
    });
    for (const change of [
      {},
      { problem: EVIL, message: EVIL },
      { asked: EVIL as never },
      { filter: EVIL, isTyping: true },
      {
        view: 'task' as const,
        detail: { task_id: EVIL as never, facts: [[EVIL, EVIL]] as const, output: [EVIL], isOver: false },
      },
    ]) {
      const lines = screen({ ...state({ picture: evil, ...change }), repository: EVIL }, { columns: 120, rows: 30 });
      for (const line of lines) expect(line).not.toMatch(ACTS);
    }
  });

  it('keeps the marked task in sight, and pages by what is shown', () => {
    const far = state({ selected: { tasks: { id: 'q-40' as never, index: 43 }, results: { id: null, index: 0 } } });
    expect(screen(far).join('\n')).toMatch(/^> q-40 /m);
    const page = pageSize(far, NORMAL);
    expect(screen(state()).filter((line) => /^[> ] [rwq]/.test(line))).toHaveLength(page);
  });

  it('scrolls a task to its last line and no further', () => {
    const output = Array.from({ length: 100 }, (_, at) => `line ${at}`);
    const detail = { task_id: 'r1' as never, facts: [['task', 'r1']] as const, output, isOver: false };
    const shown = (scroll: number): string[] => screen(state({ view: 'task', detail, scroll })).slice(4, -1);
    const last = lastScroll(state({ view: 'task', detail }), NORMAL);
    expect(shown(0).slice(0, 3)).toEqual(['task  r1', '', 'line 0']);
    expect([shown(last).at(-1), shown(last - 1).at(-1), shown(Infinity).at(-1)]).toEqual([
      'line 99',
      'line 98',
      'line 99',
    ]);
    expect(lastScroll(state({ view: 'task', detail: { ...detail, output: null } }), NORMAL)).toBe(0);
    expect(lastScroll(state({ view: 'help' }), NORMAL)).toBe(0);
  });

  it('says how old a picture is, and why', () => {
    const shown = state({ problem: 'git ls-remote failed: no route', askingSinceMs: SAMPLE_NOW_MS - 12_000 });
    expect(screen(shown)[0]).toContain('no answer for 12 s');
    expect(screen(shown)[1]).toBe('! git ls-remote failed: no route');
    expect(screen(state({ paused: true }))[0]).toContain('PAUSED');
    expect(screen(state({ picture: null }))[0]).toContain('reading …');
  });

  it('takes no longer for a hundred thousand tasks than for a hundred', () => {
    const many = (count: number) =>
      state({
        picture: samplePicture({ tasks: Array.from({ length: count }, (_, at) => sampleTask(`t-${at}`)) }),
        sort: 'task',
        filter: 't',
      });
    const took = (shown: TopState): number => {
      screen(shown);
      const begin = performance.now();
      for (let time = 0; time < 100; time += 1) screen(shown);
      return performance.now() - begin;
    };
    // Speed is not tested but for its order: it would be a thousand times as much.
    expect(took(many(100_000))).toBeLessThan(50 * took(many(100)) + 100);
  });
});

describe('parts of a line', () => {
  it('have the width that was asked for, in columns', () => {
    for (const text of ['', 'abc', '日本語', 'a👍b', 'é'.repeat(9), EVIL]) {
      for (const width of [0, 1, 2, 3, 7, 20]) expect(displayWidth(cell(text, width)), text).toBe(width);
    }
    expect(cell('7', 3, 'right')).toBe('  7');
    expect([bar(0.5, 6), bar(2, 6), bar(-1, 6), bar(null, 6)]).toEqual(['[██░░]', '[████]', '[░░░░]', '      ']);
    expect(sparkline([0, 1, 100, 50, 0])).toBe('▁▂█▅▁');
    expect(sparkline([0, 0])).toBe('▁▁');
    expect(sparkline([])).toBe('');
  });
});
