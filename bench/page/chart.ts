/** Bars as SVG: each figure beside what it was compared with. Readable on light and on dark pages alike. */
import type { Figure, SuiteDocument, Unit } from '../frame/figure.ts';
import { formatValue } from '../frame/format.ts';

interface Bar {
  label: string;
  value: number;
  own: boolean;
}

interface Group {
  name: string;
  bars: Bar[];
}

export interface Chart {
  unit: Unit;
  svg: string;
}

const WIDTH = 760;
const LABELS = 240;
const VALUES = 110;
const BARS = WIDTH - LABELS - VALUES;
const BAR_HEIGHT = 14;
const BAR_STEP = 19;
const GROUP_TITLE = 22;
const GROUP_GAP = 10;
const MARGIN = 12;
const HEADING = 30;
/** From this ratio of the longest to the shortest on, a linear bar of the shortest would not be seen. */
const LOG_FROM = 25;
const SHORTEST_BAR = 3;
const LONGEST_NAME = 34;

const STYLE = [
  'text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}',
  '.title{font-weight:600}',
  '.note{fill:#59636e}',
  '.own{fill:#0969da}',
  '.other{fill:#afb8c1}',
  '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.own{fill:#4493f8}.other{fill:#656c76}}',
].join('');

/** One chart for each unit in which something was compared. */
export function suiteCharts({ results, title }: SuiteDocument): Chart[] {
  const units = [...new Set(results.map(({ unit }) => unit))];
  return units.flatMap((unit) => {
    const groups = groupsOf(results.filter((figure) => figure.unit === unit));
    return groups.length === 0 ? [] : [{ unit, svg: draw(title, unit, groups) }];
  });
}

/** Figures of one name are one group: the figure once, and each of its baselines. */
function groupsOf(figures: readonly Figure[]): Group[] {
  const groups = new Map<string, Group>();
  for (const { baseline, name, value } of figures) {
    if (value === null || baseline === null) continue;
    const group = groups.get(name) ?? { name, bars: [{ label: 'D-GRID', value, own: true }] };
    groups.set(name, group);
    if (group.bars.some(({ label }) => label === baseline.name)) continue;
    group.bars.push({ label: baseline.name, value: baseline.value, own: false });
  }
  return [...groups.values()];
}

function draw(title: string, unit: Unit, groups: readonly Group[]): string {
  const { lengthOf, scale } = scaleOf(groups.flatMap(({ bars }) => bars.map(({ value }) => value)));
  const parts: string[] = [];
  let y = MARGIN + HEADING;
  for (const { bars, name } of groups) {
    parts.push(text(MARGIN, y + 12, name, 'title'));
    y += GROUP_TITLE;
    for (const { label, own, value } of bars) {
      const width = lengthOf(value);
      const kind = own ? 'own' : 'other';
      parts.push(
        text(LABELS - 10, y + 11, shortened(label), 'note', 'end'),
        `<rect class="${kind}" x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>`,
        text(LABELS + width + 6, y + 11, formatValue(value, unit), own ? 'title' : ''),
      );
      y += BAR_STEP;
    }
    y += GROUP_GAP;
  }
  const height = y + MARGIN - GROUP_GAP;
  const size = `viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}</style>`,
    text(MARGIN, MARGIN + 12, title, 'title'),
    text(WIDTH - MARGIN, MARGIN + 12, scale, 'note', 'end'),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function scaleOf(values: readonly number[]): { lengthOf: (value: number) => number; scale: string } {
  const positive = values.filter((value) => value > 0);
  const largest = Math.max(...positive, Number.MIN_VALUE);
  const smallest = Math.min(...positive, largest);
  const logarithmic = largest / smallest >= LOG_FROM;
  // Half a decade below the smallest, so that this one is seen as well.
  const from = Math.log10(smallest) - 0.5;
  const share = (value: number): number =>
    logarithmic ? (Math.log10(value) - from) / (Math.log10(largest) - from) : value / largest;
  return {
    lengthOf: (value) => (value > 0 ? Math.max(SHORTEST_BAR, share(value) * BARS) : 0),
    scale: logarithmic ? 'logarithmic scale' : 'linear scale from zero',
  };
}

function text(x: number, y: number, content: string, kind: string, anchor: 'start' | 'end' = 'start'): string {
  const side = anchor === 'end' ? ' text-anchor="end"' : '';
  const style = kind === '' ? '' : ` class="${kind}"`;
  return `<text x="${x.toFixed(1)}" y="${y}"${style}${side}>${escaped(content)}</text>`;
}

function shortened(label: string): string {
  return label.length <= LONGEST_NAME ? label : `${label.slice(0, LONGEST_NAME - 1)}…`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
