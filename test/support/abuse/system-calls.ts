/** Numbers of system calls, for Perl, on the two processors on which boxes mostly run. */

type Architecture = 'x64' | 'arm64';

/** [x64, arm64] */
const NUMBERS = {
  acct: [163, 89],
  add_key: [248, 217],
  adjtimex: [159, 171],
  bpf: [321, 280],
  capset: [126, 91],
  chroot: [161, 51],
  clock_settime: [227, 112],
  clone: [56, 220],
  clone3: [435, 435],
  fanotify_init: [300, 262],
  fsopen: [430, 430],
  init_module: [175, 105],
  inotify_init1: [294, 26],
  io_uring_setup: [425, 425],
  ioprio_set: [251, 30],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  memfd_create: [319, 279],
  mknodat: [259, 33],
  mount: [165, 40],
  move_mount: [429, 429],
  mq_open: [240, 180],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  perf_event_open: [298, 241],
  pivot_root: [155, 41],
  process_vm_readv: [310, 270],
  ptrace: [101, 117],
  quotactl: [179, 60],
  reboot: [169, 142],
  request_key: [249, 218],
  sched_setscheduler: [144, 119],
  setgid: [106, 144],
  setgroups: [116, 159],
  sethostname: [170, 161],
  setns: [308, 268],
  setpriority: [141, 140],
  setuid: [105, 146],
  swapon: [167, 224],
  syslog: [103, 116],
  umount2: [166, 39],
  unshare: [272, 97],
  userfaultfd: [323, 282],
} as const satisfies Record<string, readonly [number, number]>;

export type SystemCall = keyof typeof NUMBERS;

export const SYSTEM_CALLS: Readonly<Record<SystemCall, number>> = numbersFor(process.arch);

function numbersFor(architecture: string): Record<SystemCall, number> {
  const at: Readonly<Record<Architecture, 0 | 1>> = { x64: 0, arm64: 1 };
  const index = at[architecture as Architecture];
  if (index === undefined) throw new Error(`the numbers of system calls on ${architecture} are not known here`);
  return Object.fromEntries(Object.entries(NUMBERS).map(([name, both]) => [name, both[index]])) as Record<
    SystemCall,
    number
  >;
}

/** Texts and structures as arguments of system calls: Perl passes on nothing that is a constant. */
export const PERL_TEXT = 'sub S { my $text = shift; $text } sub P { my $bytes = pack(shift, @_); $bytes }';

const { inotify_init1, mq_open } = SYSTEM_CALLS;

/**
 * What the kernel counts for each user, or for the whole machine, whatever container asks: notifiers of files, message
 * queues, terminals.
 */
const HOLD = [
  PERL_TEXT,
  'my %held = (notifiers => 0, queues => 0, terminals => 0); my @terminals;',
  'sub hold { my $most = shift;',
  `  $held{notifiers}++ while $held{notifiers} < $most && syscall(${inotify_init1}, 0) >= 0;`,
  `  $held{queues}++ while $held{queues} < $most && syscall(${mq_open}, S("abuse-$$-$held{queues}"), 0102, 0600, 0) >= 0;`,
  '  $held{terminals}++ while $held{terminals} < $most && open($terminals[@terminals], "+<", "/dev/ptmx") }',
].join('\n');

export const LIMITS_OF_USERS = {
  take: `${HOLD}\n$| = 1; my $child = fork; hold(4000); print "took $held{$_} $_\\n" for sort keys %held; sleep 3; exit 0 if !$child; wait`,
  /** Says how many of a few were left, as doors that are open: nothing keeps a task from taking them. */
  lookMeanwhile: `${HOLD}\nhold(5); print "open $_ that the kernel shares among all tasks: another one got $held{$_} of 5\\n" for sort keys %held`,
  lookAfterwards: `${HOLD}\nhold(5); print "got $held{$_} of 5 $_\\n" for sort keys %held`,
} as const;
