/** `dgrid init`: a task repository, made or laid out. */
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { layOut } from '../../client/layout.ts';
import { absolutePath } from '../../config/file-kind.ts';
import { makeBareRepository, placeAt } from '../../git/bare-repository.ts';
import { Failure } from '../failure.ts';
import { gitFailure } from '../git-failure.ts';
import type { Output } from '../output.ts';
import { type Cli, clientSettings, defineCommand, outputOf } from '../program.ts';
import { tellRetries, withClient } from './with-client.ts';

const DEFAULT_BRANCH = 'main';

export function addInitCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'init [path-or-url]',
    summary: 'make a task repository',
    description:
      'Lays the directories of a task repository, a README and a JSON schema for task files into a repository, in one\n' +
      'commit; what is there already stays as it is. At a path where there is nothing, a bare repository is made first.\n' +
      'Without an argument, DGRID_REPO_URL or --repo says which repository.',
    examples: ['dgrid init /srv/git/tasks.git', 'dgrid init https://git.example.org/team/tasks.git'],
    settings: 'client',
  });
  command.action(async (place: string | undefined) => {
    const output = outputOf(command, cli);
    if (place !== undefined) command.setOptionValue('repo', asPath(place, cli) ?? place);
    const { git } = clientSettings(command, cli);
    const path = asPath(git.repoUrl, cli);
    const created = path === null ? false : await ensureRepository(path, git.branch, cli, output);
    await withClient(command, cli, output, async (client) => {
      const outcome = await layOut(client);
      if (outcome.kind === 'crowded') throw new Failure('failed', 'others kept pushing at the same time: try again');
      if (outcome.kind === 'refused') {
        throw new Failure(
          'failed',
          `the repository does not take the commit: ${outcome.reason}\n` +
            'it must be bare, or on a host, and this account must be allowed to write its branch',
        );
      }
      const { branch, commit, added, kept } = outcome;
      output.document({ repository: git.repoUrl, created, branch, commit, added, kept });
      if (created) output.line(`made a bare repository at ${git.repoUrl}`);
      for (const path of added) output.line(`added ${path}`);
      if (added.length === 0) output.line('nothing to add: the layout is there already');
      output.line();
      output.line('Next:');
      output.line(`  export DGRID_REPO_URL=${shellWord(git.repoUrl)}`);
      output.line('  dgrid-worker start');
      output.line("  dgrid submit --script 'echo hello' --wait");
    });
  });
}

/** null for what is an address of another machine. */
function asPath(place: string, cli: Cli): string | null {
  if (place.startsWith('file:///')) return fileURLToPath(place);
  const isAddress = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(place) || /^[^/]+:/.test(place);
  if (isAddress) return null;
  const path = absolutePath(place, cli.machine);
  if (!path.ok) throw new Failure('usage', 'this is no path', { problems: [{ name: place, message: path.message }] });
  return path.value;
}

/** @returns true when there was none and one was made. */
async function ensureRepository(path: string, branch: string | null, cli: Cli, output: Output): Promise<boolean> {
  try {
    const found = await placeAt(path);
    if (found === 'repository') return false;
    if (found === 'occupied') {
      throw new Failure('failed', `${path} holds something else: name a new or empty directory, or a repository`);
    }
    await makeBareRepository(path, branch ?? DEFAULT_BRANCH, {
      clock: cli.clock,
      emit: tellRetries(output),
      operatorEnv: cli.env,
      signal: cli.interruption.signal(),
    });
    return true;
  } catch (error) {
    throw gitFailure(error) ?? error;
  }
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
