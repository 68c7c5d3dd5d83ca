/**
 * The table of all settings: the only place that knows their names, defaults, units and texts. Validation, help,
 * `dgrid-worker config`, the documentation and the example file are made from it. Longer than other files because it is
 * one table; a computed default looks only at rows above its own.
 */
import { join } from 'node:path';
import { GRID_NAME_PATTERN } from '../task/task-schema.ts';
import { activeHours } from './active-hours.ts';
import { dockerHost, imageName, imagePattern, networkName, networkPattern } from './docker-kind.ts';
import { logDestination, path, readableDirectory, readableFile, tokenFile } from './file-kind.ts';
import { gridNameOf } from './grid-name.ts';
import { nodeIdFromHost, nodeIdKind } from './node-name.ts';
import { type Basis, computedSetting, type Option, optionalSetting, requiredSetting, setting } from './option.ts';
import { PROFILE_NAMES } from './profiles.ts';
import { repoUrl } from './repo-url.ts';
import { secretsDirectory, secretsPolicyFile } from './secret-kinds.ts';
import {
  byteSize,
  decimalNumber,
  listOf,
  oneOf,
  percent,
  percentOrOff,
  seconds,
  text,
  truth,
  wholeNumber,
} from './value-kind.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const DAY = 24 * 60 * 60;
const NODE_TTL_IN_HEARTBEATS = 5;
const IDLE_PULL_INTERVALS = 6;
const IDLE_PULL_SECONDS = 60;
export const MIN_WEBHOOK_SECRET_LENGTH = 8;
/** Whoever can reach the pages may try one token after the other. */
export const MIN_HTTP_TOKEN_LENGTH = 16;
/** Masking a shorter secret would also mask half of every log line. */
export const MIN_SECRET_LENGTH = 4;

export const OPTIONS = {
  DGRID_REPO_URL: requiredSetting(
    'is not set: name the task repository, as DGRID_REPO_URL=https://git.example.com/team/tasks.git or with --repo',
    {
      group: 'repository',
      scope: 'both',
      flag: '--repo <address>',
      kind: repoUrl(),
      example: 'https://git.example.com/team/tasks.git',
      description:
        'The task repository: an https, http, ssh, git or file URL, git@host:path, or a path. No secrets in it.',
    },
  ),
  DGRID_BRANCH: optionalSetting({
    group: 'repository',
    scope: 'both',
    flag: '--branch <name>',
    kind: text({
      expects: 'the short name of a branch, as main',
      pattern: /^(?![-/.]|refs\/|.*(?:\.\.|@\{|\/\/|\.lock(?:\/|$)|[/.]$|\/\.))[^\s~^:?*[\\.][^\s~^:?*[\\]*$/,
      maxLength: 200,
    }),
    example: 'main',
    description: 'The branch that holds the queue. Unset: the one that the remote’s HEAD names.',
  }),
  DGRID_REF_NAMESPACE: setting('auto', {
    group: 'repository',
    scope: 'both',
    kind: oneOf(['auto', 'refs/dgrid', 'refs/heads/dgrid']),
    description:
      'Where task states and heartbeats live. auto: refs/dgrid, and branches below dgrid/ where the host refuses that. All workers of a repository need the same.',
  }),
  DGRID_PROFILE: optionalSetting({
    group: 'node',
    flag: '--profile <name>',
    kind: oneOf(PROFILE_NAMES),
    example: 'edge',
    description: 'A named set of settings for a kind of machine. Whatever is set explicitly beats it.',
  }),
  DGRID_STATE_DIR: computedSetting(
    {
      shown: '$XDG_STATE_HOME/dgrid, ~/.local/state/dgrid, or /var/lib/dgrid for root',
      of: stateDirectory,
      remedy: 'has no default because this user has no home: set it to a directory that survives restarts',
    },
    {
      group: 'node',
      flag: '--state-dir <path>',
      kind: path(),
      description:
        'What has to survive a restart: results not yet published, the hourly count, the lock; also the clone.',
    },
  ),
  DGRID_REPO_PATH: computedSetting(
    { shown: 'repository.git in DGRID_STATE_DIR', of: ({ text }) => join(text('DGRID_STATE_DIR'), 'repository.git') },
    {
      group: 'node',
      kind: path(),
      description: 'The local clone. It is a cache: the worker deletes it and clones again when it is damaged.',
    },
  ),
  NODE_ID: computedSetting(
    {
      shown: 'the host name, as far as an id may contain it',
      of: ({ machine }) => nodeIdFromHost(machine.hostName),
      remedy: 'cannot be made from this machine’s host name: set it, as NODE_ID=box-1',
    },
    {
      group: 'node',
      flag: '--node-id <id>',
      kind: nodeIdKind(),
      description: 'The id of this worker. It must be its own in the repository, and stay the same over restarts.',
    },
  ),
  NODE_NAME: computedSetting(
    { shown: 'worker-<NODE_ID>', of: ({ text }) => `worker-${text('NODE_ID')}` },
    {
      group: 'node',
      kind: text({ expects: 'one line of at most 100 characters', pattern: /\S/, maxLength: 100 }),
      description: 'A name for people, shown by dgrid status.',
    },
  ),
  NODE_LABELS: setting('', {
    group: 'node',
    kind: listOf(
      text({
        expects: 'a label of letters, digits and . _ : = / - that begins with a letter or a digit',
        pattern: /^[A-Za-z0-9][A-Za-z0-9._:=/-]*$/,
        maxLength: 63,
      }),
      64,
    ),
    example: 'arm64,camera',
    description: 'What this node has to offer. A task that requires labels runs only where all of them are.',
  }),

  GIT_USER_NAME: setting('D-GRID Worker', {
    group: 'git',
    scope: 'both',
    kind: text({ expects: 'one line without < and >', pattern: /^[^<>]*[^<>\s][^<>]*$/, maxLength: 200 }),
    description: 'The author of the commits that this program makes.',
  }),
  GIT_USER_EMAIL: computedSetting(
    { shown: 'worker+<NODE_ID>@d-grid.local', of: ({ text }) => `worker+${text('NODE_ID')}@d-grid.local` },
    {
      group: 'git',
      scope: 'both',
      kind: text({ expects: 'an e-mail address', pattern: /^[^<>\s@]+@[^<>\s@]+$/, maxLength: 200 }),
      description: 'The e-mail address of that author.',
    },
  ),
  GIT_TOKEN: optionalSetting({
    group: 'git',
    scope: 'both',
    secret: true,
    kind: text({
      expects: `a token of at least ${MIN_SECRET_LENGTH} characters without spaces`,
      pattern: new RegExp(`^\\S{${MIN_SECRET_LENGTH},}$`),
      maxLength: 16 * KIB,
    }),
    description:
      'The token for an https repository. Other programs of this user can read an environment: prefer a file.',
  }),
  GIT_TOKEN_FILE: optionalSetting({
    group: 'git',
    scope: 'both',
    kind: readableFile(),
    example: '/run/secrets/git-token',
    description: 'A file with the token. It is read at each use, so it can be replaced while the worker runs.',
  }),
  GIT_SSH_KEY_FILE: optionalSetting({
    group: 'git',
    scope: 'both',
    kind: readableFile(),
    example: '/etc/dgrid/id_ed25519',
    description: 'The private key for an ssh repository.',
  }),
  GIT_SSH_KNOWN_HOSTS_FILE: optionalSetting({
    group: 'git',
    scope: 'both',
    kind: readableFile(),
    example: '/etc/dgrid/known_hosts',
    description: 'The host keys to trust. Unset: those of the user.',
  }),
  GIT_CREDENTIAL_HELPER: optionalSetting({
    group: 'git',
    scope: 'both',
    kind: text({
      expects: 'a Git credential helper without a secret in it: keep the secret in a file that the helper reads',
      pattern: /^(?!.*password\s*=\s*[^\s$"'`;])/is,
      maxLength: 1000,
    }),
    example: 'store --file=/etc/dgrid/credentials',
    description: 'A credential helper, in the syntax of Git’s credential.helper.',
  }),
  GIT_TRANSPORT: setting('auto', {
    group: 'git',
    scope: 'both',
    kind: oneOf(['auto', 'command']),
    description:
      'How http(s) remotes are spoken with. auto: directly, and by the git command where the host or this machine does not let us. command: always by the git command.',
  }),
  GIT_COMMAND_TIMEOUT: setting('120', {
    group: 'git',
    scope: 'both',
    kind: seconds({ min: 1, max: DAY }),
    description: 'The longest that one Git command may take before it is stopped.',
  }),
  USE_SHALLOW_CLONE: setting('true', {
    group: 'git',
    scope: 'both',
    kind: truth(),
    description: 'Fetch the newest commit only. false: the whole history.',
  }),
  GIT_PUSHES_PER_MINUTE: setting('0', {
    group: 'git',
    kind: wholeNumber({ min: 0, max: 6000, unit: 'pushes per minute' }),
    description: 'A budget for hosts that ask for few pushes; what has to wait is sent together. 0: no budget.',
  }),

  USE_SMART_POLLING: setting('true', {
    group: 'polling',
    kind: truth(),
    description: 'Ask the remote for its newest commit, and fetch only when it has changed.',
  }),
  PULL_INTERVAL: setting('10', {
    group: 'polling',
    kind: seconds({ min: 0.05, max: DAY }),
    description: 'Time between two looks at the queue.',
  }),
  PULL_INTERVAL_MAX: computedSetting(
    {
      shown: `${IDLE_PULL_INTERVALS} × PULL_INTERVAL, at most ${IDLE_PULL_SECONDS}`,
      of: ({ text }) => {
        const set = Number(text('PULL_INTERVAL'));
        return String(Math.max(set, Math.min(IDLE_PULL_SECONDS, Math.round(IDLE_PULL_INTERVALS * set * 1000) / 1000)));
      },
    },
    {
      group: 'polling',
      kind: seconds({ min: 0, max: DAY }),
      example: '60',
      description:
        'While nothing is queued or in work that time grows, up to this: to at most a tenth of how long it has been quiet. 0, or not above PULL_INTERVAL: it stays the same.',
    },
  ),
  WEBHOOK_SECRET: optionalSetting({
    group: 'polling',
    secret: true,
    kind: text({
      expects: `one line of at least ${MIN_WEBHOOK_SECRET_LENGTH} characters`,
      pattern: new RegExp(`^\\S.{${MIN_WEBHOOK_SECRET_LENGTH - 2},}\\S$`),
      maxLength: 1000,
    }),
    description:
      'The secret that a Git host’s webhook is set up with. With one, a call of /hooks/push on HTTP_PORT makes the worker look at once. Other programs of this user can read an environment: prefer a file.',
  }),
  WEBHOOK_SECRET_FILE: optionalSetting({
    group: 'polling',
    kind: readableFile(),
    example: '/etc/dgrid/webhook-secret',
    description: 'A file with that secret. It may be replaced while the worker runs.',
  }),
  HEARTBEAT_INTERVAL: setting('60', {
    group: 'polling',
    kind: seconds({ min: 0.1, max: DAY }),
    description: 'Time between two signs of life.',
  }),
  NODE_TTL: computedSetting(
    {
      shown: `${NODE_TTL_IN_HEARTBEATS} × HEARTBEAT_INTERVAL`,
      // Rounded because 5 × 0.1 has no short decimal form in binary.
      of: ({ text }) => String(Math.round(Number(text('HEARTBEAT_INTERVAL')) * NODE_TTL_IN_HEARTBEATS * 1000) / 1000),
    },
    {
      group: 'polling',
      kind: seconds({ min: 0.2, max: 30 * DAY }),
      description: 'How long this node may be silent before others take over its tasks. At least two heartbeats.',
    },
  ),
  SHUTDOWN_GRACE_SECONDS: setting('30', {
    group: 'polling',
    kind: seconds({ min: 0, max: DAY }),
    description: 'How long running tasks may go on after a request to stop. What is not done then is handed back.',
  }),

  LOCK_WAIT_SECONDS: setting('0', {
    group: 'polling',
    kind: seconds({ min: 0, max: DAY }),
    description:
      'How long a worker that starts waits for another one to leave its state directory, before it gives up. For supervisors that start the next one while the last one still ends.',
  }),

  MAX_PARALLEL_TASKS: setting('1', {
    group: 'limits',
    kind: wholeNumber({ min: 1, max: 256, unit: 'tasks' }),
    description: 'How many tasks may run here at the same time.',
  }),
  MAX_TASKS_PER_HOUR: setting('0', {
    group: 'limits',
    kind: wholeNumber({ min: 0, max: 1_000_000, unit: 'tasks per hour' }),
    description: 'How many tasks may start within any sixty minutes; a restart does not reset it. 0: no limit.',
  }),
  MAX_CPU_PERCENT: setting('80', {
    group: 'limits',
    kind: percent(),
    description: 'Above this use of the processors the worker claims nothing new.',
  }),
  MAX_MEMORY_PERCENT: setting('80', {
    group: 'limits',
    kind: percent(),
    description: 'Above this use of memory the worker claims nothing new.',
  }),
  MAX_DISK_PERCENT: setting('90', {
    group: 'limits',
    kind: percent(),
    description: 'Above this use of a disk that it needs the worker claims nothing new, and cleans up after itself.',
  }),
  MAX_CPU_PRESSURE: setting('0', {
    group: 'limits',
    kind: percentOrOff(),
    description:
      'Above this share of ten seconds in which somebody waited for a processor the worker claims nothing new. Tasks that run into DOCKER_CPUS count too. 0: not looked at.',
  }),
  MAX_MEMORY_PRESSURE: setting('40', {
    group: 'limits',
    kind: percentOrOff(),
    description: 'The same for waiting for memory. Kernels that do not count pressure pause nothing. 0: not looked at.',
  }),
  MAX_IO_PRESSURE: setting('0', {
    group: 'limits',
    kind: percentOrOff(),
    description:
      'The same for waiting for a disk. A single program that reads a large file comes near 100. 0: not looked at.',
  }),
  MAX_LOAD_PER_CPU: setting('0', {
    group: 'limits',
    kind: decimalNumber({ min: 0, max: 1000, unit: 'processes' }),
    description:
      'Above this load average of one minute, divided by the number of processors, the worker claims nothing new. 0: not looked at.',
  }),
  MEMORY_RESERVE: setting('64m', {
    group: 'limits',
    kind: byteSize({ min: 0, max: 64 * 1024 * GIB }),
    description:
      'What stays free of memory beside the limits of all tasks: a task for which there is less waits, or goes to another node.',
  }),
  ACTIVE_HOURS: optionalSetting({
    group: 'limits',
    kind: activeHours(),
    example: 'Mon-Fri 20:00-07:00, Sat-Sun 00:00-24:00',
    description:
      'When this machine may work, by its own clock and time zone (or that of TZ). Outside of these hours nothing new is claimed; tasks that run go on. Unset: always.',
  }),
  HEALTH_CHECK_EVERY: setting('10', {
    group: 'limits',
    kind: wholeNumber({ min: 1, max: 100_000, unit: 'polling cycles' }),
    description: 'How often the worker checks its own health.',
  }),
  MAX_TASK_BYTES: setting('256k', {
    group: 'limits',
    scope: 'both',
    kind: byteSize({ min: 128, max: 16 * MIB }),
    description: 'A larger task file is not run, nor submitted.',
  }),
  MAX_OUTPUT_BYTES: setting('1m', {
    group: 'limits',
    kind: byteSize({ min: KIB, max: GIB }),
    description: 'How much of each output stream of a task is kept.',
  }),
  MAX_TAKEOVERS: setting('3', {
    group: 'limits',
    kind: wholeNumber({ min: 0, max: 1000, unit: 'take-overs' }),
    description: 'How often a task may be taken over from nodes that died with it before it counts as lost.',
  }),

  DOCKER_HOST: optionalSetting({
    group: 'docker',
    kind: dockerHost(),
    example: 'unix:///run/user/1000/docker.sock',
    description: 'The container engine, as for every Docker client. Unset: the usual socket.',
  }),
  DOCKER_TLS_VERIFY: setting('false', {
    group: 'docker',
    kind: truth(),
    description: 'Speak TLS with an engine at a tcp address, and check its certificate.',
  }),
  DOCKER_CERT_PATH: optionalSetting({
    group: 'docker',
    kind: readableDirectory(),
    example: '/etc/dgrid/docker-tls',
    description: 'The directory with ca.pem, cert.pem and key.pem for that.',
  }),
  DOCKER_IMAGE: setting('busybox:stable', {
    group: 'docker',
    kind: imageName(),
    description: 'The image for tasks that name none.',
  }),
  ALLOWED_IMAGES: computedSetting(
    { shown: 'DOCKER_IMAGE alone', of: ({ text }) => text('DOCKER_IMAGE') },
    {
      group: 'docker',
      kind: listOf(imagePattern(), 1000),
      example: 'busybox:*,registry.example.com/team/*',
      description: 'The images that tasks may ask for: names, patterns with *, or digests. * alone allows every image.',
    },
  ),
  IMAGE_PULL_POLICY: setting('missing', {
    group: 'docker',
    kind: oneOf(['missing', 'always', 'never']),
    description: 'When to pull an image before a task.',
  }),
  IMAGE_PULL_TIMEOUT: setting('600', {
    group: 'docker',
    kind: seconds({ min: 1, max: DAY }),
    description: 'The longest that a pull may take, with all its tries.',
  }),
  IMAGE_PULL_STALL_SECONDS: setting('120', {
    group: 'docker',
    kind: seconds({ min: 1, max: DAY }),
    description: 'A try of a pull that makes no progress for so long is given up.',
  }),
  DOCKER_CONFIG: optionalSetting({
    group: 'docker',
    kind: path(),
    example: '/etc/dgrid/docker',
    description:
      'The directory with Docker’s config.json, from which credentials for registries are read at each pull. Unset: .docker in the home of this user.',
  }),
  DOCKER_CPUS: setting('1', {
    group: 'docker',
    kind: decimalNumber({ min: 0.01, max: 1024, unit: 'processors' }),
    description: 'The most processor time that a task may have.',
  }),
  DOCKER_CPU_SHARES: setting('512', {
    group: 'docker',
    kind: wholeNumber({ min: 2, max: 262_144, unit: 'shares' }),
    description:
      'The weight of a task where processors are short. Containers of others, and services of the machine where the engine uses systemd, mostly have 1024.',
  }),
  DOCKER_MEMORY: setting('512m', {
    group: 'docker',
    // Six mebibytes is the least that the engine accepts.
    kind: byteSize({ min: 6 * MIB, max: 64 * 1024 * GIB }),
    description: 'The most memory that a task may have; it gets no swap.',
  }),
  DOCKER_WORK_SIZE: setting('64m', {
    group: 'docker',
    kind: byteSize({ min: 64 * KIB, max: 64 * 1024 * GIB }),
    description: 'Size of a task’s writable directory. It lies in memory, and counts against DOCKER_MEMORY.',
  }),
  DOCKER_TIMEOUT: setting('3600', {
    group: 'docker',
    kind: seconds({ min: 1, max: 30 * DAY }),
    description: 'The longest time limit that a task may ask for.',
  }),
  DOCKER_PIDS_LIMIT: setting('128', {
    group: 'docker',
    kind: wholeNumber({ min: 2, max: 4_194_304, unit: 'processes' }),
    description: 'How many processes and threads a task may have.',
  }),
  DOCKER_NETWORK: setting('none', {
    group: 'docker',
    kind: networkName(),
    description: 'The network of tasks that name none. The host’s own network is refused.',
  }),
  ALLOWED_NETWORKS: optionalSetting({
    group: 'docker',
    kind: listOf(networkPattern(), 100),
    example: 'builds,team-*',
    description:
      'The networks that tasks may ask for besides DOCKER_NETWORK and none: names, or patterns with * that cover networks which you made. See docs/networks.md for what a network opens.',
  }),
  DOCKER_RUNTIME: optionalSetting({
    group: 'docker',
    kind: text({
      expects: 'the name of a runtime that the engine knows, as runsc',
      pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
      maxLength: 128,
    }),
    example: 'runsc',
    description: 'The container runtime. Unset: the engine’s default.',
  }),
  ENGINE_CALL_TIMEOUT: setting('30', {
    group: 'docker',
    kind: seconds({ min: 1, max: 3600 }),
    description: 'How long the engine may take to answer one call.',
  }),
  ALLOW_UNLIMITED_TASKS: setting('false', {
    group: 'docker',
    kind: truth(),
    description:
      'Whether to run tasks on an engine that cannot limit their memory, processors or processes, as a rootless one mostly cannot. false: nothing is claimed there.',
  }),
  WARM_POOL_SIZE: setting('2', {
    group: 'docker',
    kind: wholeNumber({ min: 0, max: 64, unit: 'containers' }),
    description:
      'How many containers may be started ahead and wait for a script, of kinds that were used lately. Each takes about 8 MiB of this machine’s memory. 0: none.',
  }),
  WARM_POOL_IDLE_SECONDS: setting('300', {
    group: 'docker',
    kind: seconds({ min: 1, max: DAY }),
    description: 'For how long a use of a kind of container counts. Without any, none of it waits.',
  }),
  PRUNE_DANGLING_IMAGES: setting('false', {
    group: 'docker',
    kind: truth(),
    description: 'Whether a full disk allows the worker to remove images without a name, whoever made them.',
  }),
  PRUNE_BUILD_CACHE: setting('false', {
    group: 'docker',
    kind: truth(),
    description: 'Whether a full disk allows the worker to empty the engine’s build cache.',
  }),

  RECORD_BATCH_SIZE: setting('50', {
    group: 'recording',
    kind: wholeNumber({ min: 1, max: 5000, unit: 'results' }),
    description: 'As soon as so many results wait, they are recorded on the branch.',
  }),
  RECORD_DELAY: setting('5', {
    group: 'recording',
    kind: seconds({ min: 0, max: DAY }),
    description: 'A result waits no longer than this for others to be recorded with it.',
  }),
  FOLLOW_OUTPUT: setting('asked', {
    group: 'recording',
    kind: oneOf(['never', 'asked', 'always']),
    description:
      'Of which tasks to publish what they write while they run. asked: of those whose file says "follow": true. See docs/follow.md.',
  }),
  FOLLOW_INTERVAL: setting('2', {
    group: 'recording',
    kind: seconds({ min: 0.1, max: 3600 }),
    description:
      'Time between two batches of a task’s output while it writes. Within GIT_PUSHES_PER_MINUTE it may become longer.',
  }),
  MAX_FOLLOW_BYTES: setting('256k', {
    group: 'recording',
    kind: byteSize({ min: 1 * KIB, max: 16 * MIB }),
    description:
      'How much of each output stream is published before the result, from its beginning: at most half of MAX_OUTPUT_BYTES.',
  }),
  RETRY_ATTEMPTS: setting('5', {
    group: 'recording',
    scope: 'both',
    kind: wholeNumber({ min: 0, max: 100, unit: 'tries' }),
    description: 'How often a Git operation is tried in all before it counts as failed. 0 and 1: once.',
  }),
  RETRY_BASE_SECONDS: setting('2', {
    group: 'recording',
    scope: 'both',
    kind: seconds({ min: 0.01, max: 3600 }),
    description: 'The wait before the second try. Each later wait is twice the one before, up to five minutes.',
  }),

  SECRETS_DIR: optionalSetting({
    group: 'admission',
    kind: secretsDirectory(),
    example: '/etc/dgrid/secrets',
    description:
      'A directory with one file for each secret that tasks may ask for by name, for the worker’s user alone. Read at each use. See docs/secrets.md.',
  }),
  SECRETS_POLICY_FILE: optionalSetting({
    group: 'admission',
    kind: secretsPolicyFile(),
    example: '/etc/dgrid/secrets.json',
    description: 'A file that says which tasks may have which of them. Unset: nobody gets any.',
  }),
  ENABLE_TASK_SIGNING: setting('false', {
    group: 'admission',
    kind: truth(),
    description: 'Run signed tasks only. A task without a signature that TRUSTED_KEYS_FILE allows is rejected.',
  }),
  TRUSTED_KEYS_FILE: optionalSetting({
    group: 'admission',
    scope: 'both',
    kind: readableFile(),
    example: '/etc/dgrid/trusted-keys',
    description:
      'Who may sign, in OpenSSH’s allowed-signers format; kept on this machine, never in the task repository. A signed task is checked as soon as this is set; dgrid checks results with it.',
  }),
  REVOKED_KEYS_FILE: optionalSetting({
    group: 'admission',
    scope: 'both',
    kind: readableFile(),
    example: '/etc/dgrid/revoked-keys',
    description: 'Keys that are trusted no longer: public keys, one a line, or an OpenSSH key revocation list.',
  }),
  GRID_NAME: computedSetting(
    { shown: 'host and path of DGRID_REPO_URL', of: ({ text }) => gridNameOf(text('DGRID_REPO_URL') || 'unnamed') },
    {
      group: 'admission',
      scope: 'both',
      kind: text({
        expects: 'a name of letters, figures and . _ ~ : / @ + - and spaces',
        pattern: GRID_NAME_PATTERN,
        maxLength: 255,
      }),
      example: 'git.example.com/team/tasks',
      description:
        'What signed tasks are made out to, so that they are worth nothing in another grid. Set it where workers and submitters reach the repository under different names.',
    },
  ),
  SIGNATURE_MAX_DAYS: setting('30', {
    group: 'admission',
    kind: wholeNumber({ min: 1, max: 3650, unit: 'days' }),
    description: 'A task whose signature is good for longer than this from now is rejected.',
  }),
  NODE_SIGNING_KEY_FILE: optionalSetting({
    group: 'admission',
    kind: readableFile(),
    example: '/etc/dgrid/node-key',
    description: 'An SSH private key without a passphrase. With one, this node signs its results.',
  }),

  HTTP_HOST: setting('127.0.0.1', {
    group: 'observing',
    kind: text({
      expects: 'an address or a host name',
      pattern: /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9]+)?)$/,
      maxLength: 253,
    }),
    description:
      'Where the pages and the metrics are served. An address that other machines can reach needs HTTP_TOKEN_FILE or HTTP_TOKEN.',
  }),
  HTTP_PORT: setting('8000', {
    group: 'observing',
    kind: wholeNumber({ min: 0, max: 65_535 }),
    description: 'The port for that. 0: not served.',
  }),
  HTTP_TOKEN: optionalSetting({
    group: 'observing',
    secret: true,
    kind: text({
      expects: `one line of at least ${MIN_HTTP_TOKEN_LENGTH} visible ASCII characters without blanks`,
      pattern: new RegExp(`^[!-~]{${MIN_HTTP_TOKEN_LENGTH},}$`),
      maxLength: 1000,
    }),
    description:
      'What the pages and the metrics ask for: as a bearer token, or as the password of any user. /livez, /startupz and /readyz answer without. Other programs of this user can read an environment: prefer a file.',
  }),
  HTTP_TOKEN_FILE: optionalSetting({
    group: 'observing',
    kind: tokenFile(MIN_HTTP_TOKEN_LENGTH),
    example: '/etc/dgrid/http-token',
    description: 'A file with that token. It may be replaced while the worker runs.',
  }),
  LOG_LEVEL: setting('info', {
    group: 'observing',
    flag: '--log-level <level>',
    kind: oneOf(['trace', 'debug', 'info', 'warn', 'error']),
    description: 'The least important entries to log.',
  }),
  LOG_FILE: setting('stdout', {
    group: 'observing',
    kind: logDestination(),
    example: '/var/log/dgrid/worker.log',
    description: 'stdout, or a file to append to. It is opened again on SIGHUP, for logrotate.',
  }),
  LOG_FORMAT: setting('auto', {
    group: 'observing',
    flag: '--log-format <format>',
    kind: oneOf(['auto', 'json', 'pretty']),
    description: 'json, or pretty for people. auto: pretty on a terminal, json elsewhere.',
  }),
} as const;

export type OptionName = keyof typeof OPTIONS;
type ValueOf<O> = O extends Option<infer T> ? T : never;
/** All settings by name, in the program's units. */
export type Values = { [Name in OptionName]: ValueOf<(typeof OPTIONS)[Name]> };

/** In the order of the table. */
export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[];

export function optionOf(name: OptionName): Option<unknown> {
  return OPTIONS[name];
}

export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name);
}

function stateDirectory({ machine }: Basis): string | null {
  if (machine.isRoot) return '/var/lib/dgrid';
  if (machine.xdgStateHome !== null) return join(machine.xdgStateHome, 'dgrid');
  return machine.homeDir === null ? null : join(machine.homeDir, '.local', 'state', 'dgrid');
}
