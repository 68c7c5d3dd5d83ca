/**
 * The page as a whole: has what came from the server and what the person chose, and shows both. All changes come through
 * here and are shown together, once a frame.
 */
import type { Overview, TaskRow } from '../model.ts';
import { Ages } from './ages.ts';
import { Announcer } from './announcer.ts';
import { banners } from './banners.ts';
import { Charts } from './charts.ts';
import { nowMs, SourceClock } from './clock.ts';
import { type Child, h } from './dom.ts';
import { endsInView } from './ends-in-view.ts';
import { Feed, type Link } from './feed.ts';
import { isFiltered, matches, SEARCH_FOCUS } from './filters.ts';
import { keepingFocus, named, Places } from './focus.ts';
import { header } from './header.ts';
import { listenToKeys } from './keyboard.ts';
import { KeysDialog } from './keys-dialog.ts';
import { newsBetween } from './news.ts';
import { nodePage } from './node-page.ts';
import { allRows, type OverviewActions, overviewPage } from './overview-page.ts';
import { applyTheme, nextTheme, PreferenceStore } from './preferences.ts';
import { Reconciler } from './reconcile.ts';
import { hashOf, NO_FILTERS, parseRoute, type Route } from './route.ts';
import { TaskKeeper } from './task-keeper.ts';
import { taskPage } from './task-page.ts';
import { FIRST_ROWS, MORE_ROWS } from './task-table.ts';

/** The elements of index.html that the page is shown in. */
export interface Frame {
  root: HTMLElement;
  header: HTMLElement;
  main: HTMLElement;
  live: HTMLElement;
  dialog: HTMLDialogElement;
  skip: HTMLElement;
}

export class App {
  readonly #frame: Frame;
  readonly #preferences = new PreferenceStore();
  readonly #reconciler = new Reconciler();
  readonly #charts = new Charts();
  readonly #places = new Places();
  readonly #clock = new SourceClock();
  readonly #shown = new Map<string, number>();
  readonly #announcer: Announcer;
  readonly #ages: Ages;
  readonly #feed: Feed;
  readonly #keeper: TaskKeeper;
  readonly #keys: KeysDialog;
  #overview: Overview | null = null;
  #link: Link = { kind: 'connecting' };
  #route: Route = parseRoute(location.hash);
  /** As it was when the place in it was last left or entered. */
  #hash = hashNow();
  #isFramePending = false;

  constructor(frame: Frame, isStatic: boolean) {
    this.#frame = frame;
    this.#announcer = new Announcer(frame.live);
    this.#ages = new Ages(frame.root, this.#clock);
    this.#feed = new Feed(isStatic, {
      onOverview: (overview) => this.#take(overview),
      onLink: (link) => this.#linked(link),
    });
    this.#keeper = new TaskKeeper({
      ask: (id) => this.#feed.task(id),
      isStatic,
      isSeen: () => !document.hidden,
      onChange: () => this.#show(),
    });
    this.#keys = new KeysDialog(frame.dialog, {
      get: () => this.#preferences.now.singleKeys,
      set: (on) => this.#preferences.set('singleKeys', on),
    });
  }

  start(): void {
    applyTheme(this.#preferences.now.theme);
    // The browser would scroll before what it scrolls to is there.
    history.scrollRestoration = 'manual';
    window.addEventListener('hashchange', () => this.#navigated());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#charts.redraw());
    this.#frame.skip.addEventListener('click', (event) => {
      event.preventDefault();
      this.#frame.main.focus();
    });
    listenToKeys({
      search: () => this.#search(),
      help: () => this.#keys.open(),
      theme: () => this.#changeTheme(),
      back: () => this.#back(),
      singleKeys: () => this.#preferences.now.singleKeys,
    });
    this.#ages.start();
    this.#render();
    this.#showTask();
    this.#feed.start();
  }

  #take(overview: Overview): void {
    const news = this.#overview === null ? null : newsBetween(this.#overview, overview);
    if (news !== null) this.#announcer.say(news);
    this.#overview = overview;
    if (this.#feed.isStatic) this.#clock.trustOwn();
    else this.#clock.set(overview.generated_at);
    this.#charts.set(overview);
    this.#keeper.changed(JSON.stringify(this.#row() ?? null));
    this.#show();
  }

  #linked(link: Link): void {
    const before = this.#link.kind;
    if (before !== link.kind && before !== 'connecting') {
      if (link.kind === 'reconnecting') this.#announcer.say('The connection is lost.');
      if (link.kind === 'live') this.#announcer.say('Connected again.');
    }
    this.#link = link;
    this.#show();
  }

  #show(): void {
    if (this.#isFramePending) return;
    this.#isFramePending = true;
    requestAnimationFrame(() => {
      this.#isFramePending = false;
      this.#render();
    });
  }

  #render(): void {
    const { header: head, main } = this.#frame;
    const stayAtEnds = endsInView(main);
    keepingFocus(() => {
      this.#reconciler.render(head, this.#header());
      this.#reconciler.render(main, [...banners(this.#overview, this.#link, () => this.#feed.askNow()), this.#page()]);
    });
    stayAtEnds();
    this.#ages.update();
    document.title = this.#title();
  }

  #header(): Child[] {
    const aheadMs = this.#clock.nowMs() - nowMs();
    return header({
      overview: this.#overview,
      link: this.#link,
      theme: this.#preferences.now.theme,
      aheadMs,
      actions: { changeTheme: () => this.#changeTheme(), showKeys: () => this.#keys.open() },
    });
  }

  #page(): Child {
    const route = this.#route;
    if (route.view === 'task') {
      return taskPage(route.id, this.#keeper.state, this.#row() ?? null, {
        wrap: this.#preferences.now.wrapOutput,
        setWrap: (wrap) => {
          this.#preferences.set('wrapOutput', wrap);
          this.#show();
        },
        say: (text) => this.#announcer.say(text),
        addressOf: this.#feed.isStatic ? null : (stream) => `api/v1/tasks/${route.id}/output/${stream}`,
        tryAgain: () => void this.#keeper.refresh(),
        backHref: this.#lastOverview(),
      });
    }
    if (this.#overview === null) {
      return this.#link.kind === 'connecting' ? h('p', { class: 'quiet loading' }, 'Loading…') : null;
    }
    return route.view === 'node'
      ? nodePage(route.id, this.#overview, { ...this.#actions(), backHref: this.#lastOverview() })
      : overviewPage(this.#overview, route, this.#charts, this.#actions());
  }

  #actions(): OverviewActions {
    return {
      setFilters: (filters) => {
        if (this.#route.view !== 'overview') return;
        this.#replace({ ...this.#route, filters });
        if (!isFiltered(filters) || this.#overview === null) return;
        const count = allRows(this.#overview).filter((row) => matches(row, filters)).length;
        this.#announcer.say(`${count} ${count === 1 ? 'task matches' : 'tasks match'}.`);
      },
      setSort: (table, sort) => {
        if (this.#route.view !== 'overview') return;
        const sorts = new Map(this.#route.sorts);
        if (sort === null) sorts.delete(table);
        else sorts.set(table, sort);
        this.#replace({ ...this.#route, sorts });
      },
      showMore: (list) => {
        this.#shown.set(list, (this.#shown.get(list) ?? FIRST_ROWS) + MORE_ROWS);
        this.#show();
      },
      shownOf: (list) => this.#shown.get(list),
    };
  }

  /** Kept in the address, without a step to go back to for each letter of a search. */
  #replace(route: Route): void {
    this.#route = route;
    this.#hash = hashOf(route);
    history.replaceState(null, '', this.#hash);
    this.#render();
  }

  #navigated(): void {
    const hash = hashNow();
    if (hash === this.#hash) return;
    const before = this.#route;
    this.#places.leave(this.#hash);
    this.#hash = hash;
    this.#route = parseRoute(hash);
    this.#showTask();
    this.#render();
    const wasHere = this.#places.enter(this.#hash);
    if (wasHere) return;
    if (before.view === 'overview' && this.#route.view === 'overview' && isFiltered(this.#route.filters)) {
      const tables = this.#frame.main.querySelector<HTMLElement>('.tables');
      this.#frame.main.querySelector('.filters')?.scrollIntoView();
      tables?.querySelector<HTMLElement>('section')?.focus({ preventScroll: true });
    } else this.#frame.main.querySelector('h1')?.focus({ preventScroll: true });
  }

  #showTask(): void {
    this.#keeper.show(this.#route.view === 'task' ? this.#route.id : null);
  }

  #search(): void {
    if (this.#route.view !== 'overview') location.hash = '#/';
    // The change of the address is told later than the field is needed.
    this.#navigated();
    named(SEARCH_FOCUS)?.focus();
  }

  #back(): boolean {
    if (this.#route.view !== 'overview') {
      location.hash = this.#lastOverview();
      return true;
    }
    if (!isFiltered(this.#route.filters)) return false;
    this.#replace({ ...this.#route, filters: NO_FILTERS });
    return true;
  }

  /** With its filters: they are still wanted. */
  #lastOverview(): string {
    return this.#places.hashes().findLast((hash) => parseRoute(hash).view === 'overview') ?? '#/';
  }

  /** What the overview says of the task that is looked at. */
  #row(): TaskRow | undefined {
    const route = this.#route;
    if (route.view !== 'task' || this.#overview === null) return undefined;
    return allRows(this.#overview).find(({ task_id }) => task_id === route.id);
  }

  #changeTheme(): void {
    const theme = nextTheme(this.#preferences.now.theme);
    this.#preferences.set('theme', theme);
    applyTheme(theme);
    this.#charts.redraw();
    this.#render();
  }

  #title(): string {
    const route = this.#route;
    if (route.view !== 'overview') return `${route.id} – D-GRID`;
    const repository = this.#overview?.repository.replace(/\/+$/, '').split(/[/:]/).at(-1);
    return repository ? `${repository} – D-GRID` : 'D-GRID';
  }
}

/** The address without one is that of the overview. */
function hashNow(): string {
  return location.hash || '#/';
}
