import { describe, expect, it } from 'vitest';
import { CLIENT_COMMANDS } from '../../../../src/cli/client/commands.ts';
import { CLIENT_PROGRAM } from '../../../../src/cli/client-main.ts';
import { candidatesFor } from '../../../../src/cli/completion/candidates.ts';
import { Interruption } from '../../../../src/cli/interruption.ts';
import { Output } from '../../../../src/cli/output.ts';
import { buildProgram } from '../../../../src/cli/program.ts';
import { WORKER_COMMANDS } from '../../../../src/cli/worker/commands.ts';
import { WORKER_PROGRAM } from '../../../../src/cli/worker-main.ts';
import { systemClock } from '../../../../src/runtime.ts';

const IDS = ['build-1', 'build-2', 'other'];
const stream = { write: () => true };
const cli = {
  env: {},
  machine: { cwd: '/nowhere', hostName: 'box', homeDir: null, isRoot: false, xdgStateHome: null },
  clock: systemClock,
  stdout: stream,
  stderr: stream,
  interruption: new Interruption(() => {}),
};
const output = (json: boolean): Output => new Output({ ...cli, json });
const client = buildProgram(CLIENT_PROGRAM, CLIENT_COMMANDS, { ...cli, output, setExitCode: () => {} });
const worker = buildProgram(WORKER_PROGRAM, WORKER_COMMANDS, { ...cli, output, setExitCode: () => {} });

async function ask(line: string, program = client): Promise<string[]> {
  const words = line.split(' ');
  const { values, files } = await candidatesFor(program, words.slice(0, -1), words.at(-1) ?? '', async () => IDS);
  return [...values.map(({ value }) => value), ...(files ? ['FILES'] : [])];
}

describe('what could come next', () => {
  it('is a command, with what it does', async () => {
    expect(await ask('s')).toEqual(['submit', 'status', 'show']);
    expect(await ask('')).toEqual([...client.commands.map((command) => command.name()), 'help']);
    expect(await ask('keys re')).toEqual(['revoke']);
    expect(await ask('nonsense ')).toEqual([]);
    const { values } = await candidatesFor(client, [], 'check', async () => IDS);
    expect(values).toEqual([{ value: 'check', description: 'check task files, without a grid' }]);
  });

  it('is an option that is not there yet', async () => {
    expect(await ask('show --')).toEqual(['--repo', '--branch', '--env-file', '--json', '--verify', '--help']);
    expect(await ask('show --verify --repo /x --v')).toEqual([]);
    expect(await ask('submit --exp')).toEqual(['--expires']);
    expect(await ask('--v')).toEqual(['--version']);
  });

  it('is a value of an option', async () => {
    expect(await ask('submit --priority ')).toEqual(['critical', 'high', 'medium', 'low']);
    expect(await ask('check --format=gi')).toEqual(['--format=github']);
    expect(await ask('check --env-file ')).toEqual(['FILES']);
    expect(await ask('submit --script ')).toEqual([]);
    expect(await ask('keys trust --for r')).toEqual(['results']);
    expect((await ask('start --profile ', worker)).toSorted()).toEqual(['edge', 'high-throughput', 'low-resource']);
    expect(await ask('start --log-level w', worker)).toEqual(['warn']);
  });

  it('is an id of a task that is not named yet, or a file', async () => {
    expect(await ask('show bu')).toEqual(['build-1', 'build-2']);
    expect(await ask('show build-1 ')).toEqual([]);
    expect(await ask('cancel build-1 ')).toEqual(['build-2', 'other']);
    expect(await ask('cancel -- o')).toEqual(['other']);
    expect(await ask('submit a.json ')).toEqual(['FILES']);
    expect(await ask('check ')).toEqual(['FILES']);
    expect(await ask('status ')).toEqual([]);
    expect(await ask('completion ')).toEqual(['bash', 'zsh', 'fish']);
  });
});
