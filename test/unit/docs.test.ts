/** What the documentation names must exist, and what exists must be documented. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { CLIENT_COMMANDS } from '../../src/cli/client/commands.ts';
import { CLIENT_PROGRAM } from '../../src/cli/client-main.ts';
import { Interruption } from '../../src/cli/interruption.ts';
import { Output } from '../../src/cli/output.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { WORKER_COMMANDS } from '../../src/cli/worker/commands.ts';
import { WORKER_PROGRAM } from '../../src/cli/worker-main.ts';
import { isOptionName, OPTION_NAMES } from '../../src/config/options.ts';
import { containerSpec } from '../../src/executor/docker/container-spec.ts';
import { DOCKER_QUIRKS } from '../../src/executor/docker/engine-quirks.ts';
import { oid } from '../../src/git/oid.ts';
import { encodeNodeState, encodeTaskState } from '../../src/ledger/state-codec.ts';
import { EVENTS, type EventName } from '../../src/observe/events.ts';
import { systemClock } from '../../src/runtime.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import { FAILURE_REASONS } from '../../src/task/result.ts';
import { MarkdownPage, markdownPages, ROOT } from '../support/markdown.ts';

const PAGES = markdownPages();
const README = new MarkdownPage('README.md');
const PROTOCOL = new MarkdownPage('docs/protocol.md');

describe.each(PAGES.map((page) => [page.path, page] as const))('%s', (path, page) => {
  test('links only to what is there', () => {
    for (const target of page.links.filter((link) => !/^[a-z]+:/.test(link))) {
      const [file = '', anchor] = target.split('#');
      const found = file === '' ? path : normalize(join(dirname(path), file));
      expect(existsSync(join(ROOT, found)), `${target} in ${path}`).toBe(true);
      if (anchor !== undefined) expect(new MarkdownPage(found).anchors, `${target} in ${path}`).toContain(anchor);
    }
  });

  test('names only variables that exist', () => {
    const known = new Set([...FOREIGN_VARIABLES, ...taskVariables(), ...imageVariables()]);
    const named = page.code.flatMap((code) => code.match(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g) ?? []);
    expect(named.filter((name) => !isOptionName(name) && !known.has(name))).toEqual([]);
  });

  test('shows only commands and flags that exist', () => {
    for (const code of page.code) for (const line of commandLines(code)) expect(wrongIn(line), line.text).toBeNull();
  });
});

/** Of Git, Git hosts, Node.js, npm, the system, and our own tests. */
const FOREIGN_VARIABLES = [
  'ALLOWED_HOST_LIST',
  'DGRID_ABUSE_SAVE',
  'DGRID_FAULT_SCALE',
  'DGRID_TEST_SEED',
  'DGRID_PACKAGE',
  'DGRID_SAVE_SAMPLES',
  'GIT_AUTHOR_EMAIL',
  'GIT_AUTHOR_NAME',
  'GIT_COMMITTER_EMAIL',
  'GIT_COMMITTER_NAME',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_NOSYSTEM',
  'GIT_INDEX_FILE',
  'GIT_PROTOCOL',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_COLOR',
  'NO_PROXY',
  'NODE_EXTRA_CA_CERTS',
  'XDG_CACHE_HOME',
  'XDG_RUNTIME_DIR',
  'XDG_STATE_HOME',
];

/** What a task finds in its environment. */
function taskVariables(): string[] {
  const job = {
    key: { taskId: taskId('a'), nodeId: nodeId('b'), incarnation: 'c', epoch: 1 },
    attempt: 1,
    image: 'busybox:stable',
    program: { kind: 'script' as const, script: 'true' },
    env: {},
    secrets: [{ name: 's', bytes: Buffer.from('12345678') }],
    cpus: 1,
    memoryBytes: 2 ** 30,
    timeoutMs: 1000,
  };
  const limits = {
    cpus: 1,
    cpuShares: 512,
    memoryBytes: 2 ** 30,
    timeoutMs: 1000,
    pidsLimit: 2,
    workDirBytes: 2 ** 20,
  };
  const spec = containerSpec(
    job,
    { ...limits, runtime: null },
    {
      gridId: 'g',
      nonce: '00',
      maxOutputBytes: 1,
      engineCpus: null,
      imageId: 'i',
      imageDigest: null,
      imageVolumes: [],
      networkMode: 'none',
      quirks: DOCKER_QUIRKS,
    },
  );
  return spec.Env.map((entry) => entry.slice(0, entry.indexOf('=')));
}

/** Arguments of the worker's image, and variables of the stack. */
function imageVariables(): string[] {
  const named = (file: string, pattern: RegExp): string[] => {
    const path = join(ROOT, 'docker', file);
    if (!existsSync(path)) return [];
    return [...readFileSync(path, 'utf8').matchAll(pattern)].map(([, name = '']) => name);
  };
  return [...named('Dockerfile', /^ARG (\w+)/gm), ...named('stack.yaml', /\$\{(\w+)/g)];
}

interface CommandLine {
  program: string;
  command: string;
  flags: string[];
  text: string;
}

/** `dgrid submit --wait`, wherever on a line it stands. What follows a pipe or a comment sign belongs to others. */
function commandLines(code: string): CommandLine[] {
  return code.split('\n').flatMap((line) => {
    // After these it is a user of that name.
    const match =
      /(?<!-u |--gid |--delete )(?:^|(?<=[\s/(]))(dgrid(?:-worker)?) +([a-z]+(?:-[a-z]+)*)(?![\w./-])([^|;#&]*)/.exec(
        line,
      );
    if (!match) return [];
    const [text, program = '', command = '', rest = ''] = match;
    const flags = rest.replace(/'[^']*'|"[^"]*"/g, '').match(/(?<=\s)--[a-z][a-z-]*/g) ?? [];
    return [{ program, command, flags: [...flags], text }];
  });
}

function wrongIn({ program, command, flags }: CommandLine): string | null {
  const found = PROGRAMS.get(program);
  // Without any command yet there is nothing to compare with.
  if (!found || found.length === 0) return null;
  const meant = found.find((candidate) => candidate.name() === command);
  if (!meant) return command === 'help' ? null : `${program} has no command ${command}`;
  const known = ['--help', ...[meant, ...meant.commands].flatMap(({ options }) => options.map(({ long }) => long))];
  const wrong = flags.find((flag) => !known.includes(flag));
  return wrong === undefined ? null : `${program} ${command} has no flag ${wrong}`;
}

const PROGRAMS: ReadonlyMap<string, readonly Command[]> = new Map(
  [
    { info: WORKER_PROGRAM, commands: WORKER_COMMANDS },
    { info: CLIENT_PROGRAM, commands: CLIENT_COMMANDS },
  ].map(({ info, commands }) => {
    const nowhere = { write: () => true };
    const surroundings = {
      env: {},
      machine: { cwd: '/nowhere', hostName: 'box', homeDir: '/home/me', isRoot: false, xdgStateHome: null },
      clock: systemClock,
      stdout: nowhere,
      stderr: nowhere,
      interruption: new Interruption(() => {}),
    };
    const output = (json: boolean): Output => new Output({ ...surroundings, json });
    return [info.name, buildProgram(info, commands, { ...surroundings, output, setExitCode: () => {} }).commands];
  }),
);

test('the documentation shows every command', () => {
  const shown = new Set(PAGES.flatMap(({ code }) => code.flatMap(commandLines)).map(lineKey));
  const all = [...PROGRAMS].flatMap(([program, list]) => list.map((command) => ({ program, command: command.name() })));
  expect(all.map(lineKey).filter((key) => !shown.has(key))).toEqual([]);
});

describe('the README', () => {
  test('has the tables of settings and profiles', () => {
    const table = README.section('## Settings');
    expect(OPTION_NAMES.filter((name) => !table.includes(`\n| \`${name}\` |`))).toEqual([]);
    expect(table.includes('<!-- profiles:start -->\n| |')).toBe(true);
  });

  const troubles = README.section('## Troubleshooting');
  const rows = [...troubles.matchAll(/^\| `([^`]+)` \|/gm)].map(([, message = '']) => message);

  test('explains messages that exist, each once', () => {
    const messages = new Set<string>(Object.values(EVENTS).map(({ message }) => message));
    expect(rows.filter((message) => !messages.has(message))).toEqual([]);
    expect(new Set(rows).size).toBe(rows.length);
    const listed = README.spans(troubles.slice(troubles.indexOf('Messages of good days'))).filter((text) =>
      /^[A-Z][a-z]/.test(text),
    );
    expect(listed.length).toBeGreaterThan(10);
    expect(listed.filter((message) => !messages.has(message))).toEqual([]);
  });

  test('explains every warning and every error that is emitted', () => {
    const sources = globSync('src/**/*.ts', { cwd: ROOT })
      .filter((path) => path !== 'src/observe/events.ts')
      .map((path) => readFileSync(join(ROOT, path), 'utf8'))
      .join('\n');
    const serious = (Object.keys(EVENTS) as EventName[]).filter(
      (name) => ['warn', 'error'].includes(EVENTS[name].level) && sources.includes(`'${name}'`),
    );
    expect(serious.map((name) => EVENTS[name].message as string).filter((message) => !rows.includes(message))).toEqual(
      [],
    );
  });
});

test('the protocol describes exactly the trailers that are written', () => {
  const blob = oid('0'.repeat(40));
  const common = {
    taskId: taskId('a'),
    nodeId: nodeId('b'),
    incarnation: 'c',
    epoch: 1,
    attempt: 1,
    failures: 0,
    takeovers: 0,
    specBlob: blob,
    nonce: 'd',
  };
  const written = [
    encodeTaskState({ ...common, state: 'claimed' }),
    encodeTaskState({ ...common, state: 'waiting', waitReason: 'retry', delayMs: 1 }),
    encodeTaskState({ ...common, state: 'finished', status: 'failed', reason: 'lost' }),
    encodeNodeState({
      state: 'fenced',
      nodeId: nodeId('b'),
      incarnation: 'c',
      machine: 'm',
      sequence: 1,
      intervalMs: 1,
      ttlMs: 2,
      nonce: 'd',
      fencedBy: nodeId('e'),
      info: {},
    }),
  ].flatMap((message) => message.match(/^DGrid-[A-Za-z-]+(?=: )/gm) ?? []);
  const described = [...PROTOCOL.section('## State commits').matchAll(/^\| `(DGrid-[A-Za-z-]+)` \|/gm)];
  expect(new Set(described.map(([, name]) => name))).toEqual(new Set(written));
});

test('the page on tasks explains every reason of a failure', () => {
  const page = new MarkdownPage('docs/tasks.md');
  expect(FAILURE_REASONS.filter((reason) => !page.text.includes(`\n| \`${reason}\` |`))).toEqual([]);
});

describe('the map of the code', () => {
  const map = new MarkdownPage('ARCHITECTURE.md');

  test('shows every directory below src', () => {
    const directories = globSync('src/**/*.ts', { cwd: ROOT }).map((path) => basename(dirname(path)));
    const shown = (name: string): boolean => new RegExp(`^ +${name}/\\s`, 'm').test(map.text);
    expect([...new Set(directories)].filter((name) => !shown(name))).toEqual([]);
  });

  test('names only files that exist', () => {
    const files = new Set(globSync('{src,test,scripts}/**/*.ts', { cwd: ROOT }).map((path) => basename(path)));
    const named = map.text.match(/\b[a-z][a-z-]*\.ts\b/g) ?? [];
    expect(named.filter((name) => !files.has(name))).toEqual([]);
  });
});

function lineKey({ program, command }: { program: string; command: string }): string {
  return `${program} ${command}`;
}
