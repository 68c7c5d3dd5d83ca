/** What the defaults and the paths of the settings depend on: this machine and the place where the program was started. */
import { homedir, hostname } from 'node:os';

export interface Machine {
  /** Absolute; relative paths in settings start here. */
  cwd: string;
  hostName: string;
  /** null where the user has no home, as in a container with a bare numeric user. */
  homeDir: string | null;
  isRoot: boolean;
  /** XDG_STATE_HOME, when it is an absolute path (anything else has to be ignored by that convention). */
  xdgStateHome: string | null;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function readMachine(env: Environment, cwd: string): Machine {
  const stateHome = env['XDG_STATE_HOME'];
  return {
    cwd,
    hostName: hostname(),
    homeDir: env['HOME'] || homeOfUser(),
    isRoot: process.getuid?.() === 0,
    xdgStateHome: stateHome?.startsWith('/') ? stateHome : null,
  };
}

function homeOfUser(): string | null {
  try {
    return homedir() || null;
  } catch {
    // Node throws when the user is not in the user database: having no home is the answer then.
    return null;
  }
}
