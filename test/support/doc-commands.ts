/**
 * The blocks of commands in the documentation, made into one shell script for each page, so that they can be tried.
 *
 * A block is fenced and marked `sh`. What a reader would have done before, and the page does not show, stands in an HTML
 * comment right before the block, and is run with it:
 *
 *     <!-- before:
 *     a_worker box-1
 *     -->
 *
 * A block that cannot be run here says why, and is only checked for its syntax: `<!-- not run: needs systemd -->`.
 *
 * A page's example address stands for a real server, and directories of the system for some of the test.
 */
import type { MarkdownPage } from './markdown.ts';

export interface DocBlock {
  /** In the page, from 1. */
  line: number;
  text: string;
  /** Run before it. */
  before: string;
  /** Why it is not run; null: it is. */
  notRun: string | null;
}

const BLOCK = /(?:^ *<!-- (before|not run): ?\n?((?:(?!-->).)*?)\s*-->\n+)?^( *)```sh\n(.*?)^\3```$/gms;

export function docBlocks(page: MarkdownPage): DocBlock[] {
  return [...page.text.matchAll(BLOCK)].map((match) => {
    const [, kind, comment = '', , text = ''] = match;
    return {
      line: page.text.slice(0, match.index).split('\n').length,
      text,
      before: kind === 'before' ? comment : '',
      notRun: kind === 'not run' ? comment : null,
    };
  });
}

/** A line that shows a command of ours, but in no block that is tried. */
export function untriedLines(page: MarkdownPage): string[] {
  const others = page.text.replace(BLOCK, '');
  return others.split('\n').filter((line) => /^ {4,}(?:sudo )?(?:dgrid|dgrid-worker|npm|docker|git) \S/.test(line));
}

export interface DocSite {
  /** A directory that stands for the system's. */
  root: string;
  /** What https://git.example.com/team/tasks.git is. */
  repoUrl: string;
  /** What port 8000 is. */
  port: number;
}

/** Names as a page has them, as they are here. */
export function localised(text: string, { root, repoUrl, port }: DocSite): string {
  return text
    .replaceAll('https://git.example.com/team/tasks.git', repoUrl)
    .replaceAll('127.0.0.1:8000', `127.0.0.1:${port}`)
    .replace(/(?<![\w.])\/(etc\/dgrid|srv\/git|var\/lib\/dgrid|tmp)\b/g, `${root}/$1`);
}

/** What a page's commands find in front of the programs of the same name, for what a reader has and a test has not. */
export const SHIMS: Readonly<Record<string, string>> = {
  // Who tries it may do all, or it is no command for this test.
  sudo: 'exec "$@"',
  // The users of an installation are not there.
  install: `
skips=
for argument; do
  shift
  case $skips$argument in
    --owner=* | --group=*) ;;
    -o | -g) skips=yes ;;
    yes*) skips= ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec /usr/bin/install "$@"`,
  // Nobody is there to stop it while the next command is given.
  'dgrid-worker': `
case \${1:-} in
  start) shift; exec "$PROGRAMS_DIR/dgrid-worker" start --until-idle "$@" ;;
  *) exec "$PROGRAMS_DIR/dgrid-worker" "$@" ;;
esac`,
  // Nor to press Ctrl-C.
  dgrid: `
case " $* " in
  *' --static '* | *' --help '*) exec "$PROGRAMS_DIR/dgrid" "$@" ;;
  ' top '*)
    status=0
    timeout --signal=INT 4 script --quiet --return --command "$PROGRAMS_DIR/dgrid $*" /dev/null </dev/null || status=$?
    case $status in 0 | 124 | 130) exit 0 ;; *) exit "$status" ;; esac ;;
  *' --watch '* | ' dashboard '*)
    status=0
    timeout --signal=INT 4 "$PROGRAMS_DIR/dgrid" "$@" || status=$?
    case $status in 0 | 124 | 130) exit 0 ;; *) exit "$status" ;; esac ;;
  *) exec "$PROGRAMS_DIR/dgrid" "$@" ;;
esac`,
};

/** `a_worker ID [NAME=VALUE…]`: one that goes on until the page ends. */
const PRELUDE = `
set -eu
workers=
a_worker() {
  id=$1
  shift
  env NODE_ID="$id" DGRID_STATE_DIR="$HOME/state-$id" HTTP_PORT=0 "$@" "$PROGRAMS_DIR/dgrid-worker" start >"$HOME/$id.log" 2>&1 &
  workers="$workers $!"
}
stop_workers() {
  for pid in $workers; do kill "$pid" 2>/dev/null || true; done
  for pid in $workers; do wait "$pid" || true; done
  workers=
}
trap stop_workers EXIT
`;

/** Before each block the script says on standard error which one comes. */
const MARK = '##block ';

/** @returns what `sh` runs for a page; empty when nothing of it is run. */
export function pageScript(page: MarkdownPage, site: DocSite): string {
  const run = docBlocks(page).filter(({ notRun }) => notRun === null);
  if (run.length === 0) return '';
  const blocks = run.map(
    ({ line, before, text }) => `echo '${MARK}${line}' >&2\n${localised(before, site)}\n${localised(text, site)}`,
  );
  return [PRELUDE, ...blocks].join('\n');
}

/** From what the script said: the line of the block that it came to last. */
export function lastBlock(stderr: string): number | null {
  const marks = stderr.split('\n').filter((line) => line.startsWith(MARK));
  const last = marks.at(-1);
  return last === undefined ? null : Number(last.slice(MARK.length));
}
