/**
 * The kernel's doors out of a container, each tried by the system call itself: no tool that could be missing stands between.
 * Where that does no harm, the same program is run once without walls, and has to come through: a door that nobody can
 * open proves nothing.
 */
import { PERL_TRY } from './attack.ts';
import { PERL_TEXT, SYSTEM_CALLS, type SystemCall } from './system-calls.ts';

interface Door {
  name: string;
  /** An expression that is true when it was passed; `$!` says why not. Files are F: a `my` is unknown until the statement ends. */
  perl: string;
  /** Opens without walls, and harms nobody then. */
  opensWithoutWalls: boolean;
}

const call = (name: SystemCall, ...args: (string | number)[]): string =>
  `syscall(${[SYSTEM_CALLS[name], ...args].join(', ')}) != -1`;
const wall = (name: string, perl: string): Door => ({ name, perl, opensWithoutWalls: false });
const proven = (name: string, perl: string): Door => ({ name, perl, opensWithoutWalls: true });

/** Flags of a new namespace. */
const NAMESPACES: Readonly<Record<string, number>> = {
  cgroup: 0x02000000,
  ipc: 0x08000000,
  mount: 0x00020000,
  network: 0x40000000,
  pid: 0x20000000,
  time: 0x00000080,
  user: 0x10000000,
  uts: 0x04000000,
};
const SIGCHLD = 17;
/** In a child, because it cannot be taken back. */
const inChild = (perl: string): string =>
  `do { my $pid = fork; if (!$pid) { my $ok = ${perl}; exit($ok ? 0 : $! + 0) } waitpid($pid, 0); $! = $? >> 8; $? == 0 }`;
/** Of a raw clone: the child, where there is one, ends at once. */
const cloned = (perl: string): string => `do { my $pid = ${perl}; exit 0 if $pid == 0; $pid > 0 }`;

const AT_CWD = -100;
const BLOCK_DEVICE = 0o060600;
const CHARACTER_DEVICE = 0o020600;
const device = (major: number, minor: number): number => major * 256 + minor;

const DOORS: readonly Door[] = [
  ...Object.entries(NAMESPACES).map(([kind, flag]) => proven(`new ${kind} namespace`, inChild(call('unshare', flag)))),
  proven(
    'new user namespace by clone',
    cloned(`syscall(${SYSTEM_CALLS.clone}, ${(NAMESPACES['user'] ?? 0) + SIGCHLD}, 0, 0, 0, 0)`),
  ),
  proven(
    'new user namespace by clone3',
    cloned(`syscall(${SYSTEM_CALLS.clone3}, P("Q8", ${NAMESPACES['user']}, 0, 0, 0, ${SIGCHLD}, 0, 0, 0), 64)`),
  ),
  ...['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'].map((kind) =>
    proven(
      `enter the ${kind} namespace of init`,
      inChild(`open(F, "<", "/proc/1/ns/${kind}") && ${call('setns', 'fileno(F)', 0)}`),
    ),
  ),
  proven('mount memory', call('mount', 'S("none")', 'S("/dgrid")', 'S("tmpfs")', 0, 0)),
  proven('mount proc', call('mount', 'S("none")', 'S("/dgrid")', 'S("proc")', 0, 0)),
  proven('bind /', call('mount', 'S("/")', 'S("/dgrid")', 'S("")', 4096, 0)),
  wall('make / writable', call('mount', 'S("")', 'S("/")', 'S("")', 32 + 4096, 0)),
  proven('open a tree of mounts', call('open_tree', AT_CWD, 'S("/")', 1)),
  proven('open a file system', call('fsopen', 'S("tmpfs")', 0)),
  wall('move a mount', call('move_mount', AT_CWD, 'S("/dgrid")', AT_CWD, 'S("/")', 0)),
  wall('take a mount away', call('umount2', 'S("/proc/sys")', 2)),
  wall('another root by pivot', call('pivot_root', 'S("/dgrid")', 'S("/dgrid")')),
  proven('another root', inChild('chroot("/dgrid")')),
  proven('block device', call('mknodat', AT_CWD, 'S("/dgrid/abuse-b")', BLOCK_DEVICE, device(8, 0))),
  proven('character device', call('mknodat', AT_CWD, 'S("/dgrid/abuse-c")', CHARACTER_DEVICE, device(1, 1))),
  proven('root by setuid', inChild(call('setuid', 0))),
  proven('root group by setgid', inChild(call('setgid', 0))),
  proven('further groups', inChild(call('setgroups', 1, 'P("L", 0)'))),
  proven(
    'capabilities that it has',
    'open(F, "<", "/proc/self/status") && scalar(grep /^Cap\\w+:\\s*0*[1-9a-f]/, <F>)',
  ),
  wall(
    'capabilities that it takes',
    call('capset', 'P("LL", 0x20080522, 0)', 'P("L6", 0x200000, 0x200000, 0, 0, 0, 0)'),
  ),
  proven('name of the host', call('sethostname', 'S("abuse")', 5)),
  wall('clock', call('clock_settime', 0, 'P("qq", time, 0)')),
  wall('pace of the clock', call('adjtimex', 'P("L2 q25", 2, 0, (0) x 25)')),
  wall('kernel module', call('init_module', 'S("x")', 1, 'S("")')),
  wall('another kernel', call('kexec_load', 0, 0, 0, 0)),
  wall('restart', call('reboot', 0xfee1dead - 2 ** 32, 672274793, 0, 0)),
  wall('swap', call('swapon', 'S("/dgrid/abuse-swap")', 0)),
  wall('accounting', call('acct', 0)),
  wall('quotas', call('quotactl', 0x800001 * 256, 'S("/dev/vda")', 0, 0)),
  proven('messages of the kernel', call('syslog', 10, 0, 0)),
  wall('file by handle', `open(F, "<", "/") && ${call('open_by_handle_at', 'fileno(F)', 'P("LlQ", 8, 1, 2)', 0)}`),
  proven('watch a file system', call('fanotify_init', 0, 0)),
  wall('program for the kernel', call('bpf', 0, 'P("L4 x56", 2, 4, 4, 1)', 72)),
  wall('performance counters', call('perf_event_open', 'P("LLQ x96", 1, 112, 0)', 0, -1, -1, 0)),
  wall('page faults', call('userfaultfd', 0)),
  proven('key of its user', call('add_key', 'S("user")', 'S("abuse")', 'S("x")', 1, -4)),
  proven('key of its session', call('add_key', 'S("user")', 'S("abuse")', 'S("x")', 1, -3)),
  proven('keyring of its session', call('keyctl', 0, -3, 1)),
  wall('key by name', call('request_key', 'S("user")', 'S("abuse")', 0, 0)),
  proven('priority over others', call('setpriority', 0, 0, -20)),
  wall('real-time priority', call('sched_setscheduler', 0, 1, 'P("l", 1)')),
  wall('real-time disk priority', call('ioprio_set', 1, 0, 1 * 8192)),
  wall(
    'lower its own score for a lack of memory',
    'open(F, ">", "/proc/self/oom_score_adj") && syswrite(F, "-500") && close(F)',
  ),
  proven('raw packets', 'socket(my $s, 2, 3, 1)'),
  proven('packets of the link', 'socket(my $s, 17, 3, 0)'),
  wall('key management sockets', 'socket(my $s, 15, 3, 2)'),
];

/** Not closed by all engines; nothing is known to come of it, or it reaches no further than the container. */
const KNOWN_DOORS: Readonly<Record<string, string>> = {
  'io_uring_setup (the kernel’s fast interface, with a history of holes)': call('io_uring_setup', 1, 'S("\\0" x 120)'),
  'sockets to the hypervisor (AF_VSOCK), which no network namespace holds': 'socket(my $s, 40, 1, 0)',
  'sockets to the kernel’s ciphers (AF_ALG)': 'socket(my $s, 38, 5, 0)',
  'watching the pressure on the whole machine (/proc/pressure)':
    'sysopen(F, "/proc/pressure/memory", 2) && syswrite(F, "some 200000 2000000")',
  'its own login id for the audit log (/proc/self/loginuid)': inChild(
    'open(F, ">", "/proc/self/loginuid") && syswrite(F, "0") && close(F)',
  ),
  'tracing its own init process': inChild(
    `${call('ptrace', 16, 1, 0, 0)} && (waitpid(1, 0) || 1) && ${call('ptrace', 17, 1, 0, 0)}`,
  ),
};

function program(doors: readonly Door[]): string {
  return [
    PERL_TRY,
    PERL_TEXT,
    ...doors.map(({ name, perl }) => `try("${name}", ${perl});`),
    ...Object.entries(KNOWN_DOORS).map(([name, perl]) => `if (${perl}) { print "open ${name}\\n"; $count++ }`),
    'print "tried $count\\n";',
  ].join('\n');
}

export const KERNEL_DOORS = program(DOORS);
/** For a container without walls. */
export const PROVEN_DOORS = program(DOORS.filter(({ opensWithoutWalls }) => opensWithoutWalls));
export const PROVEN_NAMES = DOORS.filter(({ opensWithoutWalls }) => opensWithoutWalls).map(({ name }) => name);
