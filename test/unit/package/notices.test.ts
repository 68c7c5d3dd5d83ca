import { expect, it } from 'vitest';
import { billOfMaterials } from '../../../scripts/package/bill-of-materials.ts';
import { notices } from '../../../scripts/package/notices.ts';
import { bundledPackages } from '../../../scripts/package/packages.ts';

const ROOT = new URL('../../..', import.meta.url).pathname;
const INPUTS = [
  'src/worker.ts',
  'node_modules/zod/index.js',
  'node_modules/zod/v4/core/core.js',
  'node_modules/@fastify/error/index.js',
];

it('names each package once, with the text of its licence', async () => {
  const packages = await bundledPackages(ROOT, INPUTS);
  expect(packages.map(({ name }) => name)).toEqual(expect.arrayContaining(['@fastify/error', 'zod']));
  expect(packages.filter(({ name }) => name === 'zod')).toHaveLength(1);
  const zod = packages.find(({ name }) => name === 'zod');
  expect(zod).toMatchObject({ license: 'MIT', text: expect.stringContaining('Permission is hereby granted') });
  const text = notices(packages, '26.0.0', 'The licence of Node.js\n');
  expect(text).toContain(`zod ${zod?.version} (MIT)`);
  expect(text).toContain('\nNode.js 26.0.0\n\nThe licence of Node.js\n');
});

it('says so where a package brings no text', () => {
  const text = notices(
    [{ name: 'bare', version: '1.0.0', license: 'ISC', author: 'A. Person', text: null }],
    '26.0.0',
    '',
  );
  expect(text).toContain(
    'bare 1.0.0 (ISC)\nby A. Person\n\nThe package brings no text of its licence; ISC is what it names.',
  );
});

it('lists them, Node.js and its parts in the form of CycloneDX, the same each time', async () => {
  const packages = await bundledPackages(ROOT, INPUTS);
  const text = await billOfMaterials(ROOT, packages);
  expect(await billOfMaterials(ROOT, packages)).toBe(text);
  const { bomFormat, components } = JSON.parse(text) as {
    bomFormat: string;
    components: { name: string; purl: string; components?: { name: string }[] }[];
  };
  expect(bomFormat).toBe('CycloneDX');
  expect(components.map(({ purl }) => purl)).toContainEqual(expect.stringMatching(/^pkg:npm\/%40fastify\/error@\d/));
  expect(components[0]?.components?.map(({ name }) => name)).toEqual(expect.arrayContaining(['v8', 'openssl']));
});
