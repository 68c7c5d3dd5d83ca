import { describe, expect, it } from 'vitest';
import { judge, runResult, withheld } from '../../../src/agent/result-maker.ts';
import type { RunEnd } from '../../../src/executor/executor.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';

const CANARY = 'canary-0123456789';
const output = (text: string) => ({ bytes: Buffer.from(text), totalBytes: text.length, truncated: false });
const END: RunEnd = {
  verdict: { kind: 'exited', exitCode: 3, outOfMemory: false },
  stdout: output(`${CANARY}\n`.repeat(1_000)),
  stderr: output(''),
  startedAtMs: 0,
  finishedAtMs: 1,
  timingsMs: { pull: null, start: null, run: 1, collect: 1 },
  usage: { cpuSeconds: null, peakMemoryBytes: null },
  image: { name: 'busybox', digest: null },
};
const FACTS = { taskId: taskId('t'), nodeId: nodeId('n'), attempt: 1, task: {}, specBlob: 'b' };

function resultOf(end: RunEnd) {
  const judgement = judge(end, 1_000);
  if (judgement === null) throw new Error('no judgement');
  return runResult(FACTS, judgement, end, { claimedAtMs: 0, claimMs: 0 });
}

describe('output that is withheld', () => {
  it('is in no part of the result, which says how much it was, and why', () => {
    const result = resultOf(withheld(END));
    expect(result).toMatchObject({ stdoutLog: null, stderrLog: null });
    expect(result.record).toMatchObject({
      reason: 'exit-code',
      exit_code: 3,
      stdout: '',
      stdout_bytes: 18_000,
      stdout_truncated: true,
      stderr: '',
      stderr_bytes: 0,
      stderr_truncated: false,
    });
    expect(result.record.message).toMatch(/^exited with code 3; its output is left out/);
  });

  it('is not quoted by a message either', () => {
    const verdict = { kind: 'unstartable', exitCode: 127, message: `exec ${CANARY} failed` } as const;
    expect(JSON.stringify(resultOf(withheld({ ...END, verdict })))).not.toContain(CANARY);
    expect(JSON.stringify(resultOf({ ...END, verdict }))).toContain(CANARY);
  });
});
