/** Tasks whose output is too much, no text, never ends, or comes to a stop. */
import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { LIMITS } from '../support/abuse/arena.ts';
import type { Attack, Seen } from '../support/abuse/attack.ts';
import { describeTheme } from '../support/abuse/theme.ts';

const BOTH = ['script', 'command'] as const;
const MIB = 1024 * 1024;
const FLOOD_BYTES = 10_000_000_000;
const INLINE_BYTES = 10 * 1024;

function isBounded({ record, stdout, stderr }: Seen): void {
  expect(stdout.length).toBeLessThanOrEqual(LIMITS.outputMib * MIB);
  expect(stderr.length).toBeLessThanOrEqual(LIMITS.outputMib * MIB);
  expect(Buffer.byteLength(record.stdout)).toBeLessThanOrEqual(INLINE_BYTES);
  expect(Buffer.byteLength(record.stderr)).toBeLessThanOrEqual(INLINE_BYTES);
}

/** More than is kept, and told so. */
function isFlood(seen: Seen): void {
  isBounded(seen);
  expect(seen.record.stdout_bytes + seen.record.stderr_bytes).toBeGreaterThan(LIMITS.outputMib * MIB);
  expect(seen.record.stdout_truncated || seen.record.stderr_truncated).toBe(true);
}

const FLOODS: readonly Attack[] = [
  {
    name: 'ten-gigabytes',
    does: 'writes 10 GB of lines to standard output, as much of it as it can until its limit',
    program: { sh: `yes this is a line of the flood | head -c ${FLOOD_BYTES}` },
    ways: BOTH,
    limitS: 5,
    reason: 'timeout',
    check: isFlood,
  },
  {
    name: 'one-endless-line',
    does: 'writes a line that never ends',
    program: { sh: "tr '\\0' x </dev/zero" },
    limitS: 4,
    reason: 'timeout',
    check: (seen) => {
      isFlood(seen);
      expect(seen.stdout.toString('latin1')).toMatch(/^x+\n\[\.\.\. \d+ bytes left out \.\.\.\]\nx+$/);
    },
  },
  {
    name: 'empty-lines',
    does: 'writes empty lines to both outputs, which the engine keeps with a time and a name each',
    program: { sh: 'yes "" & yes "" >&2 & wait' },
    limitS: 4,
    engineTakesS: 20,
    reason: 'timeout',
    check: isFlood,
  },
  {
    name: 'single-bytes',
    does: 'writes single bytes to both outputs in turns',
    program: { perl: 'syswrite(STDOUT, "a"), syswrite(STDERR, "b") while 1' },
    limitS: 4,
    reason: 'timeout',
    check: isBounded,
  },
];

/** Bytes that are no UTF-8, or hardly: cut characters, surrogates, too long forms, controls, and what moves a cursor. */
const ODD_BYTES = [
  Buffer.from([0xff, 0xfe, 0x00, 0x80, 0xc0, 0xaf, 0xe2, 0x82]),
  Buffer.from([0xed, 0xa0, 0x80, 0xf4, 0x90, 0x80, 0x80, 0xf8, 0x88, 0x80, 0x80, 0x80]),
  Buffer.from('\u001b[2J\u001b]0;title\u0007\u202e\u2028\ufeff\r\b\u0000"\\', 'utf8'),
];
const ODD_OCTAL = Buffer.concat(ODD_BYTES)
  .toString('latin1')
  .replace(/[^]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`);

const ODD: readonly Attack[] = [
  {
    name: 'binary',
    does: 'writes 300,000 random bytes',
    program: { sh: 'head -c 300000 /dev/urandom >f; cat f; sha256sum <f >&2' },
    ways: BOTH,
    reason: null,
    check: ({ record, stderr, stdout }) => {
      expect(record.stdout_bytes).toBe(300_000);
      expect(stderr.toString()).toContain(createHash('sha256').update(stdout).digest('hex'));
    },
  },
  {
    name: 'invalid-utf-8',
    does: 'writes bytes that are no UTF-8, controls, and what moves a cursor, to both outputs',
    program: { sh: `printf '${ODD_OCTAL}'; printf '${ODD_OCTAL}' >&2` },
    ways: BOTH,
    reason: null,
    check: ({ stderr, stdout }) => {
      expect(stdout).toEqual(Buffer.concat(ODD_BYTES));
      expect(stderr).toEqual(Buffer.concat(ODD_BYTES));
    },
  },
  {
    name: 'closed-outputs',
    does: 'closes all that it was given, and lives on',
    program: { sh: 'echo last; exec >&- 2>&- <&-; sleep 2; exit 6' },
    ways: BOTH,
    limitS: 10,
    reason: 'exit-code',
    exitCode: 6,
    check: ({ record, stdout }) => {
      expect(stdout.toString()).toBe('last\n');
      expect(record.timings_ms.run).toBeGreaterThan(1_900);
    },
  },
  {
    name: 'full-output',
    does: 'goes on writing while its output is full, without waiting for room',
    program: {
      perl: [
        'fcntl(STDOUT, 4, 2048); my ($full, $bytes, $end) = (0, 0, time + 3); my $block = "x" x 60000;',
        'while (time < $end) { my $got = syswrite(STDOUT, $block); defined $got ? ($bytes += $got) : $full++ }',
        'print STDERR "$bytes $full\\n"',
      ].join('\n'),
    },
    limitS: 10,
    reason: null,
    check: (seen) => {
      const [bytes, full] = seen.stderr.toString().trim().split(' ').map(Number);
      expect(seen.record.stdout_bytes).toBe(bytes);
      expect(full).toBeGreaterThan(0);
      isFlood(seen);
    },
  },
  {
    name: 'reads-its-output',
    does: 'opens its own outputs and inputs again by /proc, to take back what it wrote and to read what others are sent',
    program: {
      perl: [
        '$| = 1; print "written\\n"; for my $fd (0 .. 20) { for my $pid (1, $$) {',
        'sysopen(F, "/proc/$pid/fd/$fd", 2048) and sysread(F, my $got, 1000) } } print "done\\n";',
      ].join('\n'),
    },
    ways: BOTH,
    limitS: 10,
    reason: null,
    check: ({ stdout }) => expect(stdout.toString()).toMatch(/done\n$/),
  },
  {
    name: 'forged-words',
    does: "speaks in the name of the worker's own first steps, with the word that proves them, which it can read",
    program: {
      sh: [
        "word=$(tr '\\0' '\\n' </proc/1/cmdline | tail -n 1)",
        'echo "dgrid-bootstrap $word ready" >&2; echo "dgrid-bootstrap $word incomplete" >&2; exit 125',
      ].join('\n'),
    },
    limitS: 10,
    reason: 'exit-code',
    exitCode: 125,
  },
  {
    name: 'forged-log',
    does: "writes lines in the form of the worker's log and of a record",
    program: {
      sh: `echo '{"event":"task.finished","msg":"Task finished","task":"forged","time":"2000-01-01T00:00:00Z"}'; exit 3`,
    },
    limitS: 10,
    reason: 'exit-code',
    exitCode: 3,
  },
];

describeTheme({
  name: 'output',
  title: 'a task whose output is its weapon',
  rounds: [ODD, FLOODS],
});
