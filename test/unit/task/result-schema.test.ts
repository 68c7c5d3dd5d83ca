import { describe, expect, it } from 'vitest';
import { nodeId, taskId } from '../../../src/task/id.ts';
import type { ResultRecord } from '../../../src/task/result.ts';
import { parseResultRecord } from '../../../src/task/result-schema.ts';

const record: ResultRecord = {
  schema_version: 1,
  task_id: taskId('build-1'),
  node_id: nodeId('box-1'),
  attempt: 1,
  status: 'failed',
  reason: 'exit-code',
  message: 'The script ended with exit code 3',
  exit_code: 3,
  stdout: 'hello\n',
  stderr: '',
  stdout_bytes: 6,
  stderr_bytes: 0,
  stdout_truncated: false,
  stderr_truncated: false,
  timestamp: '2026-01-02T03:04:05.678Z',
  claimed_at: '2026-01-02T03:04:04.000Z',
  started_at: null,
  finished_at: '2026-01-02T03:04:05.678Z',
  timings_ms: { claim: 12.5, pull: 0, start: null, run: 300, collect: 4 },
  usage: { cpu_seconds: 0.2, peak_memory_bytes: 1_000_000 },
  image: { name: 'alpine:3', digest: null },
  task: { task_id: 'build-1', script: 'exit 3' },
  spec_blob: '0123456789abcdef0123456789abcdef01234567',
};

describe('parseResultRecord', () => {
  it('reads a record back as it was written', () => {
    expect(parseResultRecord(JSON.parse(JSON.stringify(record)))).toEqual({ ok: true, record });
  });

  it('keeps fields that it does not know, at every level', () => {
    const later = { ...record, region: 'eu', usage: { ...record.usage, disk_bytes: 7 } };
    expect(parseResultRecord(later)).toEqual({ ok: true, record: later });
  });

  it.each([
    ['task_id', { task_id: 'No Id' }],
    ['attempt', { attempt: '1' }],
    ['status', { status: 'ok' }],
    ['reason', { reason: 'bad-luck' }],
    ['reason', { reason: null }],
    ['reason', { status: 'success' }],
    ['exit_code', { exit_code: 1.5 }],
    ['stdout_bytes', { stdout_bytes: -1 }],
    ['timestamp', { timestamp: 'yesterday' }],
    ['timings_ms.run', { timings_ms: { ...record.timings_ms, run: '3' } }],
    ['image.name', { image: { digest: null } }],
    ['spec_blob', { spec_blob: 'main' }],
    ['task', { task: undefined }],
    ['stderr', { stderr: undefined }],
  ])('names a wrong %s', (field, change) => {
    const parsed = parseResultRecord(JSON.parse(JSON.stringify({ ...record, ...change })));
    expect(parsed).toMatchObject({ ok: false, kind: 'invalid' });
    expect(!parsed.ok && parsed.kind === 'invalid' && parsed.problems[0]).toMatch(new RegExp(`^${field}: `));
  });

  it('leaves a newer version alone', () => {
    expect(parseResultRecord({ schema_version: 2 })).toEqual({ ok: false, kind: 'newer-version', version: 2 });
  });

  it.each([[null], [[]], ['x'], [{}]])('refuses %j', (value) => {
    expect(parseResultRecord(value)).toMatchObject({ ok: false, kind: 'invalid' });
  });
});
