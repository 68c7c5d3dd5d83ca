/** Every block of commands in the documentation is run as it stands there, or says why not. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { docBlocks, lastBlock, pageScript, SHIMS, untriedLines } from '../support/doc-commands.ts';
import { PrivateEngine } from '../support/engine.ts';
import { freePort } from '../support/free-port.ts';
import { GitServer } from '../support/git-server.ts';
import { markdownPages, ROOT } from '../support/markdown.ts';
import { tryProgram } from '../support/programs.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';

/** Ends with all that it started. */
const PAGE_LIMIT_MS = 60_000;
const PAGES = markdownPages();
const WITH_BLOCKS = PAGES.filter((page) => docBlocks(page).length > 0);

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('docs');
});

afterAll(async () => {
  await server.stop();
  const leftovers = await engine.countLeftovers();
  await engine.stop();
  directory.remove();
  expect(leftovers).toBe(0);
});

it.each(PAGES.map((page) => [page.path, page] as const))('%s shows no commands outside of blocks', (_path, page) => {
  expect(untriedLines(page)).toEqual([]);
});

describe.each(WITH_BLOCKS.map((page) => [page.path, page] as const))('%s', (path, page) => {
  it('has commands that a shell can read', async () => {
    for (const { text, line } of docBlocks(page)) {
      const { stderr } = await tryProgram('bash', ['-n', '-c', text]);
      expect(stderr, `${path}:${line}`).toBe('');
    }
  });

  it('says why what is not run is not', () => {
    for (const { notRun, line } of docBlocks(page)) {
      if (notRun !== null) expect(notRun.length, `${path}:${line}`).toBeGreaterThan(8);
    }
  });

  it.skipIf(docBlocks(page).every(({ notRun }) => notRun !== null))(
    'works as it says',
    { timeout: 2 * PAGE_LIMIT_MS },
    async () => {
      const name = path.replace(/\W/g, '-').toLowerCase();
      const home = directory.sub(name, 'home');
      const shims = directory.sub(name, 'shims');
      const root = directory.sub(name);
      for (const made of [home, shims, 'etc/dgrid', 'srv/git', 'var/lib/dgrid', 'tmp']) {
        mkdirSync(made.startsWith('/') ? made : join(root, made), { recursive: true });
      }
      for (const [program, text] of Object.entries(SHIMS)) {
        writeFileSync(join(shims, program), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
      }
      await server.createRepository(name);
      const port = await freePort();
      const script = pageScript(page, { root, repoUrl: server.url(name), port });
      const env = hermeticEnv(home, {
        CHECKOUT: ROOT,
        DGRID_REPO_URL: server.url(name),
        PROGRAMS_DIR: join(ROOT, 'bin'),
        PATH: [shims, join(ROOT, 'bin'), join(ROOT, 'node_modules/node/bin'), process.env['PATH'] ?? ''].join(':'),
        DOCKER_HOST: engine.host,
        HTTP_PORT: String(port),
        LOG_LEVEL: 'warn',
        PULL_INTERVAL: '0.5',
        RECORD_DELAY: '0.5',
        MAX_CPU_PERCENT: '100',
        MAX_MEMORY_PERCENT: '100',
        MAX_DISK_PERCENT: '100',
        MAX_MEMORY_PRESSURE: '0',
        MAX_IO_PRESSURE: '0',
      });
      const { code, stdout, stderr } = await tryProgram('timeout', [`${PAGE_LIMIT_MS / 1000}`, 'sh', '-c', script], {
        cwd: home,
        env,
        boundMs: 2 * PAGE_LIMIT_MS,
      });
      expect(code, `${path}:${lastBlock(stderr)}\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`).toBe(0);
    },
  );
});
