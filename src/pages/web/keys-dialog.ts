/** Shows which keys do what, and lets those without a modifier be switched off. */
import { h } from './dom.ts';
import { KEYS } from './keyboard.ts';
import { Reconciler } from './reconcile.ts';

export class KeysDialog {
  readonly #dialog: HTMLDialogElement;
  readonly #reconciler = new Reconciler();
  readonly #singleKeys: { get: () => boolean; set: (on: boolean) => void };

  constructor(dialog: HTMLDialogElement, singleKeys: { get: () => boolean; set: (on: boolean) => void }) {
    this.#dialog = dialog;
    this.#singleKeys = singleKeys;
    // Beside the dialog, on what lies behind it.
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  open(): void {
    this.#render();
    this.#dialog.showModal();
  }

  #render(): void {
    const toggle = (): void => {
      this.#singleKeys.set(!this.#singleKeys.get());
      this.#render();
    };
    this.#reconciler.render(this.#dialog, [
      h('h2', { id: 'keys-title' }, 'Keys'),
      h(
        'dl',
        { class: 'keys' },
        ...KEYS.map(({ keys, does }) =>
          h('div', { key: keys }, h('dt', {}, ...keys.split(' ').map((key) => h('kbd', {}, key))), h('dd', {}, does)),
        ),
      ),
      h(
        'label',
        { class: 'check' },
        h('input', { type: 'checkbox', checked: this.#singleKeys.get(), onchange: toggle }),
        ' Keys without a modifier (/ ? t) do things',
      ),
      h('p', {}, h('button', { type: 'button', onclick: () => this.#dialog.close() }, 'Close')),
    ]);
  }
}
