/**
 * Takes symbols and other things for debuggers out of a program: a fifth of Node.js. It is done here because `strip` of one
 * architecture refuses the programs of others.
 *
 * Only what comes last is cut off, so nothing that is loaded moves, and no index of a section changes.
 */

const HEADER_BYTES = 64;
const SECTION_BYTES = 64;
const SHF_ALLOC = 2n;
/** ELF, 64 bits, little-endian: all that Node.js for Linux is built for. */
const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
/** Of a table of sections. */
const ALIGNMENT = 8;

interface Section {
  header: Buffer;
  isLoaded: boolean;
  offset: number;
  size: number;
}

/** @throws Error when it is no such program, or one that is laid out in another way. */
export function stripElf(program: Buffer): Buffer {
  if (program.length < HEADER_BYTES || !program.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new Error('no ELF program of 64 bits, little-endian');
  }
  const sections = readSections(program);
  const names = sections[program.readUInt16LE(62)];
  const firstUnloaded = sections.findIndex(({ isLoaded }, index) => index > 0 && !isLoaded);
  if (names === undefined || firstUnloaded < 0) throw new Error('the program has no section that could be left out');
  const kept = sections.slice(0, firstUnloaded);
  const cut = endOfSegments(program);
  const leftOut = sections.slice(firstUnloaded);
  if (leftOut.some(({ isLoaded, offset, size }) => isLoaded || (size > 0 && offset < cut))) {
    throw new Error('what is loaded does not come first in the program');
  }
  const tableOffset = align(cut + names.size);
  const result = Buffer.alloc(tableOffset + (kept.length + 1) * SECTION_BYTES);
  program.copy(result, 0, 0, cut);
  program.copy(result, cut, names.offset, names.offset + names.size);
  for (const [index, { header }] of kept.entries()) header.copy(result, tableOffset + index * SECTION_BYTES);
  const namesHeader = Buffer.from(names.header);
  namesHeader.writeBigUInt64LE(BigInt(cut), 24);
  namesHeader.copy(result, tableOffset + kept.length * SECTION_BYTES);
  result.writeBigUInt64LE(BigInt(tableOffset), 40);
  result.writeUInt16LE(kept.length + 1, 60);
  result.writeUInt16LE(kept.length, 62);
  return result;
}

function readSections(program: Buffer): Section[] {
  const tableOffset = Number(program.readBigUInt64LE(40));
  const count = program.readUInt16LE(60);
  if (program.readUInt16LE(58) !== SECTION_BYTES || tableOffset + count * SECTION_BYTES > program.length) {
    throw new Error('the program has no table of sections');
  }
  return Array.from({ length: count }, (_, index) => {
    const start = tableOffset + index * SECTION_BYTES;
    const header = program.subarray(start, start + SECTION_BYTES);
    return {
      header,
      isLoaded: (header.readBigUInt64LE(8) & SHF_ALLOC) !== 0n,
      offset: Number(header.readBigUInt64LE(24)),
      size: Number(header.readBigUInt64LE(32)),
    };
  });
}

/** The first byte that no segment has: what the system loads ends there. */
function endOfSegments(program: Buffer): number {
  const tableOffset = Number(program.readBigUInt64LE(32));
  const bytes = program.readUInt16LE(54);
  let end = HEADER_BYTES;
  for (let index = 0; index < program.readUInt16LE(56); index++) {
    const start = tableOffset + index * bytes;
    end = Math.max(end, Number(program.readBigUInt64LE(start + 8) + program.readBigUInt64LE(start + 32)));
  }
  return end;
}

function align(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}
