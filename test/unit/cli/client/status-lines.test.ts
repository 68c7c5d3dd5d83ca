import { describe, expect, it } from 'vitest';
import { statusLines } from '../../../../src/cli/client/status-lines.ts';
import { duration } from '../../../../src/cli/figures.ts';
import { Output } from '../../../../src/cli/output.ts';
import type { GridSummary, NodeSummary } from '../../../../src/client/grid-summary.ts';
import type { Oid } from '../../../../src/git/oid.ts';
import { Sightings } from '../../../../src/ledger/sightings.ts';
import { systemClock } from '../../../../src/runtime.ts';
import { nodeId, taskId } from '../../../../src/task/id.ts';

const stream = { write: () => undefined };
const output = new Output({ json: false, stdout: stream, stderr: stream, env: {}, clock: systemClock });
const BOX = nodeId('box');

const NODE: NodeSummary = {
  node_id: BOX,
  state: 'alive',
  name: 'worker-box',
  version: '1.0.0',
  labels: ['camera'],
  running: ['a'],
  slots: 2,
  paused: [{ reason: 'disk', text: 'full' }],
  refuses: [{ reason: 'image', text: 'big:1 failed\u001b[2J 3 times' }],
  heartbeat_interval_seconds: 60,
  ttl_seconds: 300,
  last_beat_by_its_clock: '2026-01-01T00:00:00.000Z',
  fenced_by: null,
  info: {},
};

const SUMMARY: GridSummary = {
  branch: 'main',
  commit: '0123456789'.repeat(4),
  queue: { pending: 3, by_priority: { critical: 0, high: 1, medium: 1, low: 0 }, invalid: 1 },
  waiting: [{ task_id: taskId('w'), reason: 'retry', attempt: 1, delay_seconds: 5 }],
  in_work: [{ task_id: taskId('a'), node_id: BOX, attempt: 1, epoch: 1, owner_gone: true, withdrawn: true }],
  finished_unrecorded: [{ task_id: taskId('f'), status: 'failed', reason: 'timeout', node_id: BOX }],
  recorded: { completed: 5, failed: 2 },
  problems: [{ path: 'tasks/queue/\u001b[2J.json', problem: 'bad name' }],
  nodes: [NODE],
};

function lines(summary: GridSummary, watched: Parameters<typeof statusLines>[3] = null): string {
  return statusLines(output, '/srv/tasks.git', summary, watched).join('\n');
}

describe('the status for people', () => {
  it('tells all there is, and lets nobody write to the terminal', () => {
    const text = lines(SUMMARY);
    expect(text).toMatch(/queued +3 \(1 high, 1 medium, 1 no task\)/);
    expect(text).toMatch(/unrecorded +1 finished/);
    expect(text).toMatch(/^a +in work +box +1 +its node is gone, its file was removed from the queue$/m);
    expect(text).toMatch(/^w +waiting +1 +to be tried again/m);
    expect(text).toMatch(/^box +alive +1\.0\.0 +camera +1\/2 +disk +2026-01-01T00:00:00Z by its clock$/m);
    expect(text).toMatch(/^box paused by disk: full$/m);
    expect(text).toMatch(/^box leaves alone, for image: big:1 failed.* 3 times$/m);
    expect(text).not.toContain('\u001b');
    expect(text).not.toContain('rate');
  });

  it('says what it has seen itself while it watches', () => {
    const sightings = new Sightings();
    sightings.observe([[BOX, '1'.repeat(40) as Oid]], 0, 0);
    expect(lines(SUMMARY, { sightings, nowMs: 90_000 })).toContain(
      'none for 1 min 30 s of watching, is due every 60 s',
    );
    sightings.observe([[BOX, '2'.repeat(40) as Oid]], 2, 60_000);
    const text = lines(SUMMARY, { sightings, nowMs: 63_000 });
    expect(text).toContain('seen 3.0 s ago');
    expect(text).toContain('2.0 tasks a minute');
  });

  it('names who declared a node dead, and says when there is none at all', () => {
    const fenced = { ...NODE, state: 'fenced' as const, fenced_by: nodeId('other') };
    expect(lines({ ...SUMMARY, nodes: [fenced] })).toContain('declared dead by other');
    expect(lines({ ...SUMMARY, commit: null, nodes: [] })).toContain('No worker has ever registered');
  });

  it('keeps long lists short', () => {
    const waiting = Array.from({ length: 50 }, (_, n) => ({ ...SUMMARY.waiting[0]!, task_id: taskId(`w${n}`) }));
    const problems = Array.from({ length: 50 }, (_, n) => ({ path: `p${n}`, problem: 'bad' }));
    expect(lines({ ...SUMMARY, waiting, problems })).toMatch(/… and 32 more[^]*… and 30 more/);
  });
});

it.each([
  [40, '0.0 s'],
  [9_940, '9.9 s'],
  [10_000, '10 s'],
  [60_000, '1 min'],
  [185_000, '3 min 5 s'],
  [7_800_000, '2 h 10 min'],
])('%i ms is %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});
