import { addCompletionCommand } from '../completion/command.ts';
import type { AddCommand } from '../program.ts';
import { addConfigCommand } from './config.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEngineFilterCommand } from './engine-filter.ts';
import { addStartCommand } from './start.ts';

/** The commands of `dgrid-worker`, in the order of its help. A new one is one more file here and one more line there. */
export const WORKER_COMMANDS: readonly AddCommand[] = [
  addStartCommand,
  addDoctorCommand,
  addConfigCommand,
  addEngineFilterCommand,
  addCompletionCommand,
];
