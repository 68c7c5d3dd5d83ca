/**
 * Brings a part of the document to what it should look like, and touches nothing that is right already: what a person has
 * focused, selected, opened or scrolled stays so.
 *
 * Siblings with a key are found by it, those without by their tag, in order. Elements that stay are moved only where
 * others come before them that came after.
 */
import type { Child, VNode } from './dom.ts';

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'path', 'circle', 'rect']);
/** Set as properties: the attribute is only what a control began with. */
const PROPERTIES = new Set(['value', 'checked']);

export class Reconciler {
  /** What each element was last made of. */
  readonly #made = new WeakMap<Node, VNode>();

  /** Makes what is inside of `parent` look like `children`. */
  render(parent: Element, children: readonly Child[]): void {
    const wanted = children.filter((child) => child !== null && child !== undefined && child !== false);
    const pool = this.#pool(parent);
    const nodes = wanted.map((child) => this.#nodeOf(child, pool, parent));
    const kept = new Set<Node>(nodes);
    // The list changes with each removal.
    for (const node of Array.from(parent.childNodes)) if (!kept.has(node)) node.remove();
    let next = parent.firstChild;
    for (const node of nodes) {
      // One that is to come later is stepped over; its own turn moves it.
      if (next !== null && next !== node && next.nextSibling === node) next = node;
      if (node === next) next = next.nextSibling;
      else parent.insertBefore(node, next);
    }
  }

  #pool(parent: Element): Map<string, ChildNode[]> {
    const pool = new Map<string, ChildNode[]>();
    for (const node of parent.childNodes) {
      const made = this.#made.get(node);
      const name = made ? nameOf(made) : node.nodeName;
      const same = pool.get(name);
      if (same) same.push(node);
      else pool.set(name, [node]);
    }
    for (const nodes of pool.values()) nodes.reverse();
    return pool;
  }

  #nodeOf(child: VNode | Element | string | number, pool: Map<string, ChildNode[]>, parent: Element): ChildNode {
    if (child instanceof Element) return child;
    if (typeof child !== 'object') {
      const text = String(child);
      const found = pool.get('#text')?.pop();
      if (!found) return parent.ownerDocument.createTextNode(text);
      if (found instanceof Text) write(found, text);
      return found;
    }
    const found = pool.get(nameOf(child))?.pop();
    const element = found instanceof Element ? found : create(parent.ownerDocument, child.tag);
    this.#patch(element, child);
    return element;
  }

  #patch(element: Element, wanted: VNode): void {
    const made = this.#made.get(element);
    this.#made.set(element, wanted);
    for (const name of Object.keys(made?.props ?? {})) if (!(name in wanted.props)) apply(element, name, null);
    const props = Object.entries(wanted.props);
    for (const [name, value] of props) {
      if (!PROPERTIES.has(name) && made?.props[name] !== value) apply(element, name, value);
    }
    if (wanted.children !== null) this.render(element, wanted.children);
    // Last: a list can only choose among what is in it.
    for (const [name, value] of props) if (PROPERTIES.has(name)) setProperty(element, name, value);
  }
}

function nameOf({ tag, key }: VNode): string {
  return key === null ? tag : `${tag} ${key}`;
}

function create(document: Document, tag: string): Element {
  return SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
}

function apply(element: Element, name: string, value: VNode['props'][string]): void {
  if (name.startsWith('on')) Reflect.set(element, name, value ?? null);
  else if (name.startsWith('--')) (element as HTMLElement).style.setProperty(name, String(value ?? ''));
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : String(value));
}

/** What grows at its end is only added to: a selection in it stays. */
function write(node: Text, text: string): void {
  if (text.startsWith(node.data)) {
    if (text.length > node.length) node.appendData(text.slice(node.length));
  } else node.data = text;
}

/** Written only where it differs: to write into a field moves the caret in it. */
function setProperty(element: Element, name: string, value: VNode['props'][string]): void {
  if (Reflect.get(element, name) !== value) Reflect.set(element, name, value);
}
