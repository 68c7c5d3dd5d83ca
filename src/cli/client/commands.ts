import type { AddCommand } from '../program.ts';

/** The commands of `dgrid`, in the order of its help. A new one is one more file here and one more line there. */
export const CLIENT_COMMANDS: readonly AddCommand[] = [];
