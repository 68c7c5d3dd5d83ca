/** The real git, for setting up and checking in tests. Independent of the code under test. */
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { hermeticEnv } from './temp.ts';

/** All objects of a repository fit. */
const MAX_OUTPUT_BYTES = 1024 ** 3;

export interface GitRunOptions {
  input?: Buffer | string;
  env?: Readonly<Record<string, string>>;
}

/** Runs git in `cwd` and answers its standard output. @throws Error with the standard error in its message. */
export function gitBytes(cwd: string, args: readonly string[], options: GitRunOptions = {}): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'git',
      args,
      { cwd, env: hermeticEnv(tmpdir(), options.env), encoding: 'buffer', maxBuffer: MAX_OUTPUT_BYTES },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`git ${args.join(' ')}: ${stderr.toString()}`, { cause: error }));
        else resolve(stdout);
      },
    );
    // Git may end without reading its input; that shows in its exit code.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
  });
}

/** Like `gitBytes`, as text without the last line break. */
export async function git(cwd: string, args: readonly string[], options: GitRunOptions = {}): Promise<string> {
  return (await gitBytes(cwd, args, options)).toString('utf8').replace(/\n$/, '');
}

/** Makes a bare repository whose HEAD names `branch`, which does not exist yet. */
export async function initBare(
  path: string,
  options: { format?: 'sha1' | 'sha256'; branch?: string } = {},
): Promise<void> {
  await git(tmpdir(), [
    'init',
    '--quiet',
    '--bare',
    `--object-format=${options.format ?? 'sha1'}`,
    `--initial-branch=${options.branch ?? 'main'}`,
    path,
  ]);
}

/** Somebody else moved the branch meanwhile: build again on the new tip, this often. */
const MAX_COMMIT_TRIES = 20;

/**
 * Adds a commit with these files (and what the branch held before) straight into a bare repository, also while others
 * push to it. `null` removes a file. Answers the new commit's id.
 */
export async function commitFiles(
  repository: string,
  files: Readonly<Record<string, string | Buffer | null>>,
  options: { ref?: string; message?: string } = {},
): Promise<string> {
  const ref = options.ref ?? (await git(repository, ['symbolic-ref', 'HEAD']));
  const changes = Object.entries(files).map(([path, content]) =>
    content === null
      ? Buffer.from(`D ${path}\n`)
      : Buffer.concat([Buffer.from(`M 100644 inline ${path}\n`), data(content)]),
  );
  for (let tries = 1; ; tries += 1) {
    const tip = await git(repository, ['rev-parse', '--verify', '--quiet', ref]).catch(() => '');
    const lines = ['feature done\n', `commit ${ref}\n`, 'mark :1\n', 'committer Test <test@example.org> now\n'];
    const parts = [
      Buffer.from(lines.join('')),
      data(options.message ?? 'seed'),
      ...(tip ? [Buffer.from(`from ${tip}\n`)] : []),
      ...changes,
      Buffer.from('get-mark :1\ndone\n'),
    ];
    try {
      // Without force: what others have pushed since must not get lost.
      return await git(repository, ['fast-import', '--quiet', '--date-format=now'], { input: Buffer.concat(parts) });
    } catch (error) {
      const now = await git(repository, ['rev-parse', '--verify', '--quiet', ref]).catch(() => '');
      if (now === tip || tries === MAX_COMMIT_TRIES) throw error;
    }
  }
}

function data(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from('\n')]);
}
