/**
 * One chart: drawn by uPlot, read as a legend with figures, or as a table. The pointer, and the arrow keys, choose a step;
 * without either the figures are the newest.
 */

import { h, type VNode } from './dom.ts';
import { clockTime, fullTime, NOTHING } from './format.ts';
import { Reconciler } from './reconcile.ts';

export interface Line {
  name: string;
  /** Of the style sheet: `--NAME`. */
  colour: string;
  /** `bar`s stand on those that follow them. */
  kind: 'bar' | 'line' | 'dashed';
}

export interface ChartShape {
  id: string;
  title: string;
  lines: readonly Line[];
  value: (value: number | null) => string;
  /** The same, short, beside the scale. */
  tickValue: (value: number) => string;
  /** Distances that the scale's lines may have. */
  steps: readonly number[];
  /** The least that the scale reaches to. */
  scaleTo: number;
}

/** Times in seconds since 1970, and the values of each line. */
export interface ChartData {
  title: string;
  seconds: readonly number[];
  values: readonly (readonly (number | null)[])[];
}

const HEIGHT_PX = 160;
const Y_AXIS_PX = 54;
const X_AXIS_PX = 28;
const TABLE_ROWS = 60;
const FONT = '11px system-ui, sans-serif';

export class Chart {
  readonly element: HTMLElement;
  readonly #shape: ChartShape;
  readonly #frame: HTMLElement;
  readonly #plotBox: HTMLElement;
  readonly #reconciler = new Reconciler();
  #plot: uPlot | null = null;
  #data: ChartData;
  #chosen: number | null = null;
  #isTableOpen = false;

  constructor(shape: ChartShape) {
    this.#shape = shape;
    this.#data = { title: shape.title, seconds: [], values: [] };
    this.element = document.createElement('section');
    this.element.className = 'panel chart';
    this.element.id = `chart-${shape.id}`;
    this.element.setAttribute('aria-labelledby', `chart-${shape.id}-title`);
    this.#plotBox = document.createElement('div');
    this.#plotBox.className = 'plot';
    this.#plotBox.tabIndex = 0;
    this.#plotBox.setAttribute('role', 'img');
    this.#plotBox.addEventListener('keydown', (event) => this.#onKey(event));
    this.#plotBox.addEventListener('blur', () => this.#plot?.setCursor({ left: -10, top: -10 }));
    this.#frame = document.createElement('div');
    this.element.append(this.#frame);
    new ResizeObserver(() => this.#fit()).observe(this.element);
  }

  set(data: ChartData): void {
    this.#data = data;
    if (this.#plot) this.#plot.setData(this.#aligned());
    else this.#draw();
    this.#render();
  }

  /** After a change of the theme: what is drawn has its colours from it. */
  redraw(): void {
    this.#plot?.destroy();
    this.#plot = null;
    this.#draw();
    this.#render();
  }

  get #isEmpty(): boolean {
    return !this.#data.values.some((line) => line.some((value) => value !== null));
  }

  #draw(): void {
    const width = this.#plotBox.clientWidth || this.element.clientWidth;
    if (width === 0 || this.#isEmpty) return;
    this.#plot = new uPlot(this.#options(width), this.#aligned(), this.#plotBox);
  }

  #fit(): void {
    const width = this.#plotBox.clientWidth;
    if (width === 0) return;
    if (this.#plot) this.#plot.setSize({ width, height: HEIGHT_PX });
    else this.#draw();
  }

  /** Bars that stand on each other are drawn from the highest sum down. */
  #aligned(): uPlot.AlignedData {
    const { lines } = this.#shape;
    const drawn = this.#data.values.map((values, index) =>
      lines[index]?.kind === 'bar'
        ? values.map((_value, at) =>
            this.#data.values.reduce(
              (sum, line, other) => (other >= index && lines[other]?.kind === 'bar' ? sum + (line[at] ?? 0) : sum),
              0,
            ),
          )
        : [...values],
    );
    return [[...this.#data.seconds], ...drawn];
  }

  #options(width: number): uPlot.Options {
    const { lines, tickValue, steps, scaleTo } = this.#shape;
    const text = colourOf(this.element, '--muted');
    const grid = { stroke: colourOf(this.element, '--line'), width: 1 };
    const axis = { stroke: text, font: FONT, grid, ticks: { ...grid, size: 4 } };
    return {
      width,
      height: HEIGHT_PX,
      legend: { show: false },
      padding: [8, 10, 0, 0],
      cursor: { drag: { x: false, y: false }, y: false, sync: { key: 'dgrid' } },
      scales: { x: { time: true }, y: { range: (_plot, _min, max) => [0, Math.max(scaleTo, (max ?? 0) * 1.1)] } },
      axes: [
        {
          ...axis,
          space: 56,
          size: X_AXIS_PX,
          values: (_plot, ticks) => ticks.map((tick) => tickTime(tick, this.#data.seconds)),
        },
        { ...axis, space: 28, size: Y_AXIS_PX, incrs: [...steps], values: (_plot, ticks) => ticks.map(tickValue) },
      ],
      series: [{}, ...lines.map((line) => this.#series(line))],
      hooks: { setCursor: [(plot) => this.#onCursor(plot.cursor.idx ?? null)] },
    };
  }

  #series({ name, colour, kind }: Line): uPlot.Series {
    const stroke = colourOf(this.element, `--${colour}`);
    if (kind === 'bar') {
      const bars = uPlot.paths.bars?.({ size: [0.8, 24] });
      return { label: name, fill: stroke, width: 0, points: { show: false }, ...(bars ? { paths: bars } : {}) };
    }
    return { label: name, stroke, width: 2, ...(kind === 'dashed' ? { dash: [5, 4] } : {}) };
  }

  #onCursor(index: number | null): void {
    if (index === this.#chosen) return;
    this.#chosen = index;
    this.#render();
  }

  #onKey(event: KeyboardEvent): void {
    const last = this.#data.seconds.length - 1;
    const at = this.#chosen ?? last + 1;
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    const seconds = next === undefined ? undefined : this.#data.seconds[Math.min(Math.max(next, 0), last)];
    if (seconds === undefined || !this.#plot) return;
    event.preventDefault();
    this.#plot.setCursor({ left: this.#plot.valToPos(seconds, 'x'), top: 0 });
  }

  #render(): void {
    const { id, lines, value } = this.#shape;
    const at = Math.min(this.#chosen ?? Number.POSITIVE_INFINITY, this.#data.seconds.length - 1);
    const seconds = this.#data.seconds[at];
    const when = this.#chosen === null || seconds === undefined ? 'newest' : clockTime(seconds * 1000);
    const figures = lines.map(({ name }, index) => `${name} ${value(this.#data.values[index]?.[at] ?? null)}`);
    this.#plotBox.setAttribute(
      'aria-label',
      `${this.#data.title}, ${when}: ${figures.join(', ')}. The figures stand in a table below.`,
    );
    this.#plotBox.hidden = this.#isEmpty;
    this.#reconciler.render(this.#frame, [
      h(
        'div',
        { class: 'chart-head' },
        h('h2', { id: `chart-${id}-title`, title: this.#data.title }, this.#data.title),
        this.#isEmpty ? null : h('span', { class: 'muted' }, when),
      ),
      this.#isEmpty
        ? h('p', { class: 'quiet' }, 'There are no figures yet.')
        : h(
            'ul',
            { class: 'legend' },
            ...lines.map(({ name, colour, kind }, index) =>
              h(
                'li',
                { key: name },
                h('span', { class: `swatch ${kind} ${colour}`, 'aria-hidden': 'true' }),
                `${name} `,
                h('strong', {}, value(this.#data.values[index]?.[at] ?? null)),
              ),
            ),
          ),
      this.#plotBox,
      this.#isEmpty ? null : this.#table(),
    ]);
  }

  /** Made only while it is open. */
  #table(): VNode {
    const { lines, value } = this.#shape;
    const from = Math.max(0, this.#data.seconds.length - TABLE_ROWS);
    const rows = this.#isTableOpen ? this.#data.seconds.slice(from).toReversed() : [];
    const onToggle = (event: Event): void => {
      const isOpen = event.target instanceof HTMLDetailsElement && event.target.open;
      if (isOpen === this.#isTableOpen) return;
      this.#isTableOpen = isOpen;
      this.#render();
    };
    return h(
      'details',
      { class: 'figures', ontoggle: onToggle },
      h('summary', { 'data-focus': `figures ${this.#shape.id}` }, 'Figures as a table'),
      h(
        'div',
        { class: 'figures-scroll', tabindex: 0, role: 'region', 'aria-label': `Figures: ${this.#data.title}` },
        h(
          'table',
          {},
          h('caption', { class: 'hidden' }, `${this.#data.title}, the newest step first`),
          h(
            'thead',
            {},
            h('tr', {}, ...['Until', ...lines.map(({ name }) => name)].map((name) => h('th', { scope: 'col' }, name))),
          ),
          h(
            'tbody',
            {},
            ...rows.map((time, index) => {
              const row = this.#data.seconds.length - 1 - index;
              return h(
                'tr',
                { key: time },
                h('th', { scope: 'row', title: fullTime(time * 1000) }, clockTime(time * 1000)),
                ...lines.map((_line, of) => h('td', {}, value(this.#data.values[of]?.[row] ?? null))),
              );
            }),
          ),
        ),
      ),
    );
  }
}

/** A colour of the style sheet as a canvas understands it. */
function colourOf(element: HTMLElement, name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function tickTime(tick: number, seconds: readonly number[]): string {
  const span = (seconds.at(-1) ?? 0) - (seconds[0] ?? 0);
  if (!Number.isFinite(tick)) return NOTHING;
  const time = clockTime(tick * 1000);
  if (span < 600) return time;
  return span < 2 * 86_400 ? time.slice(0, 5) : `${new Date(tick * 1000).getDate()}. ${time.slice(0, 5)}`;
}
