import { readAssetNow } from '../assets.ts';

/** Of the package. */
export function packageVersion(): string {
  const { version } = JSON.parse(readAssetNow('package.json').toString()) as { version: string };
  return version;
}
