/** Our two programs as commands of a shell, run from their sources. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAINS = { dgrid: 'client-main.ts', 'dgrid-worker': 'worker-main.ts' } as const;

/** Makes the directory. @returns it, for the front of a PATH */
export function programsInPath(directory: string): string {
  mkdirSync(directory, { recursive: true });
  for (const [name, main] of Object.entries(MAINS)) {
    const path = JSON.stringify(fileURLToPath(new URL(`../../src/cli/${main}`, import.meta.url)));
    const program = `import(${path}).then((module) => module.main(process.argv))`;
    writeFileSync(join(directory, name), `#!/bin/sh\nexec '${process.execPath}' -e '${program}' -- ${name} "$@"\n`);
    chmodSync(join(directory, name), 0o755);
  }
  return directory;
}
