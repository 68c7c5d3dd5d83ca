/** Temporary directories and a hermetic environment for real processes in tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TempDir {
  readonly path: string;
  /** A path inside, nothing is created. */
  sub(...parts: string[]): string;
  remove(): void;
  [Symbol.dispose](): void;
}

export function makeTempDir(label = 'test'): TempDir {
  const path = mkdtempSync(join(tmpdir(), `dgrid-${label}-`));
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  return { path, sub: (...parts) => join(path, ...parts), remove, [Symbol.dispose]: remove };
}

/**
 * The whole environment of a test's process: nothing of the machine's Git configuration, proxies or credentials gets in.
 * `home` must be a directory of the test.
 */
export function hermeticEnv(home: string, extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    HOME: home,
    LC_ALL: 'C',
    TZ: 'UTC',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_AUTHOR_NAME: 'Test',
    GIT_AUTHOR_EMAIL: 'test@example.org',
    GIT_COMMITTER_NAME: 'Test',
    GIT_COMMITTER_EMAIL: 'test@example.org',
    NO_PROXY: '127.0.0.1,localhost',
    ...extra,
  };
}
