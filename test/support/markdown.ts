/** The documentation's pages, as far as tests look into them. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface CodeBlock {
  language: string;
  text: string;
}

export class MarkdownPage {
  /** In the repository. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly CodeBlock[];
  /** Without fenced blocks. */
  readonly prose: string;

  constructor(path: string) {
    this.path = path;
    this.text = readFileSync(join(ROOT, path), 'utf8');
    const fence = /^( *)```(\w*)\n(.*?)^\1```$/gms;
    this.blocks = [...this.text.matchAll(fence)].map(([, , language = '', text = '']) => ({ language, text }));
    this.prose = this.text.replace(fence, '');
  }

  /** Everything that is set as code. */
  get code(): string[] {
    return [...this.blocks.map(({ text }) => text), ...this.spans(this.prose)];
  }

  get links(): string[] {
    const withoutCode = this.prose.replace(/`[^`\n]*`/g, '');
    return [...withoutCode.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  }

  /** As a host makes them from headings. */
  get anchors(): string[] {
    return [...this.prose.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );
  }

  /** From this heading to the next one of the same level. @throws RangeError when there is none. */
  section(heading: string): string {
    const start = this.text.indexOf(`\n${heading}\n`);
    if (start < 0) throw new RangeError(`${this.path} has no heading ${heading}`);
    const level = heading.slice(0, heading.indexOf(' ') + 1);
    const end = this.text.indexOf(`\n${level}`, start + heading.length);
    return this.text.slice(start, end < 0 ? undefined : end);
  }

  /** Inline code in a part of the page. */
  spans(part: string): string[] {
    return [...part.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text);
  }
}

/** All that are written for people; what tools brought along is left out. */
export function markdownPages(): MarkdownPage[] {
  const exclude = (name: string): boolean => ['node_modules', 'dist', 'coverage'].some((dir) => name.endsWith(dir));
  return globSync('**/*.md', { cwd: ROOT, exclude })
    .sort()
    .map((path) => new MarkdownPage(path));
}
