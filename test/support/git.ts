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

/**
 * Adds a commit with these files (and what the branch held before) straight into a bare repository.
 * `null` removes a file. Answers the new commit's id.
 */
export async function commitFiles(
  repository: string,
  files: Readonly<Record<string, string | Buffer | null>>,
  options: { ref?: string; message?: string } = {},
): Promise<string> {
  const ref = options.ref ?? (await git(repository, ['symbolic-ref', 'HEAD']));
  const tip = await git(repository, ['rev-parse', '--verify', '--quiet', ref]).catch(() => '');
  const lines = ['feature done\n', `commit ${ref}\n`, 'committer Test <test@example.org> now\n'];
  const parts: Buffer[] = [Buffer.from(lines.join('')), data(options.message ?? 'seed')];
  if (tip) parts.push(Buffer.from(`from ${tip}\n`));
  for (const [path, content] of Object.entries(files)) {
    if (content === null) parts.push(Buffer.from(`D ${path}\n`));
    else parts.push(Buffer.from(`M 100644 inline ${path}\n`), data(content));
  }
  parts.push(Buffer.from('done\n'));
  await git(repository, ['fast-import', '--quiet', '--date-format=now', '--force'], { input: Buffer.concat(parts) });
  return git(repository, ['rev-parse', ref]);
}

function data(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from('\n')]);
}
