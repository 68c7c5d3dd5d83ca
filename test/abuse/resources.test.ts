/** Tasks that take all they can get: processes, processors, memory, places to write. */
import { expect } from 'vitest';
import { LIMITS } from '../support/abuse/arena.ts';
import type { Attack } from '../support/abuse/attack.ts';
import { VOLUME_IMAGE } from '../support/abuse/attack-image.ts';
import { LIMITS_OF_USERS, PERL_TEXT, SYSTEM_CALLS } from '../support/abuse/system-calls.ts';
import { describeTheme } from '../support/abuse/theme.ts';

const BOTH = ['script', 'command'] as const;
const MIB = 1024 * 1024;
/** The engine adds up the processor time once a second. */
const CPU_MARGIN_S = 1.5;

const PROCESSES: readonly Attack[] = [
  {
    name: 'no-time',
    does: 'ends at once',
    program: { sh: 'exit 0' },
    ways: BOTH,
    reason: null,
    exitCode: 0,
  },
  {
    name: 'fork-bomb',
    does: 'starts processes, all of which start processes, until its limit',
    program: { perl: 'fork while 1' },
    ways: BOTH,
    limitS: 3,
    reason: 'timeout',
    // So many processes may need all its memory before.
    orReason: 'out-of-memory',
  },
  {
    name: 'shell-bomb',
    does: 'the same with a shell, which gives up when it cannot fork',
    program: { sh: 'bomb() { bomb | bomb & }; bomb; sleep 2; bomb; exit 7' },
    limitS: 10,
    reason: 'exit-code',
  },
  {
    name: 'busy',
    does: 'keeps 16 processes busy, to take the processors from others',
    program: { sh: 'i=0; while [ $i -lt 16 ]; do i=$((i+1)); (while :; do :; done) & done; wait' },
    limitS: 3,
    reason: 'timeout',
    check: ({ record }) => {
      const most = (record.timings_ms.run ?? 0) / 1000 + CPU_MARGIN_S;
      expect(record.usage.cpu_seconds ?? 0).toBeLessThan(most * LIMITS.cpus);
    },
  },
  {
    name: 'sync-storm',
    does: 'makes the kernel write all disks out, over and over',
    program: { sh: 'for i in 1 2 3 4; do (while :; do sync; done) & done; wait' },
    limitS: 2,
    reason: 'timeout',
  },
  {
    name: 'ignores-term',
    does: 'ignores every signal that can be ignored, with its children',
    program: {
      sh: 'trap "" TERM HUP INT QUIT USR1 USR2 PIPE ALRM; (while :; do sleep 1; done) & while :; do sleep 1; done',
    },
    ways: BOTH,
    limitS: 2,
    reason: 'timeout',
    exitCode: 137,
  },
  {
    name: 'daemon',
    does: 'leaves a child in a session of its own, which ignores signals, has no environment, and holds no output',
    program: {
      sh: '(setsid env -i /bin/sh -c \'trap "" TERM HUP; while :; do sleep 0.1; done\' </dev/null >/dev/null 2>&1 &); sleep 0.5; echo gone',
    },
    ways: BOTH,
    limitS: 10,
    reason: null,
    check: ({ record, stdout }) => {
      expect(stdout.toString()).toBe('gone\n');
      expect(record.timings_ms.run).toBeLessThan(5_000);
    },
  },
  {
    name: 'daemon-that-writes',
    does: 'leaves a child that holds its outputs and goes on writing',
    program: { sh: '(setsid sh -c "while :; do echo more; sleep 0.05; done" &); sleep 0.5; exit 4' },
    limitS: 10,
    reason: 'exit-code',
    exitCode: 4,
    check: ({ record }) => expect(record.timings_ms.run).toBeLessThan(5_000),
  },
  {
    name: 'kills-all',
    does: 'kills everything that it can name, a process of the machine among them, and itself last',
    program: ({ pid }) => ({
      perl: [
        '$| = 1; fork or sleep 1000; kill 9, -1; print "alive\\n";',
        `$_ == $$ or kill 9, $_ for 1 .. 70000, ${pid};`,
        'print "still\\n"; kill 9, $$;',
      ].join('\n'),
    }),
    ways: BOTH,
    limitS: 10,
    reason: 'exit-code',
    exitCode: 137,
    check: ({ stdout }) => expect(stdout.toString()).toBe('alive\nstill\n'),
  },
  {
    name: 'stops-init',
    does: 'stops its init process, by signals and by tracing it, and leaves it stopped',
    program: {
      perl: [
        // Init passes on what it is sent.
        '$| = 1; $SIG{$_} = "IGNORE" for qw(TSTP TTIN TTOU); kill $_, 1 for qw(STOP TSTP TTIN TTOU);',
        'open(my $f, "<", "/proc/1/stat"); print "init is ", (split " ", <$f>)[2], "\\n";',
        // The tracer lives on, so init cannot see that its child has ended. Where the kernel lets nobody trace his
        // ancestors, that child lives on as well.
        '$SIG{TERM} = "IGNORE"; pipe(R, W); if (fork) { my $done = <R>; print "traced: $done"; exit 0 if $done == 0; sleep 1000 }',
        `my $done = syscall(${SYSTEM_CALLS.ptrace}, 16, 1, 0, 0); syswrite(W, "$done\\n"); sleep 1000;`,
      ].join('\n'),
    },
    limitS: 4,
    reason: 'timeout',
    check: ({ stdout }) => expect(stdout.toString()).toMatch(/^init is [RS]\ntraced: (0|-1)\n$/),
  },
];

const HOG = 'my @held; push @held, "x" x 1e6 while @held < 1000;';

const MEMORY: readonly Attack[] = [
  {
    name: 'memory',
    does: 'takes 1 GB',
    program: { perl: HOG },
    ways: BOTH,
    reason: 'out-of-memory',
    exitCode: 137,
  },
  {
    name: 'memory-of-a-child',
    does: 'has a child that takes 1 GB, and goes on when that was killed',
    program: { sh: `(echo 1000 >/proc/self/oom_score_adj; exec perl -e '${HOG}'); echo $?; sleep 1` },
    reason: null,
    message: /although one of its processes was killed at the memory limit/,
    check: ({ stdout }) => expect(stdout.toString()).toBe('137\n'),
  },
  {
    name: 'memory-without-a-process',
    does: 'takes System V memory that outlives its processes, and memory files',
    program: {
      perl: [
        'for my $n (1 .. 20) { my $id = shmget(0, 8e6, 0600 | 01000); defined $id and shmwrite($id, "x" x 8e6, 0, 8e6) }',
        `${PERL_TEXT} my $page = "x" x 1e6; for my $n (1 .. 20) { my $fd = syscall(${SYSTEM_CALLS.memfd_create}, S("abuse-m"), 0);`,
        'open(my $f, ">&=", $fd); syswrite($f, $page) for 1 .. 10 }',
        'print "has it\\n";',
      ].join('\n'),
    },
    reason: 'out-of-memory',
    exitCode: 137,
  },
  {
    name: 'memory-of-the-kernel',
    does: 'fills 2,000 pipes that nobody reads, which takes memory of the kernel',
    program: {
      perl: [
        'my @pipes; for my $n (1 .. 2000) { my ($r, $w); pipe($r, $w) or last; fcntl($w, 4, 2048);',
        'push @pipes, $r, $w; 1 while syswrite($w, "x" x 65536); } print scalar(@pipes), "\\n"; sleep 1000',
      ].join('\n'),
    },
    limitS: 4,
    // The kernel kills it, or makes pipes smaller that come after the first thousand.
    reason: 'out-of-memory',
  },
];

const FILL = [
  'sub fill { my ($dir) = @_; my ($n, $bytes) = (0, 0); my $block = "x" x 65536;',
  '  while ($n < 100) { open(my $f, ">", "$dir/abuse-" . $n++) or last;',
  '    while (-s $f < 8e6) { my $got = syswrite($f, $block) or return $bytes; $bytes += $got } } $bytes }',
].join('\n');

const FILES: readonly Attack[] = [
  {
    name: 'fills-work',
    does: 'writes into its work directory until that is full',
    program: { perl: `${FILL}\nprint fill("/dgrid"), "\\n"` },
    ways: BOTH,
    reason: null,
    check: ({ stdout }) => {
      expect(Number(stdout.toString())).toBeGreaterThan(LIMITS.workMib * MIB * 0.9);
      expect(Number(stdout.toString())).toBeLessThanOrEqual(LIMITS.workMib * MIB);
    },
  },
  {
    name: 'fills-everything',
    does: 'fills its work directory, /dev/shm and four volumes of its image at once, past its memory',
    program: {
      perl: `${FILL}\n$| = 1; print "$_: ", fill($_), "\\n" for qw(/dgrid /dev/shm /data /tmp /run /odd/place)`,
    },
    ways: BOTH,
    fields: { image: VOLUME_IMAGE },
    reason: 'out-of-memory',
    check: ({ stdout }) => expect(stdout.toString()).toMatch(/^\/dgrid: \d{7,}\n\/dev\/shm: \d{7,}\n/),
  },
  {
    name: 'many-files',
    does: 'makes 100,000 files',
    program: {
      perl: 'my $n = 0; while ($n < 100000) { open(my $f, ">", "/dgrid/" . $n) or last; $n++ } print "$n\\n"; exit($n < 100000)',
    },
    ways: BOTH,
    // Names and inodes are memory of the task.
    reason: 'out-of-memory',
  },
  {
    name: 'deep-directories',
    does: 'makes 10,000 directories, each in the one before',
    program: { perl: 'for (1 .. 10000) { mkdir "d" and chdir "d" or last; $n++ } print "$n\\n"' },
    reason: null,
    check: ({ stdout }) => expect(stdout.toString()).toBe('10000\n'),
  },
  {
    name: 'sparse-file',
    does: 'makes files that are large in name only',
    program: {
      sh: 'for size in 1T 100G 17M; do (truncate -s $size abuse-sparse) 2>/dev/null; echo $?; done; (dd if=/dev/zero of=abuse-sparse bs=1 count=1 seek=1000000000000) 2>/dev/null; echo $?; ls -l abuse-sparse | tr -s " " | cut -d " " -f 5',
    },
    reason: null,
    check: ({ stdout }) => {
      const lines = stdout.toString().trim().split('\n');
      expect(lines).toHaveLength(5);
      expect(lines.slice(0, 4)).not.toContain('0');
      expect(Number(lines[4])).toBeLessThanOrEqual(LIMITS.workMib * MIB);
    },
  },
];

const USERS: readonly Attack[] = [
  {
    name: 'limits-of-its-user',
    does: 'takes what the kernel counts by user, and not by container: notifiers of files, message queues; and terminals',
    program: { perl: LIMITS_OF_USERS.take },
    reason: null,
  },
  {
    name: 'limits-of-its-user-beside',
    does: 'looks at the same time what is left of that for another task',
    program: { perl: `sleep 2; ${LIMITS_OF_USERS.lookMeanwhile}` },
    reason: null,
  },
];

const USERS_AFTERWARDS: readonly Attack[] = [
  {
    name: 'limits-of-its-user-afterwards',
    does: 'looks for it when the first one has ended',
    program: { perl: LIMITS_OF_USERS.lookAfterwards },
    reason: null,
    check: ({ stdout }) =>
      expect(stdout.toString()).toBe('got 5 of 5 notifiers\ngot 5 of 5 queues\ngot 5 of 5 terminals\n'),
  },
];

describeTheme({
  name: 'resources',
  title: 'a task that takes all it can get',
  rounds: [PROCESSES, [...MEMORY, ...FILES], USERS, USERS_AFTERWARDS],
});
