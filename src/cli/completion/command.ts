/** `completion`, of both programs: what makes a shell complete their command lines. */
import type { Command } from 'commander';
import { readKnownIds } from '../../client/known-ids.ts';
import { loadClientSettings } from '../../config/load.ts';
import { cacheHome } from '../client/with-client.ts';
import { printable } from '../display-width.ts';
import { Failure } from '../failure.ts';
import { type Cli, defineCommand, outputOf } from '../program.ts';
import { candidatesFor } from './candidates.ts';
import { completionScript, FILES_LINE, SHELLS } from './scripts.ts';

/** A shell shows no more at once, and asks again with every letter. */
const MAX_CANDIDATES = 1_000;
/** In the place of a shell: what the scripts ask, and nobody else. */
const QUERY = 'query';

export function addCompletionCommand(program: Command, cli: Cli): void {
  const name = program.name();
  const command = defineCommand(program, cli, {
    name: 'completion',
    summary: 'complete command lines in a shell',
    description:
      `Prints a script that makes the shell complete the command lines of ${name}: commands, options, their values,\n` +
      'names of files, and ids of tasks as far as this machine has seen them. It asks no repository.',
    examples: [
      `${name} completion bash > ~/.local/share/bash-completion/completions/${name}`,
      `${name} completion zsh > ~/.zfunc/_${name}`,
      `${name} completion fish > ~/.config/fish/completions/${name}.fish`,
    ],
    settings: null,
  });
  command.argument('<shell>', SHELLS.join(', ')).argument('[words...]', 'what the scripts ask about');
  command.action(async (given: string, words: string[]) => {
    const output = outputOf(command, cli);
    if (given !== QUERY) {
      const shell = SHELLS.find((known) => known === given);
      if (shell === undefined) {
        const problems = [{ name: JSON.stringify(given), message: `must be one of ${SHELLS.join(', ')}` }];
        throw new Failure('usage', 'there is no script for this shell', { problems });
      }
      const script = completionScript(shell, name);
      output.document({ shell, script });
      output.line(script.trimEnd());
      return;
    }
    const current = words.at(-1) ?? '';
    const before = words.slice(0, -1);
    const { values, files } = await candidatesFor(program, before, current, () => knownIds(before, cli));
    output.document({ values, files });
    const rows = values.slice(0, MAX_CANDIDATES).map(({ value, description }) => `${value}\t${printable(description)}`);
    // Tabs are part of the answer, so it goes out as it is: all of it was made harmless.
    output.bytes(Buffer.from([...rows, ...(files ? [FILES_LINE] : []), ''].join('\n')));
  });
}

/** Of the repository that the command line is about; none where that cannot be told. */
async function knownIds(words: readonly string[], cli: Cli): Promise<readonly string[]> {
  const valueOf = (flag: string): string | undefined => {
    const at = words.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
    const word = words[at];
    return word === flag ? words[at + 1] : word?.slice(flag.length + 1);
  };
  const repo = valueOf('--repo');
  const loaded = loadClientSettings({
    env: cli.env,
    machine: cli.machine,
    flags: repo === undefined ? {} : { DGRID_REPO_URL: repo },
    envFile: valueOf('--env-file') ?? null,
  });
  const home = cacheHome(cli);
  return loaded.ok && home !== null ? readKnownIds(home, loaded.settings.git.repoUrl) : [];
}
