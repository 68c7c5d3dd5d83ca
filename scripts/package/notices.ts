/** The notices that the licences of all that is in the executable ask for. */
import type { BundledPackage } from './packages.ts';

const RULE = '='.repeat(100);

/** @param nodeLicense the text that Node.js brings, which has those of its own parts */
export function notices(packages: readonly BundledPackage[], nodeVersion: string, nodeLicense: string): string {
  const sections = packages.map(({ name, version, license, author, text }) => {
    const title = `${name} ${version} (${license})${author === '' ? '' : `\nby ${author}`}`;
    return `${title}\n\n${text ?? `The package brings no text of its licence; ${license} is what it names.`}`;
  });
  const node = `Node.js ${nodeVersion}\n\n${nodeLicense.trim()}`;
  const head =
    'The single-file executable of D-GRID contains Node.js and the packages named here, each under the licence that follows it.';
  return `${[head, ...sections, node].join(`\n\n${RULE}\n\n`)}\n`;
}
