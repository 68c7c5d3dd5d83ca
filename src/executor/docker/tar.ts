/** The few tar records (POSIX ustar) that a small image is made of. Times and owners are zero: same input, same bytes. */

export type TarEntry =
  | { kind: 'file'; path: string; mode: number; content: Uint8Array }
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'symlink'; path: string; target: string };

const BLOCK_BYTES = 512;
const TYPE_FLAG: Readonly<Record<TarEntry['kind'], string>> = { file: '0', symlink: '2', directory: '5' };

/** @throws RangeError when a name is longer than the 100 bytes that fit into a header. */
export function buildTar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const content = entry.kind === 'file' ? entry.content : new Uint8Array(0);
    const padding = Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES);
    blocks.push(header(entry, content.length), Buffer.from(content), padding);
  }
  blocks.push(Buffer.alloc(2 * BLOCK_BYTES));
  return Buffer.concat(blocks);
}

function header(entry: TarEntry, sizeBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const text = (value: string, offset: number, width: number) => {
    if (Buffer.byteLength(value) > width) throw new RangeError(`too long for a tar header: ${value}`);
    block.write(value, offset);
  };
  const octal = (value: number, offset: number, width: number) =>
    text(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, width);
  text(entry.path, 0, 100);
  octal(entry.kind === 'symlink' ? 0o777 : entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(0, 136, 12);
  block.write('        ', 148);
  block.write(TYPE_FLAG[entry.kind], 156);
  if (entry.kind === 'symlink') text(entry.target, 157, 100);
  block.write('ustar\0', 257);
  block.write('00', 263);
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
