/** The look for the canary that all tests with workers take can fail. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CANARY_TOKEN, expectNoCanaryIn, showsCanary } from '../support/canary.ts';
import { initBare } from '../support/git.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

let directory: TempDir;

beforeAll(() => {
  directory = makeTempDir('canary');
});

afterAll(() => directory.remove());

it('finds the token wherever it stands in a repository, and in the form of a header', async () => {
  const path = directory.sub('repo.git');
  await initBare(path);
  const repo = new TaskRepository(path);
  await repo.commit({ 'a.txt': 'x'.repeat(200_000) });
  await expectNoCanaryIn(path);
  await repo.commit({ 'a.txt': `${'x'.repeat(200_000)}${CANARY_TOKEN}` });
  await repo.commit({ 'a.txt': null });
  await expect(expectNoCanaryIn(path)).rejects.toThrow('the canary token shows in');
  expect(showsCanary(`Authorization: Basic ${Buffer.from(`x-access-token:${CANARY_TOKEN}`).toString('base64')}`)).toBe(
    true,
  );
});
