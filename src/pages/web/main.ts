/** Begins: finds the frame in the document, and lets the page run in it. */
import { App } from './app.ts';

function part<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new TypeError(`index.html has no ${type.name} #${id}`);
  return element;
}

new App(
  {
    root: document.body,
    header: part('head', HTMLElement),
    main: part('main', HTMLElement),
    live: part('live', HTMLElement),
    dialog: part('keys', HTMLDialogElement),
    skip: part('skip', HTMLElement),
  },
  document.documentElement.dataset['source'] === 'static',
).start();
