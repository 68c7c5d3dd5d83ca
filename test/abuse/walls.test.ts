/** Tasks that look for a way out: the kernel, the machine's files, the network, the worker's secrets, other tasks. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { expect, it } from 'vitest';
import type { Arena } from '../support/abuse/arena.ts';
import { type Attack, PERL_TRY, readDoors, type Seen, SH_TRY } from '../support/abuse/attack.ts';
import { ATTACK_IMAGE, SETUID_PERL } from '../support/abuse/attack-image.ts';
import { SECRET_PREFIX } from '../support/abuse/canaries.ts';
import { KERNEL_DOORS, PROVEN_DOORS, PROVEN_NAMES } from '../support/abuse/kernel-doors.ts';
import { PERL_TEXT, SYSTEM_CALLS } from '../support/abuse/system-calls.ts';
import { describeTheme } from '../support/abuse/theme.ts';
import { until } from '../support/until.ts';

const BOTH = ['script', 'command'] as const;

function triedSome(least: number): (seen: Seen) => void {
  return ({ stdout }) => expect(readDoors(stdout.toString()).tried).toBeGreaterThanOrEqual(least);
}

/** Goes through every directory, and tells of each file that it may open for writing and each place where it may make one. */
const WALK = [
  'my (%open, $seen);',
  'sub walk { my ($dir) = @_; opendir(my $list, $dir) or return; my @names = readdir $list; closedir $list;',
  '  my $new = "$dir/abuse-new"; if (sysopen(my $f, $new, 0301)) { $open{"$dir/"} = 1; unlink $new }',
  '  for my $name (@names) { next if $name eq "." || $name eq ".."; my $path = $dir eq "/" ? "/$name" : "$dir/$name";',
  '    next if $path =~ m{^/proc/(\\d+|self|thread-self)$}; my @is = lstat $path; next if -l _;',
  // What the engine covers in /proc is /dev/null there.
  '    next if -c _ && $is[6] == 259;',
  '    if (-d _) { walk($path); next } $seen++; $open{$path} = 1 if sysopen(my $f, $path, 1 | 2048) } }',
  'walk("/"); print "writable $_\\n" for sort keys %open; print "seen $seen\\n";',
].join('\n');

/** What a task is meant to be able to write; messages and terminals are its own, and the rest are no places. */
const WRITABLE = [
  '/dev/full',
  '/dev/mqueue/',
  '/dev/null',
  '/dev/ptmx',
  '/dev/pts/ptmx',
  '/dev/random',
  '/dev/shm/',
  '/dev/urandom',
  '/dev/zero',
  '/dgrid/',
  // Of a script, for secrets: empty where it has none, in memory, and small.
  '/dgrid-secrets/',
];

/** Opened for appending only: where that fails nothing can be written, and where it does not nothing is. */
const CONTROLS = [
  '/proc/sysrq-trigger',
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/modprobe',
  '/proc/sys/kernel/hostname',
  '/proc/sys/kernel/ns_last_pid',
  '/proc/sys/vm/drop_caches',
  '/proc/sys/fs/binfmt_misc/register',
  '/sys/kernel/uevent_helper',
  '/sys/power/state',
  '/sys/fs/cgroup/memory/release_agent',
  '/sys/fs/cgroup/memory/cgroup.procs',
  '/sys/fs/cgroup/memory/notify_on_release',
  '/sys/fs/cgroup/cgroup.procs',
  '/sys/fs/cgroup/memory.max',
  '/dev/mem',
  '/dev/kmsg',
  '/etc/passwd',
  '/etc/hosts',
  '/bin/busybox',
  '/sbin/docker-init',
];
/** Its own, so they can be opened; the kernel must not take these words. */
const WORDS: Readonly<Record<string, string>> = {
  '/proc/self/attr/current': 'unconfined',
  '/proc/self/attr/exec': 'unconfined',
  '/proc/self/uid_map': '0 0 1',
  '/proc/self/gid_map': '0 0 1',
  '/proc/self/setgroups': 'allow',
  '/proc/self/oom_score_adj': '-1000',
  '/proc/1/oom_score_adj': '-1000',
};

const KERNEL: readonly Attack[] = [
  {
    name: 'kernel-doors',
    does: 'tries namespaces of each kind, mounts, devices, ids, capabilities, clocks, modules, keys, priorities, raw packets, by the system calls themselves',
    program: { perl: KERNEL_DOORS },
    ways: BOTH,
    reason: null,
    check: triedSome(50),
  },
  {
    name: 'controls',
    does: "writes to the kernel's controls (sysrq-trigger, core_pattern, release_agent, attr, and such), and to its image",
    program: {
      sh: [
        SH_TRY,
        'opens() { : >>"$1"; }; says() { echo "$2" >"$1"; }',
        ...CONTROLS.map((path) => `try ${path} opens ${path}`),
        ...Object.entries(WORDS).map(([path, word]) => `try "${word} in ${path}" says ${path} '${word}'`),
        'for path in /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/*/tasks; do try $path opens $path; done',
        'echo "tried $count"',
      ].join('\n'),
    },
    ways: BOTH,
    reason: null,
    check: triedSome(CONTROLS.length),
  },
  {
    name: 'every-file',
    does: 'goes through every directory of its container, /proc and /sys, and tries to open each file and to make one',
    program: { perl: WALK },
    ways: BOTH,
    reason: null,
    check: ({ stdout }) => {
      const lines = stdout.toString().trim().split('\n');
      const writable = lines.flatMap((line) => /^writable (.*)$/.exec(line)?.[1] ?? []);
      const ofItsOwn = /^\/(dgrid\/\.script|dev\/(stdin|stdout|stderr|tty|console)|proc\/(tty|fs|bus|irq|scsi)\/?)$/;
      const isKnown = (path: string) => path.startsWith('/proc/pressure/');
      expect(writable.filter((path) => !WRITABLE.includes(path) && !ofItsOwn.test(path) && !isKnown(path))).toEqual([]);
      expect(writable).toContain('/dgrid/');
      expect(Number(/^seen (\d+)$/m.exec(stdout.toString())?.[1])).toBeGreaterThan(300);
    },
  },
  {
    name: 'tools',
    does: 'tries mount, unshare, mknod, ping, raw traffic, loading modules, with the tools that everybody has',
    program: {
      sh: [
        SH_TRY,
        'mkdir -p m',
        ...['-m', '-u', '-i', '-n', '-p', '-U', '-r'].map((flag) => `try "unshare ${flag}" unshare ${flag} true`),
        'try mount mount -t tmpfs none m',
        'try bind mount --bind / m',
        'try remount mount -o remount,rw /',
        'try umount umount /proc/sys',
        'try "mknod disk" mknod d b 8 0',
        'try "mknod mem" mknod c c 1 1',
        'try chroot chroot m true',
        'try "chown root" chown 0:0 .script',
        'try modprobe insmod m/none.ko',
        'try hostname hostname abuse',
        'try dmesg dmesg -c',
        'try swapon swapon m',
        'try "ip link" ip link add abuse0 type dummy',
        'try "ip addr" ip addr add 10.9.9.9/8 dev lo',
        'try "ip route" ip route add default dev lo',
        'try ping ping -c 1 -W 1 10.0.0.1',
        'try arping arping -c 1 -w 1 -I lo 10.0.0.1',
        'try nsenter nsenter -t 1 -m true',
        'try setpriv setpriv --inh-caps +sys_admin true',
        'try su su -c true root',
        'try reset sysctl -w kernel.sysrq=1',
        'echo "tried $count"',
      ].join('\n'),
    },
    reason: null,
    check: triedSome(25),
  },
  {
    name: 'setuid',
    does: 'runs a setuid root program of its image, and makes one of its own',
    program: {
      sh: [
        SH_TRY,
        `root() { [ "$($1 -e 'print $>')" = 0 ]; }`,
        `try "of the image" root ${SETUID_PERL}`,
        'cp /bin/perl p; chmod 4755 p; try "of its own" root ./p',
        'echo "tried $count"',
      ].join('\n'),
    },
    ways: BOTH,
    reason: null,
    check: triedSome(2),
  },
  {
    name: 'other-processes',
    does: 'looks for processes that are not its own',
    program: {
      perl: [
        'opendir(my $list, "/proc"); for my $pid (grep { /^\\d+$/ } readdir $list) { open(my $f, "<", "/proc/$pid/cmdline") or next; my $line = <$f>; $line =~ tr/\\0/ /;',
        'print "process ", substr($line, 0, 40), "\\n" }',
      ].join('\n'),
    },
    reason: null,
    check: ({ stdout }) => {
      const lines = stdout.toString().trim().split('\n');
      expect(lines.filter((line) => !/^process (\S*init |.*perl)/.test(line))).toEqual([]);
      expect(lines).toHaveLength(2);
    },
  },
];

const MACHINE: readonly Attack[] = [
  {
    name: 'files-of-the-machine',
    does: 'writes to files of the machine that anybody may write, by every way that leads to a root directory',
    program: ({ files }) => ({
      sh: [
        SH_TRY,
        'writes() { echo abused >>"$1"; }; makes() { mkdir -p "$(dirname "$1")" && writes "$1"; }',
        ...files.flatMap((file) =>
          ['', '/proc/1/root', '/proc/self/root', '/proc/self/cwd/../../..', '/../../..'].flatMap((prefix) => [
            `try ${prefix}${file} writes ${prefix}${file}`,
            `try "new ${prefix}${file}" makes ${prefix}${file}-abuse-new`,
          ]),
        ),
        ...files.map((file) => `ln -s ${file} link; try "link to ${file}" writes link; rm link`),
        ...files.map((file) => `try "hard link to ${file}" ln ${file} link`),
        'echo "tried $count"',
      ].join('\n'),
    }),
    ways: BOTH,
    reason: null,
    check: triedSome(24),
  },
  {
    name: 'odd-files',
    does: 'leaves links, pipes, sockets, and names that lead elsewhere in its work directory, for whoever collects',
    program: {
      perl: [
        'symlink("/etc/shadow", "result.json"); symlink("../../../etc/passwd", "stdout.log"); symlink("/", "root"); symlink(".", "loop");',
        'mkdir "tasks"; mkdir "tasks/completed"; symlink("/proc/1/environ", "tasks/completed/abuse-odd.json");',
        'link(".script", "abuse-hard"); system("mkfifo", "abuse-pipe"); socket(my $s, 1, 1, 0);',
        'bind($s, pack("S a*", 1, "abuse-socket\\0")); listen($s, 1);',
        'open(my $f, ">", $_) for "abuse-\\n-line", "abuse-..", "..\\\\..\\\\abuse-back", "abuse-\\xff\\xfe", "-rf", "abuse-" . "n" x 240;',
        'mkdir "abuse-closed"; chmod 0, "abuse-closed"; opendir(my $d, "."); print scalar(grep { !/^\\.\\.?$/ } readdir $d), "\\n";',
      ].join('\n'),
    },
    ways: BOTH,
    reason: null,
    check: ({ stdout }) => expect(Number(stdout.toString())).toBeGreaterThanOrEqual(14),
  },
  {
    name: 'secrets',
    does: 'reads every file that it can, with the environment of every process that it sees, and looks for secrets',
    program: {
      perl: [
        'my ($seen, %found) = (0);',
        `sub look { my ($path) = @_; sysopen(my $f, $path, 2048) or return; $seen++; sysread($f, my $text, 1e6) or return; $found{$&} = $path while $text =~ /${SECRET_PREFIX}[0-9a-f]{16}/g }`,
        'sub walk { my ($dir, $depth) = @_; opendir(my $list, $dir) or return; for (sort readdir $list) { my $name = $_; next if $name =~ /^\\.\\.?$/;',
        '  my $path = "$dir/$name"; lstat $path; next if -l _ || $path =~ m{^//(sys|dev/(zero|full|random|urandom|ptmx|pts))};',
        '  -d _ ? $depth < 6 && walk($path, $depth + 1) : look($path) } }',
        'walk("/", 0); $found{$_} = "environment" for grep { /^canary-/ } values %ENV;',
        'print "secret $_ in $found{$_}\\n" for keys %found; print "seen $seen\\n"',
      ].join('\n'),
    },
    ways: BOTH,
    reason: null,
    check: ({ stdout }) => {
      expect(stdout.toString()).not.toContain('secret');
      expect(Number(/^seen (\d+)$/m.exec(stdout.toString())?.[1])).toBeGreaterThan(200);
    },
  },
  {
    name: 'network',
    does: "calls loopback, all addresses of the machine, metadata services, name servers, the engine's sockets, and an abstract socket",
    program: ({ abstractName, addresses, port, sockets }) => ({
      perl: [
        PERL_TRY,
        'sub in4 { my ($address, $port) = @_; pack("S n C4 x8", 2, $port, split /\\./, $address) }',
        'sub call4 { my ($kind, $address, $port) = @_; socket(my $s, 2, $kind, 0) or return 0; connect($s, in4($address, $port)) && ($kind == 1 || send($s, "abuse", 0)) }',
        'sub call6 { my ($hex, $port) = @_; socket(my $s, 10, 1, 0) or return 0; connect($s, pack("S n N H32 N", 10, $port, 0, $hex, 0)) }',
        'sub unix { my ($path) = @_; socket(my $s, 1, 1, 0) or return 0; connect($s, pack("S a*", 1, $path)) }',
        ...[...addresses.filter((address) => address.includes('.')), '172.17.0.1'].flatMap((address) =>
          [port, 2375, 22].map((to) => `try("${address}:${to}", call4(1, "${address}", ${to}));`),
        ),
        ...['169.254.169.254', '100.100.100.200', '192.0.0.192', '10.0.0.1', '1.1.1.1'].map(
          (address) => `try("${address}", call4(1, "${address}", 80));`,
        ),
        ...['8.8.8.8', '224.0.0.251', '255.255.255.255'].map(
          (address) => `try("udp ${address}", call4(2, "${address}", 53));`,
        ),
        `try("IPv6 loopback", call6("${'0'.repeat(31)}1", ${port}));`,
        'try("IPv6 metadata", call6("fd000ec2000000000000000000000254", 80));',
        'try("IPv6 elsewhere", call6("20010db8000000000000000000000001", 80));',
        ...sockets.map((path) => `try("${path}", unix("${path}\\0"));`),
        `try("abstract socket", unix("\\0${abstractName}"));`,
        'print "tried $count\\n";',
      ].join('\n'),
    }),
    ways: BOTH,
    limitS: 20,
    reason: null,
    check: triedSome(18),
  },
];

/** After the first round, in which others tried to leave keys. */
const AFTERWARDS: readonly Attack[] = [
  {
    name: 'traces-of-others',
    does: 'looks for keys, messages, memory and files that tasks before it left',
    program: {
      perl: [
        PERL_TRY,
        PERL_TEXT,
        ...[-3, -4, -5].map(
          (ring) =>
            `try("key in ring ${ring}", syscall(${SYSTEM_CALLS.keyctl}, 10, ${ring}, S("user"), S("abuse"), 0) != -1);`,
        ),
        `try("key by name", syscall(${SYSTEM_CALLS.request_key}, S("user"), S("abuse"), 0, 0) != -1);`,
        'open(my $keys, "<", "/proc/keys"); try("list of keys", scalar(grep { /abuse/ } <$keys>));',
        'for my $dir (qw(/dgrid /dev/shm /dev/mqueue)) { opendir(my $d, $dir); try("files in $dir", scalar(grep { !/^(\\.|\\.\\.|\\.script)$/ } readdir $d)) }',
        'open(my $shm, "<", "/proc/sysvipc/shm"); my @shm = <$shm>; try("System V memory", @shm > 1);',
        'print "tried $count\\n";',
      ].join('\n'),
    },
    ways: BOTH,
    reason: null,
    check: triedSome(9),
  },
];

/** What a program writes in a container of the engine that has no walls, so that what holds others back is known to be those. */
async function withoutWalls(arena: Arena, user: string, argv: readonly string[]): Promise<string> {
  const { engine } = arena;
  const { body: made } = await engine.api<{ Id: string }>('POST', '/containers/create', {
    Image: ATTACK_IMAGE,
    User: user,
    // So that its log is plain text.
    Tty: true,
    Entrypoint: argv,
    HostConfig: {
      NetworkMode: 'none',
      CapAdd: ['SYS_ADMIN', 'SYS_NICE', 'SYSLOG'],
      SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
      Tmpfs: { '/dgrid': 'rw,dev' },
    },
  });
  const path = `/containers/${made.Id}`;
  const started = await engine.api('POST', `${path}/start`);
  expect(started.status, JSON.stringify(started.body)).toBe(204);
  const runs = async () =>
    (await engine.api<{ State: { Running: boolean } }>('GET', `${path}/json`)).body.State.Running;
  await until('the container to end', async () => !(await runs()), 30_000);
  const { body } = await engine.api('GET', `${path}/logs?stdout=true&stderr=true`);
  await engine.api('DELETE', `${path}?force=true&v=true`);
  // Parsed where it happens to be JSON.
  return String(body).replaceAll('\r', '');
}

async function calls(target: { port: number } | { path: string }): Promise<void> {
  const socket = createConnection(target);
  await once(socket, 'close');
}

describeTheme(
  { name: 'walls', title: 'a task that looks for a way out', rounds: [KERNEL, MACHINE, AFTERWARDS] },
  (arena) => {
    it('would come through the doors that hold, if there were no walls', async () => {
      const text = await withoutWalls(arena(), '0:0', ['/bin/perl', '-e', PROVEN_DOORS]);
      const { breached } = readDoors(text);
      // What this kernel was built without.
      const isMissing = (name: string) =>
        text.includes(`held ${name}: Function not implemented`) ||
        (name.startsWith('new ') && text.includes(`held ${name}: Invalid argument`));
      expect(
        PROVEN_NAMES.filter((name) => !breached.includes(name) && !isMissing(name)),
        text,
      ).toEqual([]);
      expect(breached.length).toBeGreaterThan(20);
      expect(await withoutWalls(arena(), '65534:65534', [SETUID_PERL, '-e', 'print $>'])).toBe('0');
    });

    it('would be noticed where it calls', async () => {
      const { canaries } = arena();
      expect(canaries.connections).toBe(0);
      await calls({ port: canaries.port });
      await calls({ path: `\0${canaries.abstractName}` });
      expect(canaries.connections).toBe(2);
      canaries.connections = 0;
    });

    it('brings nothing into the repository but records and what was written to the outputs', async () => {
      const paths = await arena().paths();
      const expected =
        /^(README\.md|record\.json|std(out|err)\.log|tasks\/(queue|completed|failed)\/[a-z0-9-]+(\.json|\/std(out|err)\.log))$/;
      expect(paths.filter((path) => !expected.test(path))).toEqual([]);
      expect(paths.some((path) => path.includes('abuse'))).toBe(false);
    });
  },
);
