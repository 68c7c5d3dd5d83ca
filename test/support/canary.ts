/**
 * A token that every worker of the tests has and none of them needs. It may show nowhere: looked for in what the workers
 * print, in every object of every repository, and among the engines' data, over the whole run of the tests.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { BrokenRuleError } from './broken-rule.ts';

export const CANARY_TOKEN = 'canary-token-3c9d51e7a8f04b62';

/** Longer than any of the shapes: what is kept of one piece of a stream for the next. */
const OVERLAP_BYTES = 128;

/** As it is, and as a header of HTTP has it. */
const SHAPES: readonly Buffer[] = [
  CANARY_TOKEN,
  Buffer.from(CANARY_TOKEN).toString('base64').slice(0, -4),
  Buffer.from(`x-access-token:${CANARY_TOKEN}`).toString('base64').slice(0, -4),
].map((text) => Buffer.from(text));

export function showsCanary(bytes: Buffer | string): boolean {
  const buffer = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
  return SHAPES.some((shape) => buffer.includes(shape));
}

/** @throws BrokenRuleError when it shows there */
export function expectNoCanary(where: string, bytes: Buffer | string): void {
  if (showsCanary(bytes)) throw new BrokenRuleError(`the canary token shows in ${where}`);
}

/** Every object of a repository, as far as git can still read it. @throws BrokenRuleError when the canary shows in one */
export async function expectNoCanaryIn(repository: string): Promise<void> {
  const args = ['--git-dir', repository, 'cat-file', '--batch-all-objects', '--unordered', '--buffer', '--batch'];
  const reader = spawn('git', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(reader, 'close');
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of reader.stdout as AsyncIterable<Buffer>) {
    const piece = Buffer.concat([rest, chunk]);
    expectNoCanary(repository, piece);
    rest = piece.subarray(-OVERLAP_BYTES);
  }
  await ended;
}
