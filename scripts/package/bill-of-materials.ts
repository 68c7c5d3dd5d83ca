/**
 * What is in the executable, as a software bill of materials (CycloneDX 1.5, JSON). It has no time and no random number, so
 * that the same executable has the same one.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundledPackage } from './packages.ts';

/** Of `process.versions`: numbers of interfaces, no parts. */
const NO_PARTS = new Set(['node', 'modules', 'napi']);

export async function billOfMaterials(root: string, packages: readonly BundledPackage[]): Promise<string> {
  const { name, version, license } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as BundledPackage;
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: { ...npmComponent({ name, version, license }), type: 'application' } },
    components: [nodeComponent(), ...packages.map(npmComponent)],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function npmComponent({ name, version, license }: Pick<BundledPackage, 'name' | 'version' | 'license'>): object {
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  const licenses = license === 'NOASSERTION' ? {} : { licenses: [{ expression: license }] };
  return { type: 'library', name, version, purl, 'bom-ref': purl, ...licenses };
}

function nodeComponent(): object {
  const { node } = process.versions;
  const parts = Object.entries(process.versions).filter(([name]) => !NO_PARTS.has(name));
  return {
    type: 'platform',
    name: 'node',
    version: node,
    purl: `pkg:generic/node@${node}`,
    'bom-ref': 'node',
    components: parts.map(([name, version]) => ({ type: 'library', name, version, 'bom-ref': `node/${name}` })),
  };
}
