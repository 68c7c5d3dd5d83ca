import { describe, expect, it } from 'vitest';
import {
  LABEL,
  type RunLabels,
  readLabels,
  readWarmLabels,
  writeLabels,
  writeWarmLabels,
} from '../../../../src/executor/docker/labels.ts';
import { nodeId, taskId } from '../../../../src/task/id.ts';

const LABELS: RunLabels = {
  gridId: 'g',
  key: { taskId: taskId('t'), nodeId: nodeId('n'), incarnation: 'Inc_1-a', epoch: 12 },
  attempt: 3,
  program: 'script',
  nonce: '00ff00ff',
  image: { name: 'busybox:stable', digest: `sha256:${'a'.repeat(64)}` },
};
/** Not needed to know which run it is, nor written by former versions. */
const EXTRA: readonly string[] = [LABEL.warm, LABEL.image, LABEL.digest];

describe('labels', () => {
  it('come back as they were written, among others', () => {
    expect(readLabels({ ...writeLabels(LABELS), 'org.example': 'x' })).toEqual(LABELS);
  });

  it.each(Object.values(LABEL).filter((name) => !EXTRA.includes(name)))('are none without %s', (name) => {
    const { [name]: _left, ...rest } = writeLabels(LABELS);
    expect(readLabels(rest)).toBeNull();
  });

  it('say what they can of the image', () => {
    const { image, ...rest } = LABELS;
    const written = writeLabels(LABELS);
    expect(readLabels(writeLabels(rest))).toEqual(rest);
    expect(readLabels({ ...written, [LABEL.digest]: 'x' })).toEqual({ ...rest, image: { ...image, digest: null } });
    expect(readLabels({ ...written, [LABEL.image]: 'no name!' })).toEqual(rest);
  });

  it.each([
    [LABEL.task, '../x'],
    [LABEL.task, 'Upper'],
    [LABEL.node, 'a/b'],
    [LABEL.epoch, '1e3'],
    [LABEL.epoch, '-1'],
    [LABEL.epoch, '012'],
    [LABEL.epoch, '9'.repeat(16)],
    [LABEL.attempt, ''],
    [LABEL.program, 'other'],
    [LABEL.incarnation, 'a b'],
    [LABEL.nonce, 'xyz'],
    [LABEL.grid, ''],
  ])('are none with %s=%j', (name, value) => {
    expect(readLabels({ ...writeLabels(LABELS), [name]: value })).toBeNull();
  });
});

describe('labels of a container without a task', () => {
  const WARM = { gridId: 'g', nodeId: nodeId('n'), nonce: '00ff00ff' };

  it('come back as they were written, and are those of no run', () => {
    expect(readWarmLabels(writeWarmLabels(WARM))).toEqual(WARM);
    expect(readLabels(writeWarmLabels(WARM))).toBeNull();
    expect(readWarmLabels(writeLabels(LABELS))).toBeNull();
  });

  it('are neither when they are both', () => {
    const both = { ...writeLabels(LABELS), ...writeWarmLabels(WARM) };
    expect([readLabels(both), readWarmLabels(both)]).toEqual([null, null]);
  });

  it.each([LABEL.grid, LABEL.node, LABEL.warm, LABEL.nonce])('are none without %s', (name) => {
    const { [name]: _left, ...rest } = writeWarmLabels(WARM);
    expect(readWarmLabels(rest)).toBeNull();
  });
});
