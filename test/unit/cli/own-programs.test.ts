import { accessSync, constants } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isWorkerName, workerProgram } from '../../../src/cli/own-programs.ts';

describe('workerProgram', () => {
  it('is the one in bin/, outside of an executable', () => {
    const { path, argv0 } = workerProgram();
    expect(() => accessSync(path, constants.X_OK)).not.toThrow();
    expect(argv0).toBe(path);
  });
});

describe('isWorkerName', () => {
  it.each([
    ['dgrid-worker', true],
    ['dgrid-worker-1.2.3', true],
    ['dgrid', false],
    ['dgrid-0.1.0-linux-amd64', false],
    ['dgrid-workers', false],
    ['', false],
  ])('%j: %j', (name, expected) => {
    expect(isWorkerName(name)).toBe(expected);
  });
});
