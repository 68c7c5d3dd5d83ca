/** The page on abuse is made from what is kept of one run of the attacks, and from nothing else. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ABUSE_PAGE_PATH, ABUSE_RESULTS_PATH, abusePage } from '../../scripts/abuse-page.ts';
import type { AbuseDocument, AbuseRow } from '../support/abuse/document.ts';
import { ROOT } from '../support/markdown.ts';

const ROW: AbuseRow = {
  attack: 'bomb',
  does: 'starts | processes',
  way: 'script',
  warm: true,
  limitS: 3,
  reason: 'timeout',
  exitCode: 143,
  seconds: 3.25,
  aliveS: 3.1,
  workerMib: 90,
  wroteBytes: 999_999,
  neighbours: 2,
  slowestNeighbourS: 0.4,
  left: 0,
  held: 4,
  open: ['a door'],
};
const DOCUMENT: AbuseDocument = {
  theme: 'resources',
  title: 'a task that takes',
  date: '2026-01-02T03:04:05.000Z',
  machine: {
    processor: 'a processor',
    cores: 2,
    memoryGib: 4,
    system: 'linux 6',
    node: 'v26',
    git: '2',
    docker: null,
    commit: 'abc',
    load: 0.5,
    files: 'ext4',
  },
  engine: { version: '99', apiVersion: '1.99', cgroupVersion: '2', storage: 'overlay2', security: ['seccomp'] },
  seconds: 12,
  peak: { workerMib: 91, engineMib: 92, logMib: 93 },
  leftovers: [],
  harm: [],
  rows: [
    ROW,
    {
      ...ROW,
      way: 'command',
      warm: false,
      reason: null,
      exitCode: 0,
      held: 0,
      seconds: 11.5,
      wroteBytes: 2_500_000_000,
      open: [],
    },
  ],
};

describe('the page', () => {
  test('has a row for each run, and names an attack once', () => {
    const text = abusePage([DOCUMENT]);
    expect(text).toContain(
      '| `bomb` | starts \\| processes | script, to a container that waited | `timeout`, exit code 143 | 3.3 of 3 s | 90 MiB | 4 | 0 |',
    );
    expect(text).toContain(
      '|  |  | command | success, after 2500 MB of output | 11.5 (its processes: 3.1) of 3 s | 90 MiB |  | 0 |',
    );
  });

  test('adds up what was seen, and tells of what stays open', () => {
    const text = abusePage([DOCUMENT, { ...DOCUMENT, leftovers: ['a mount'], harm: ['a file', 'a process'] }]);
    expect(text).toContain('4 runs of 1 attacks in 24 s: 2 canaries were touched, 1 thing was left');
    expect(text).toContain('8 doors held');
    expect(text.match(/^- a door$/gm)).toHaveLength(1);
  });

  test('says so when nothing was kept', () => {
    expect(abusePage([])).toContain('No results are kept');
  });

  test('is up to date (npm run docs)', () => {
    const path = join(ROOT, ABUSE_RESULTS_PATH);
    const documents = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as AbuseDocument[]) : [];
    expect(readFileSync(join(ROOT, ABUSE_PAGE_PATH), 'utf8')).toBe(abusePage(documents));
  });

  test('tells of no run in which a canary was touched or anything was left', () => {
    const path = join(ROOT, ABUSE_RESULTS_PATH);
    const documents = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as AbuseDocument[]) : [];
    expect(documents.flatMap(({ harm, leftovers }) => [...harm, ...leftovers])).toEqual([]);
    expect(documents.flatMap(({ rows }) => rows).filter(({ left }) => left > 0)).toEqual([]);
  });
});
