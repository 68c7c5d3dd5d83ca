/** What scripts/image.sh asks of Docker, by a docker command that writes down its arguments. The build has a test of its own. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tryProgram } from '../support/programs.ts';
import { makeTempDir } from '../support/temp.ts';

const ROOT = join(import.meta.dirname, '../..');
const { version: VERSION } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

async function asked(withBuildx: boolean, ...args: string[]): Promise<string> {
  using directory = makeTempDir('image-script');
  const log = directory.sub('log');
  const docker = `#!/bin/sh\n[ "$*" != "buildx version" ] || exit ${withBuildx ? 0 : 1}\necho "$*" >> ${log}\n`;
  writeFileSync(directory.sub('docker'), docker);
  chmodSync(directory.sub('docker'), 0o755);
  const env = { PATH: `${directory.path}:${process.env['PATH']}`, HOME: directory.path };
  const { code, stderr } = await tryProgram('sh', [join(ROOT, 'scripts/image.sh'), ...args], { env });
  expect(code, stderr).toBe(0);
  return readFileSync(log, 'utf8').trim();
}

const COMMON = new RegExp(
  `--file docker/Dockerfile --tag dgrid-worker:${VERSION} --build-arg VERSION=${VERSION} --build-arg REVISION=\\w+`,
);

it('builds by the engine, where Docker has no buildx', async () => {
  const command = await asked(false, '--build-arg', 'BUILD_BASE=debian');
  expect(command).toMatch(COMMON);
  expect(command).toMatch(/^build .* --build-arg BUILD_BASE=debian \.$/);
});

it('builds by buildx, for the engine here', async () => {
  const command = await asked(true);
  expect(command).toMatch(COMMON);
  expect(command).toMatch(/^buildx build --load .* \.$/);
});

it('builds by buildx for several platforms, which only a registry takes', async () => {
  const command = await asked(true, '--platform', 'linux/amd64,linux/arm64', '--push');
  expect(command).toMatch(/^buildx build --file .* --platform linux\/amd64,linux\/arm64 --push \.$/);
});

it('says what is missing without Docker', async () => {
  using directory = makeTempDir('image-script');
  const script = `for tool in sed dirname git; do ln -s "$(command -v "$tool")" ${directory.path}/; done; PATH=${directory.path} exec /bin/sh ${ROOT}/scripts/image.sh`;
  const { code, stderr } = await tryProgram('sh', ['-c', script]);
  expect(code).toBe(1);
  expect(stderr).toContain('install Docker');
});
