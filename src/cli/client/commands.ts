import { addCompletionCommand } from '../completion/command.ts';
import type { AddCommand } from '../program.ts';
import { addBenchGridCommand } from './bench-grid.ts';
import { addCancelCommand } from './cancel.ts';
import { addCheckCommand } from './check.ts';
import { addDashboardCommand } from './dashboard.ts';
import { addDemoCommand } from './demo.ts';
import { addInitCommand } from './init.ts';
import { addKeysCommand } from './keys.ts';
import { addLogsCommand } from './logs.ts';
import { addShowCommand } from './show.ts';
import { addStatusCommand } from './status.ts';
import { addSubmitCommand } from './submit.ts';
import { addTopCommand } from './top.ts';
import { addWaitCommand } from './wait.ts';

/** The commands of `dgrid`, in the order of its help. A new one is one more file here and one more line there. */
export const CLIENT_COMMANDS: readonly AddCommand[] = [
  addInitCommand,
  addCheckCommand,
  addSubmitCommand,
  addStatusCommand,
  addDashboardCommand,
  addTopCommand,
  addShowCommand,
  addLogsCommand,
  addWaitCommand,
  addCancelCommand,
  addKeysCommand,
  addBenchGridCommand,
  addCompletionCommand,
  addDemoCommand,
];
