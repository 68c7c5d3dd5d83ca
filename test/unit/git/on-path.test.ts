import { symlinkSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { isOnPath } from '../../../src/git/git-command.ts';
import { makeTempDir } from '../../support/temp.ts';

it('finds a program behind places that cannot be looked into', () => {
  using directory = makeTempDir('path');
  writeFileSync(directory.sub('program'), '');
  // What root cannot look into either; an ordinary user has others.
  symlinkSync(directory.sub('circle'), directory.sub('circle'));
  const path = ['', directory.sub('circle'), directory.sub('program'), directory.sub('nowhere')].join(':');
  expect(isOnPath('program', path)).toBe(false);
  expect(isOnPath('program', `${path}:${directory.path}`)).toBe(true);
});
