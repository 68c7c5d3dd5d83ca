/** The picture of `dgrid top` in the documentation: a frame as the program draws it, of a made-up grid, as SVG. */
import { stripVTControlCharacters, styleText } from 'node:util';
import { displayWidth } from '../src/cli/display-width.ts';
import type { Paint } from '../src/cli/top/line.ts';
import { render } from '../src/cli/top/render.ts';
import { initialState } from '../src/cli/top/state.ts';
import { SAMPLE_NOW_MS, sampleNode, samplePicture, sampleTask } from '../test/support/top-sample.ts';

export const TOP_PICTURE_PATH = 'docs/images/top.svg';
const SIZE = { columns: 112, rows: 30 };
const CELL = { width: 8.4, height: 18 };
const MARGIN = 12;
const COLOURS: Readonly<Record<string, string>> = {
  31: '#f47067',
  32: '#57ab5a',
  33: '#c69026',
  36: '#39c5cf',
  2: '#768390',
};
const INK = '#cdd9e5';
const PAPER = '#1c2128';

const paint: Paint = (style, text) => styleText(style, text, { validateStream: false });

export function topPicture(): string {
  const lines = render(
    { ...initialState('https://git.example.com/team/tasks.git'), picture: sample() },
    SIZE,
    paint,
    SAMPLE_NOW_MS,
  );
  const width = SIZE.columns * CELL.width + 2 * MARGIN;
  const height = lines.length * CELL.height + 2 * MARGIN;
  const rows = lines.map((line, at) => row(line, MARGIN + (at + 0.75) * CELL.height)).filter((text) => text !== '');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width.toFixed(0)} ${height.toFixed(0)}" role="img" aria-label="dgrid top in a terminal: nodes with their load, tasks by their turn, and results">`,
    `<rect width="100%" height="100%" rx="8" fill="${PAPER}"/>`,
    `<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" fill="${INK}">`,
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

/** Each piece stands at its own column, whatever the font makes of the ones before. */
function row(line: string, y: number): string {
  let column = 0;
  let styles: string[] = [];
  const pieces: string[] = [];
  // oxlint-disable-next-line no-control-regex -- colours, as styleText writes them
  for (const part of line.split(/(\u001b\[\d+m)/)) {
    // oxlint-disable-next-line no-control-regex -- the same
    const [, code] = /^\u001b\[(\d+)m$/.exec(part) ?? [];
    if (code !== undefined)
      styles = Number(code) === 39 || Number(code) === 22 || Number(code) === 27 ? [] : [...styles, code];
    else if (part !== '') {
      pieces.push(piece(part, column, y, styles));
      column += displayWidth(stripVTControlCharacters(part));
    }
  }
  return pieces.filter((text) => text !== '').join('');
}

function piece(text: string, column: number, y: number, styles: readonly string[]): string {
  const isInverse = styles.includes('7');
  if (text.trim() === '' && !isInverse) return '';
  const at = (columns: number): string => (MARGIN + columns * CELL.width).toFixed(1);
  const colour = isInverse ? PAPER : (COLOURS[styles.find((style) => COLOURS[style]) ?? ''] ?? INK);
  const weight = styles.includes('1') ? ' font-weight="bold"' : '';
  const back = isInverse
    ? `<rect x="${at(column)}" y="${(y - 0.75 * CELL.height).toFixed(1)}" width="${(displayWidth(text) * CELL.width).toFixed(1)}" height="${CELL.height}" fill="${INK}"/>`
    : '';
  // Word by word: not everything that shows a picture keeps blanks.
  const words = [...text.matchAll(/\S+/g)].map(({ 0: word, index }) => {
    const x = at(column + displayWidth(text.slice(0, index)));
    const length = (displayWidth(word) * CELL.width).toFixed(1);
    return `<text x="${x}" y="${y.toFixed(1)}" textLength="${length}" fill="${colour}"${weight}>${escaped(word)}</text>`;
  });
  return back + words.join('');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function sample() {
  const since = (seconds: number) => ({ sinceMs: SAMPLE_NOW_MS - seconds * 1000, seen: true });
  const running = (id: string, node: string, seconds: number, more: object = {}) =>
    sampleTask(id, { state: 'running', node_id: node, attempt: 1, priority: 'high', ...since(seconds), ...more });
  const done = (id: string, node: string, ms: number, note: string, more: object = {}) =>
    sampleTask(id, { state: 'success', node_id: node, attempt: 1, priority: null, run_ms: ms, note, ...more });
  return samplePicture({
    series: Array.from({ length: 48 }, (_, at) => Math.round(4 + 3 * Math.sin(at / 4) + ((at * 7) % 5))),
    nodes: [
      sampleNode('edge-berlin-1', { running: ['a', 'b', 'c'], info: { cpu_percent: 78, memory_percent: 52 } }),
      sampleNode('edge-berlin-2', { running: ['d'], slots: 2, info: { cpu_percent: 31, memory_percent: 40 } }),
      sampleNode('edge-lagos-1', {
        running: [],
        slots: 2,
        paused: [{ reason: 'disk', text: '' }],
        info: { cpu_percent: 4, memory_percent: 22 },
      }),
      sampleNode('edge-lima-1', { state: 'fenced', fenced_by: 'edge-berlin-1' as never }),
    ],
    tasks: [
      running('transcode-2031', 'edge-berlin-1', 412),
      running('transcode-2032', 'edge-berlin-1', 367),
      running('thumbnails-77', 'edge-berlin-1', 12, { priority: 'medium' }),
      running('ocr-batch-9', 'edge-berlin-2', 95, { attempt: 2, priority: 'medium' }),
      sampleTask('upload-archive', {
        state: 'waiting',
        attempt: 1,
        priority: 'medium',
        ...since(20),
        note: 'to be tried again',
      }),
      ...Array.from({ length: 118 }, (_, at) =>
        sampleTask(`transcode-${2033 + at}`, { priority: at < 20 ? 'high' : at < 90 ? 'medium' : 'low' }),
      ),
    ],
    recent: [
      done('thumbnails-76', 'edge-berlin-1', 8_400, '214 pictures'),
      done('ocr-batch-8', 'edge-berlin-2', 131_000, 'exit-code: the process ended with exit code 2', {
        state: 'failed',
        attempt: 3,
      }),
      done('transcode-2030', 'edge-berlin-1', 402_000, 'frames: 24001'),
    ],
    summary: { recorded: { completed: 4_193, failed: 17 } },
  });
}
