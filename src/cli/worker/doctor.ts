/** `dgrid-worker doctor`: is everything there that the worker needs, and how to mend what is not. */
import type { Command } from 'commander';
import { knownSecrets } from '../../config/secrets.ts';
import type { CheckResult } from '../../doctor/check.ts';
import { createEmit, openLog } from '../../observe/logger.ts';
import { EXIT } from '../exit-code.ts';
import type { Style } from '../output.ts';
import { type Cli, defineCommand, outputOf, workerSettings } from '../program.ts';

const STYLES: Readonly<Record<CheckResult['outcome'], Style>> = { ok: 'green', warning: 'yellow', broken: 'red' };

export function addDoctorCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'doctor',
    summary: 'check what the worker needs',
    description:
      'Checks git, the repository and what it can do, credentials, the container engine, the image, disk and clock, the\n' +
      'way the worker would use them. Exits with 1 when something is broken.',
    examples: ['dgrid-worker doctor', 'dgrid-worker doctor --json'],
    settings: 'worker',
  });
  command.action(async () => {
    const settings = workerSettings(command, cli);
    const output = outputOf(command, cli);
    // What the parts tell on the way matters only to somebody who asks for it.
    const log = await openLog(
      { ...settings, logFile: null, logLevel: settings.logLevel === 'info' ? 'error' : settings.logLevel },
      {
        clock: cli.clock,
        secrets: knownSecrets(settings, cli.env),
        console: { fd: 2, isTerminal: cli.stderr.isTTY === true, colour: cli.env['NO_COLOR'] === undefined },
      },
    );
    const results: CheckResult[] = [];
    // Loaded when it is used: a worker that runs does not carry it.
    const { examine } = await import('../../doctor/examine.ts');
    try {
      const options = {
        settings,
        clock: cli.clock,
        emit: createEmit(log.logger),
        operatorEnv: cli.env,
      };
      for await (const result of examine(options)) {
        results.push(result);
        const word = output.style(STYLES[result.outcome], result.outcome.padEnd('warning'.length));
        output.line(`${word}  ${result.check}: ${result.finding}${result.remedy ? ` → ${result.remedy}` : ''}`);
      }
    } finally {
      await log.close();
    }
    output.document({ checks: results });
    if (results.some(({ outcome }) => outcome === 'broken')) cli.setExitCode(EXIT.failed);
  });
}
