/** The past of a branch, as a real server sends it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { CliRepository } from '../../src/git/cli-repository.ts';
import { refName } from '../../src/git/oid.ts';
import { systemClock } from '../../src/runtime.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { testSettings } from '../support/memory-grid.ts';
import { recordEvents } from '../support/recorded-events.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { hermeticEnv } from '../support/temp.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

it.each(['sha1', 'sha256'] as const)('brings messages of %s commits and nothing that they hold', async (format) => {
  const directory = await temporaryDirectory();
  const server = await GitServer.start();
  onTestFinished(() => server.stop());
  const path = await server.createRepository('grid', { format });
  const tasks = new TaskRepository(path);
  const bulk = Buffer.from(Array.from({ length: 200_000 }, (_, at) => (at * 7919) % 251));
  for (const number of [1, 2, 3])
    await tasks.commit({ [`f${number}`]: bulk }, `Record ${number}\n\nt${number}: success on box`);
  const repository = new CliRepository({
    settings: { ...testSettings(directory, 'x').git, repoUrl: server.url('grid') },
    path: join(directory, 'clone'),
    clock: systemClock,
    emit: recordEvents().emit,
    random: () => 0.5,
    operatorEnv: hermeticEnv(directory),
  });
  const main = refName('refs/heads/main');
  vi.stubEnv('TMPDIR', directory);
  onTestFinished(() => void vi.unstubAllEnvs());
  await repository.listRefs(['refs/heads/']);
  // A server that cannot leave anything out is not asked for anything.
  expect(await repository.recentMessages(main, 2)).toEqual([]);
  expect(server.counts.fetch).toBe(0);
  await git(path, ['config', 'uploadpack.allowFilter', 'true']);
  const before = server.bytesOut;
  const messages = await repository.recentMessages(main, 2);
  expect(messages.map((message) => message.trim())).toEqual([
    'Record 3\n\nt3: success on box',
    'Record 2\n\nt2: success on box',
  ]);
  expect(server.bytesOut - before).toBeLessThan(20_000);
  expect(readdirSync(directory).filter((name) => name.startsWith('dgrid-log-'))).toEqual([]);
});
