import { readFileSync } from 'node:fs';

/** Of the package. `package.json` lies two directories up in a checkout (src/cli) and in a build (dist/cli) alike. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
