import { describe, expect, it } from 'vitest';
import { stripElf } from '../../../scripts/package/strip-elf.ts';

interface MadeSection {
  name: string;
  content: string;
  loaded: boolean;
}

const CODE: MadeSection = { name: '.text', content: 'what is loaded', loaded: true };
const SYMBOLS: MadeSection = { name: '.symtab', content: 'symbols'.repeat(100), loaded: false };

/** As little of a program as the format allows: one segment, sections in the given order, their names at the end. */
function program(sections: readonly MadeSection[]): Buffer {
  const names = Buffer.from(`\0${[...sections.map(({ name }) => name), '.shstrtab'].join('\0')}\0`);
  const all = [...sections, { name: '.shstrtab', content: names.toString('latin1'), loaded: false }];
  const parts: Buffer[] = [];
  const table = [Buffer.alloc(64)];
  let offset = 64 + 56;
  let segmentEnd = offset;
  for (const { name, content, loaded } of all) {
    const header = Buffer.alloc(64);
    header.writeUInt32LE(names.indexOf(`${name}\0`), 0);
    header.writeBigUInt64LE(loaded ? 2n : 0n, 8);
    header.writeBigUInt64LE(BigInt(offset), 24);
    header.writeBigUInt64LE(BigInt(content.length), 32);
    table.push(header);
    parts.push(Buffer.from(content, 'latin1'));
    offset += content.length;
    if (loaded) segmentEnd = offset;
  }
  const head = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]).copy(head);
  head.writeBigUInt64LE(64n, 32);
  head.writeBigUInt64LE(BigInt(offset), 40);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(1, 56);
  head.writeUInt16LE(64, 58);
  head.writeUInt16LE(table.length, 60);
  head.writeUInt16LE(table.length - 1, 62);
  const segment = Buffer.alloc(56);
  segment.writeBigUInt64LE(0n, 8);
  segment.writeBigUInt64LE(BigInt(segmentEnd), 32);
  return Buffer.concat([head, segment, ...parts, ...table]);
}

/** By name, as a reader of the format finds them. */
function sectionsOf(elf: Buffer): Map<string, string> {
  const start = (index: number): number => Number(elf.readBigUInt64LE(40)) + index * 64;
  const content = (index: number): string => {
    const offset = Number(elf.readBigUInt64LE(start(index) + 24));
    return elf.toString('latin1', offset, offset + Number(elf.readBigUInt64LE(start(index) + 32)));
  };
  const names = content(elf.readUInt16LE(62));
  const found = new Map<string, string>();
  for (let index = 1; index < elf.readUInt16LE(60); index++) {
    const at = elf.readUInt32LE(start(index));
    found.set(names.slice(at, names.indexOf('\0', at)), content(index));
  }
  return found;
}

describe('stripElf', () => {
  it('leaves out what is not loaded, but for the names', () => {
    const whole = program([CODE, SYMBOLS]);
    expect([...sectionsOf(whole).keys()]).toEqual(['.text', '.symtab', '.shstrtab']);
    const lean = stripElf(whole);
    expect([...sectionsOf(lean)].filter(([name]) => name !== '.shstrtab')).toEqual([['.text', CODE.content]]);
    expect([...sectionsOf(lean).keys()]).toEqual(['.text', '.shstrtab']);
    expect(whole.length - lean.length).toBeGreaterThanOrEqual(SYMBOLS.content.length);
    expect(stripElf(lean).length).toBe(lean.length);
  });

  it('moves nothing of what is loaded', () => {
    const whole = program([CODE, SYMBOLS]);
    const end = 64 + 56 + CODE.content.length;
    expect(stripElf(whole).subarray(64, end).equals(whole.subarray(64, end))).toBe(true);
  });

  it.each([
    ['a script', Buffer.from('#!/bin/sh\n'.padEnd(100)), 'no ELF program'],
    ['next to nothing', Buffer.from('\x7fELF'), 'no ELF program'],
    ['loaded content behind other content', program([SYMBOLS, CODE]), 'does not come first'],
    ['a table that is cut off', program([CODE, SYMBOLS]).subarray(0, 400), 'no table of sections'],
  ])('refuses %s', (_, bytes, text) => {
    expect(() => stripElf(bytes)).toThrow(text);
  });
});
