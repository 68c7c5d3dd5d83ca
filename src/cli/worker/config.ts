/** `dgrid-worker config`: the settings in force, and where each comes from. */
import type { Command } from 'commander';
import { type SettingInForce, settingsInForce } from '../../config/describe.ts';
import { configurationFailure } from '../failure.ts';
import { type Cli, defineCommand, outputOf, readWorkerSettings } from '../program.ts';

export function addConfigCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'config',
    summary: 'show the settings in force',
    description:
      'Shows every setting with its value, where that comes from, and its unit; secrets are masked.\n' +
      'Exits with 2 when the worker would not start with them, and says why.',
    examples: ['dgrid-worker config --profile edge', 'dgrid-worker config --json'],
    settings: 'worker',
    settingsInHelp: true,
  });
  command.action(() => {
    const output = outputOf(command, cli);
    const loaded = readWorkerSettings(command, cli);
    const settings = settingsInForce(loaded);
    output.table(
      [
        { title: 'NAME' },
        { title: 'VALUE', shrinks: true },
        { title: 'UNIT', shrinks: true },
        { title: 'SOURCE', shrinks: true },
      ],
      settings.map((setting) => [
        setting.name,
        { text: shownValue(setting), paint: (text) => output.style(setting.valid ? 'cyan' : 'red', text) },
        setting.unit ?? '',
        {
          text: setting.source_text,
          paint: (text) => (setting.source === 'default' ? output.style('dim', text) : text),
        },
      ]),
    );
    if (loaded.ok) {
      output.document({ settings, problems: [] });
      return;
    }
    output.document({ settings, problems: loaded.problems });
    throw configurationFailure(loaded.problems);
  });
}

function shownValue(setting: SettingInForce): string {
  if (!setting.valid) return setting.source === 'default' ? '(missing)' : '(wrong)';
  return setting.text === '' ? '–' : setting.text;
}
