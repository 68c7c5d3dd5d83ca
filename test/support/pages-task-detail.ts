/** The document of one task, for tests of the page in the browser and for the pictures in the documentation. */
import type { TaskDetail, TaskRow } from '../../src/pages/model.ts';

/** @param row of an overview: what it says, the rest is made up. */
export function taskDetail(row: TaskRow): TaskDetail {
  const isDone = row.status !== null;
  const commit = '9f2c1e7ab04d5566e1f0c3a8b7d2946e0a1b5c3d';
  const script = 'set -eu\npython3 -m tiles.build --site "$SITE" --out /dgrid/out\ntiles verify /dgrid/out';
  const out = outputOf(row);
  return {
    schema_version: 1,
    row,
    task: {
      task_id: row.task_id,
      script,
      env: { SITE: 'oslo-harbour' },
      timeout_seconds: 300,
      priority: row.priority,
      retries: 2,
    },
    exit_code: isDone ? (row.status === 'success' ? 0 : row.reason === 'exit-code' ? 3 : null) : null,
    phases: [
      { phase: 'claim', ms: 214 },
      { phase: 'pull', ms: row.state === 'queued' ? null : 3_480 },
      { phase: 'start', ms: row.state === 'queued' ? null : 390 },
      { phase: 'run', ms: row.run_ms },
      { phase: 'collect', ms: isDone ? 48 : null },
    ],
    usage: isDone ? { cpu_seconds: 17.4, peak_memory_bytes: 231 * 1024 ** 2 } : null,
    stdout: isDone ? { text: out, total_bytes: Buffer.byteLength(out), whole: true } : null,
    stderr: isDone ? errorOf(row) : null,
    live: row.state === 'running' ? 'not-asked' : null,
    provenance: {
      queue_path: `tasks/queue/${row.task_id}.json`,
      spec_blob: '4b825dc642cb6eb9a060e54bf8d69288fbee4904',
      record_path: isDone ? `tasks/${row.status === 'success' ? 'completed' : 'failed'}/${row.task_id}.json` : null,
      commit,
      state_ref: `refs/dgrid/tasks/${row.task_id}`,
      state_commit: 'c0ffee42b7d2946e0a1b5c3d9f2c1e7ab04d5566',
      node_id: row.node_id,
      epoch: row.node_id === null ? null : 4,
      image: row.image ?? 'busybox:stable',
      digest: 'sha256:8d3f2b6c1e9a70445566e1f0c3a8b7d2946e0a1b5c3d9f2c1e7ab04d5566aa01',
      signer: 'nightly@fleet.example.com',
    },
  };
}

function outputOf({ task_id }: TaskRow): string {
  const lines = Array.from(
    { length: 24 },
    (_none, index) =>
      `tile ${String(index).padStart(3, '0')}: \u001b[32mwritten\u001b[0m  ${(81.7 + index / 10).toFixed(1)} KiB`,
  );
  return [
    `building tiles for ${task_id}`,
    ...lines,
    `manifest: ${'/dgrid/out/tiles/level-12/'.repeat(8)}manifest.json`,
    'verified 24 of 24',
    '',
  ].join('\n');
}

function errorOf({ status, message }: TaskRow): TaskDetail['stderr'] {
  if (status === 'success') return { text: '', total_bytes: 0, whole: true };
  const text = `Traceback (most recent call last):\n  File "/srv/tiles/build.py", line 118, in <module>\n    main()\nOSError: ${message}\n`;
  return { text, total_bytes: 1_843_200, whole: false };
}
