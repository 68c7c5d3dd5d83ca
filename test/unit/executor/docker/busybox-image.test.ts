import { describe, expect, it } from 'vitest';
import { busyboxRootTar, isStaticExecutable } from '../../../../src/executor/docker/busybox-image.ts';
import { buildTar } from '../../../../src/executor/docker/tar.ts';

/** A 64-bit little-endian ELF header with the given program headers. */
function elf(machine: number, programTypes: number[], type = 2): Buffer {
  const file = Buffer.alloc(64 + 56 * programTypes.length);
  file.write('\x7fELF', 0, 'latin1');
  file[4] = 2;
  file[5] = 1;
  file.writeUInt16LE(type, 16);
  file.writeUInt16LE(machine, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(programTypes.length, 56);
  for (const [index, program] of programTypes.entries()) file.writeUInt32LE(program, 64 + 56 * index);
  return file;
}

const [AMD64, ARM64, LOAD, INTERPRETER] = [62, 183, 1, 3];

describe('isStaticExecutable', () => {
  it('tells a static program from one that needs a loader', () => {
    expect(isStaticExecutable(elf(AMD64, [LOAD, LOAD]), AMD64)).toBe(true);
    expect(isStaticExecutable(elf(AMD64, [LOAD], 3), AMD64)).toBe(true);
    expect(isStaticExecutable(elf(AMD64, [LOAD, INTERPRETER]), AMD64)).toBe(false);
  });

  it('wants the right machine, where one is known', () => {
    expect(isStaticExecutable(elf(ARM64, [LOAD]), AMD64)).toBe(false);
    expect(isStaticExecutable(elf(ARM64, [LOAD]), null)).toBe(true);
  });

  it('refuses what is no program', () => {
    expect(isStaticExecutable(Buffer.from('#!/bin/sh\n'.padEnd(100)), AMD64)).toBe(false);
    expect(isStaticExecutable(Buffer.alloc(0), AMD64)).toBe(false);
    expect(isStaticExecutable(elf(AMD64, [LOAD], 1), AMD64)).toBe(false);
    expect(isStaticExecutable(elf(AMD64, [LOAD]).subarray(0, 65), AMD64)).toBe(false);
    expect(isStaticExecutable(elf(AMD64, []), AMD64)).toBe(false);
  });
});

describe('the root file system', () => {
  it('is the same bytes each time', () => {
    const busybox = { binary: Buffer.from('binary'), applets: ['sh', 'ls'] };
    const tar = busyboxRootTar(busybox);
    expect(tar.equals(busyboxRootTar(busybox))).toBe(true);
    expect(tar.length % 512).toBe(0);
    for (const path of ['bin/busybox', 'bin/sh', 'bin/ls', 'usr/bin', 'etc/passwd', 'tmp/']) {
      expect(tar.includes(`${path}\0`)).toBe(true);
    }
  });

  it('is made of headers whose sums are right', () => {
    const tar = buildTar([{ kind: 'file', path: 'a', mode: 0o644, content: Buffer.from('hello') }]);
    expect(tar).toHaveLength(4 * 512);
    const header = Buffer.from(tar.subarray(0, 512));
    const sum = Number.parseInt(header.toString('latin1', 148, 154), 8);
    header.fill(' ', 148, 156);
    expect(header.reduce((total, byte) => total + byte, 0)).toBe(sum);
    expect(tar.toString('latin1', 512, 517)).toBe('hello');
    expect(tar.toString('latin1', 124, 135)).toBe('00000000005');
  });

  it('refuses a name that does not fit', () => {
    expect(() => buildTar([{ kind: 'directory', path: 'x'.repeat(101), mode: 0o755 }])).toThrow(RangeError);
  });
});
