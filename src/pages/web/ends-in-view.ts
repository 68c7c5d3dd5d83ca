/** Text that grows at its end: whoever looks at the end of it sees what comes, whoever has scrolled up is left there. */

/** A line that is seen in part counts as seen. */
const TOLERANCE_PX = 8;

/** To be called before the text grows. @returns to be called afterwards */
export function endsInView(root: Element): () => void {
  const before = new Map(growing(root).map((element) => [element, isAtEnd(element)]));
  return () => {
    for (const element of growing(root)) if (before.get(element) ?? true) element.scrollTop = element.scrollHeight;
  };
}

function growing(root: Element): Element[] {
  return [...root.querySelectorAll('[data-tail]')];
}

function isAtEnd({ clientHeight, scrollHeight, scrollTop }: Element): boolean {
  return scrollHeight - scrollTop - clientHeight < TOLERANCE_PX;
}
