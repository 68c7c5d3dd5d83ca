/**
 * Whatever a version has ever left behind, the present one reads; and none changes what it leaves behind without somebody
 * deciding it.
 *
 * `samples/` holds what was written, `<format>-<number>.<letter>`: the number is that of the format, the letter counts what
 * was added under it. To change what is written, raise the format's number, or add a field that older readers ignore; then
 * `DGRID_SAVE_SAMPLES=yes npx vitest run test/unit/formats` keeps a sample under the name that you give to the format in
 * WRITTEN, and docs/upgrades.md says what older readers do with it. Samples are never changed, nor removed.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { STATE_FORMAT } from '../../../src/ledger/trailers.ts';
import { RESULT_SIGNATURE_NAMESPACE, TASK_SIGNATURE_NAMESPACE } from '../../../src/signing/names.ts';
import { RESULT_SCHEMA_VERSION } from '../../../src/task/result.ts';
import { KEPT_FORMATS, type KeptFormat, readTask } from '../../support/kept-formats.ts';
import { ROOT } from '../../support/markdown.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const SAMPLES = join(import.meta.dirname, 'samples');
const SAVES = process.env['DGRID_SAVE_SAMPLES'] === 'yes';

/** The sample that equals what is written now. */
const WRITTEN: Readonly<Record<string, string>> = {
  'run-labels': '1.b',
  'hand-over': '1.c',
  'owned-images': '1.c',
};

const written = ({ name }: KeptFormat): string => `${name}-${WRITTEN[name] ?? '1.a'}`;
const samplesOf = (name: string): string[] =>
  readdirSync(SAMPLES).filter((sample) => new RegExp(`^${name}-\\d+\\.[a-z]$`).test(sample));

describe.each(KEPT_FORMATS.map((format) => [format.name, format] as const))('the format %s', (name, format) => {
  it('is written as its newest sample says', async () => {
    const bytes = Buffer.from(await format.write(await temporaryDirectory()));
    const path = join(SAMPLES, written(format));
    if (SAVES && !existsSync(path)) writeFileSync(path, bytes);
    expect(bytes.toString(), 'see the head of this file for how to change a format').toBe(readFileSync(path, 'utf8'));
  });

  it('is read in every shape that it ever had', async () => {
    expect(samplesOf(name)).toContain(written(format));
    for (const sample of samplesOf(name)) {
      const found = { read: await format.read(readFileSync(join(SAMPLES, sample)), await temporaryDirectory()) };
      expect(found, sample).toMatchObject({ read: format.expected });
    }
  });
});

describe('task files', () => {
  it.each(samplesOf('task-file'))('%s is a task for ever', (sample) => {
    expect(readTask(readFileSync(join(SAMPLES, sample)))).toMatchObject({ ok: true });
  });
});

describe('docs/upgrades.md', () => {
  it('has the numbers of today', () => {
    const page = readFileSync(join(ROOT, 'docs/upgrades.md'), 'utf8');
    expect(page).toContain(`\`DGrid-Format: ${STATE_FORMAT}\``);
    expect(page).toContain(`\`schema_version: ${RESULT_SCHEMA_VERSION}\``);
    for (const namespace of [TASK_SIGNATURE_NAMESPACE, RESULT_SIGNATURE_NAMESPACE]) {
      expect(page).toContain(`\`${namespace}\``);
    }
  });
});
