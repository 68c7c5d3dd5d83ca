import { expect, it } from 'vitest';
import { demoTasks } from '../../../../src/cli/client/demo-tasks.ts';
import { workerEnvironment } from '../../../../src/cli/client/demo-worker.ts';
import { loadSettings } from '../../../../src/config/load.ts';
import { parseTaskFile } from '../../../../src/task/spec.ts';

it('has tasks that are what they say: all but one are tasks', () => {
  const limits = { maxTaskBytes: 10_000, maxTimeoutSeconds: 3_600 };
  const wrong = demoTasks().filter(({ taskId, content }) => !parseTaskFile(content, taskId, limits).ok);
  expect(wrong.map(({ expected }) => expected)).toEqual(['invalid-task']);
});

it('takes the engine from the environment, and nothing else that could spoil the demo', () => {
  const env = workerEnvironment(
    {
      PATH: '/bin',
      DOCKER_HOST: 'unix:///somewhere.sock',
      DGRID_REPO_URL: 'https://example.org/precious.git',
      DGRID_BRANCH: 'precious',
      DGRID_OLD_NAME: 'x',
      GIT_TOKEN: 'secret',
      MAX_TASKS_PER_HOUR: '1',
      ALLOWED_IMAGES: '*',
    },
    '/tmp/demo',
    '/tmp/demo/tasks.git',
    'demo-1',
  );
  const machine = { cwd: '/nowhere', hostName: 'box', homeDir: null, isRoot: false, xdgStateHome: null };
  const loaded = loadSettings({ env, flags: {}, envFile: null, machine });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { settings } = loaded;
  expect(settings.docker).toMatchObject({ host: 'unix:///somewhere.sock', allowedImages: ['busybox:stable'] });
  expect(settings.git).toMatchObject({ repoUrl: '/tmp/demo/tasks.git', branch: null, token: null });
  expect(settings).toMatchObject({ stateDir: '/tmp/demo/state', maxTasksPerHour: 0, httpPort: 0, maxParallelTasks: 2 });
  expect(env['PATH']).toBe('/bin');
  expect(env['DGRID_OLD_NAME']).toBeUndefined();
});
