import { expect, it } from 'vitest';
import { Output } from '../../../src/cli/output.ts';
import { systemClock } from '../../../src/runtime.ts';

function output(more: { isTTY?: boolean; columns?: number; rows?: number; json?: boolean } = {}) {
  const written: (string | Uint8Array)[] = [];
  const { json = false, ...stream } = more;
  const stdout = { ...stream, write: (chunk: string | Uint8Array) => written.push(chunk) };
  return {
    written,
    output: new Output({
      json,
      stdout,
      stderr: { write: () => undefined },
      env: { NO_COLOR: '1' },
      clock: systemClock,
    }),
  };
}

it('redraws a picture in place on a terminal, cut to its size', () => {
  const { output: terminal, written } = output({ isTTY: true, columns: 10, rows: 4 });
  terminal.picture(['one', 'a line that is too long']);
  expect(written.pop()).toBe('one\u001b[K\na line th…\u001b[K\n\u001b[J');
  terminal.picture(['1', '2', '3', '4', '5']);
  expect(written.pop()).toBe('\u001b[2A1\u001b[K\n2\u001b[K\n… 3 more …\u001b[K\n\u001b[J');
  terminal.picture([]);
  expect(written.pop()).toBe('\u001b[3A\u001b[J');
  terminal.picture(['again']);
  expect(written.pop()).toBe('again\u001b[K\n\u001b[J');
});

it('prints pictures below each other elsewhere, and none with --json', () => {
  const { output: pipe, written } = output();
  pipe.picture(['one', 'x'.repeat(300)]);
  pipe.picture([]);
  expect(written.join('')).toBe(`one\n${'x'.repeat(300)}\n\n`);
  const quiet = output({ json: true, isTTY: true });
  quiet.output.picture(['one']);
  quiet.output.bytes(Buffer.from('one'));
  expect(quiet.written).toEqual([]);
});

it('passes bytes on as they are', () => {
  const { output: pipe, written } = output();
  pipe.bytes(new Uint8Array());
  pipe.bytes(Buffer.from([0xff, 0x00]));
  expect(written).toEqual([Buffer.from([0xff, 0x00])]);
});
