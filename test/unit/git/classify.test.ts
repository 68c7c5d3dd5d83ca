import { describe, expect, it } from 'vitest';
import { classify, type Ending, tellsOfDamage } from '../../../src/git/classify.ts';
import type { GitErrorKind } from '../../../src/git/errors.ts';

// What git 2.39, curl 7.88 and OpenSSH 9.2 really said, each provoked on a machine. Addresses are shortened.
const SSH_TAIL =
  'fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n';
const PUSH_TAIL =
  'send-pack: unexpected disconnect while reading sideband packet\nfatal: the remote end hung up unexpectedly\n';
const LOCK_TAIL =
  "\n\nAnother git process seems to be running in this repository, e.g.\nan editor opened by 'git commit'. Please make sure all processes\nare terminated then try again. If it still fails, a git process\nmay have crashed in this repository earlier:\nremove the file manually to continue.\n";
const ID = '24de63ddd3514fa8ca296dc3af918dc588955349';

const TEXTS: ReadonlyArray<[label: string, kind: GitErrorKind, stderr: string]> = [
  [
    'connection refused',
    'network',
    "fatal: unable to access 'http://h/x.git/': Failed to connect to h port 1 after 0 ms: Couldn't connect to server\n",
  ],
  ['no such host', 'network', "fatal: unable to access 'http://h.invalid/x.git/': Could not resolve host: h.invalid\n"],
  ['empty reply', 'network', "fatal: unable to access 'http://h/a.git/': Empty reply from server\n"],
  [
    'connection lost in a listing',
    'network',
    'error: RPC failed; curl 52 Empty reply from server\nfatal: expected flush after ref listing\n',
  ],
  [
    'connection lost in a fetch',
    'network',
    "error: RPC failed; curl 52 Empty reply from server\nfatal: expected 'acknowledgments'\n",
  ],
  ['connection lost in a push', 'network', `error: RPC failed; curl 52 Empty reply from server\n${PUSH_TAIL}`],
  [
    'answer cut short',
    'network',
    'error: RPC failed; curl 18 transfer closed with outstanding read data remaining\nerror: 39 bytes of body are still expected\nfatal: the remote end hung up unexpectedly\n',
  ],
  [
    'advertisement cut short',
    'network',
    "fatal: unable to access 'http://h/a.git/': transfer closed with outstanding read data remaining\n",
  ],
  [
    'silent server',
    'network',
    "fatal: unable to access 'http://h/a.git/': Operation too slow. Less than 1 bytes/sec transferred the last 1 seconds\n",
  ],
  ['500', 'network', "fatal: unable to access 'http://h/a.git/': The requested URL returned error: 500\n"],
  [
    '502 in a push',
    'network',
    `error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502\n${PUSH_TAIL}`,
  ],
  [
    '503 in a fetch',
    'network',
    "error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503\nfatal: expected 'acknowledgments'\n",
  ],
  [
    'git protocol refused',
    'network',
    'fatal: unable to connect to h:\nh[0: 127.0.0.1]: errno=Connection refused\n\n\n',
  ],
  ['ssh refused', 'network', `ssh: connect to host 127.0.0.1 port 1: Connection refused\n${SSH_TAIL}`],
  ['ssh no such host', 'network', `ssh: Could not resolve hostname no.invalid: Name or service not known\n${SSH_TAIL}`],
  ['429', 'throttled', "fatal: unable to access 'http://h/a.git/': The requested URL returned error: 429\n"],
  [
    '429 in a push',
    'throttled',
    `error: RPC failed; HTTP 429 curl 22 The requested URL returned error: 429\n${PUSH_TAIL}`,
  ],
  ['no credentials', 'auth', "fatal: could not read Username for 'http://h': terminal prompts disabled\n"],
  ['wrong credentials', 'auth', "fatal: Authentication failed for 'http://h/a.git/'\n"],
  [
    '401 in a push',
    'auth',
    `fatal: could not read Username for 'http://h': terminal prompts disabled\n${PUSH_TAIL}error: failed to push some refs to 'http://h/a.git'\n`,
  ],
  ['403', 'auth', "fatal: unable to access 'http://h/a.git/': The requested URL returned error: 403\n"],
  [
    '403 in a fetch',
    'auth',
    "error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403\nfatal: expected 'acknowledgments'\n",
  ],
  ['unknown ssh key', 'auth', `root@h: Permission denied (publickey).\n${SSH_TAIL}`],
  [
    'missing ssh key',
    'auth',
    `Warning: Identity file /nonexistent not accessible: No such file or directory.\nroot@h: Permission denied (publickey).\n${SSH_TAIL}`,
  ],
  [
    'changed host key',
    'auth',
    `@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key for [h]:22 has changed and you have requested strict checking.\nHost key verification failed.\n${SSH_TAIL}`,
  ],
  [
    'unknown host key',
    'auth',
    `No ED25519 host key is known for [h]:22 and you have requested strict checking.\nHost key verification failed.\n${SSH_TAIL}`,
  ],
  ['404', 'not-found', "fatal: repository 'http://h/none.git/' not found\n"],
  [
    '404 in a push',
    'not-found',
    `error: RPC failed; HTTP 404 curl 22 The requested URL returned error: 404\n${PUSH_TAIL}`,
  ],
  ['no such path', 'not-found', `fatal: '/nonexistent/x.git' does not appear to be a git repository\n${SSH_TAIL}`],
  [
    'hook',
    'refused',
    "remote: protected branch hook declined: GH006        \nerror: failed to push some refs to 'http://h/a.git'\n",
  ],
  ['funny name', 'refused', "fatal: invalid refspec '4839124337392ca4dcf17c9bdc70dfc976b4d8a8:refs/x/a..b'\n"],
  ['forbidden transport', 'refused', "fatal: transport 'ext' not allowed\n"],
  [
    'ref of a missing object on the remote',
    'corrupt-remote',
    'remote: fatal: bad object refs/x/zero        \nfatal: bad object refs/x/zero\nerror: failed to push some refs\n',
  ],
  ['empty ref on the remote', 'corrupt-remote', `fatal: remote error: upload-pack: not our ref ${'0'.repeat(40)}\n`],
  [
    'missing object on the remote',
    'corrupt-remote',
    `remote: fatal: unable to read ${ID}        \nremote: aborting due to possible repository corruption on the remote side. \nfatal: protocol error: bad pack header\n`,
  ],
  [
    'empty object on the remote',
    'corrupt-remote',
    `remote: error: object file ./objects/24/x is empty        \nremote: fatal: loose object ${ID} (stored in ./objects/24/x) is corrupt        \nfatal: protocol error: bad pack header\n`,
  ],
  ['unadvertised object', 'corrupt-remote', `error: Server does not allow request for unadvertised object ${ID}\n`],
  ['unreadable configuration', 'corrupt-local', 'fatal: bad config line 1 in file /c/config\n'],
  ['no HEAD', 'corrupt-local', "fatal: not a git repository: '/c'\n"],
  [
    'empty ref',
    'corrupt-local',
    "error: cannot lock ref 'refs/remote/main': unable to resolve reference 'refs/remote/main': reference broken\nFrom ./src\n ! [new branch]      main       -> refs/remote/main  (unable to update local ref)\n",
  ],
  [
    'empty object',
    'corrupt-local',
    `error: object file /c/objects/87/x is empty\nfatal: loose object ${ID} (stored in /c/objects/87/x) is corrupt\n`,
  ],
  [
    'flipped bits in an object',
    'corrupt-local',
    `error: inflate: data stream error (incorrect header check)\nerror: unable to unpack ${ID} header\nfatal: loose object ${ID} (stored in /c/objects/87/x) is corrupt\n`,
  ],
  [
    'flipped bits in a pack',
    'corrupt-local',
    `error: inflate: data stream error (invalid bit length repeat)\nfatal: packed object ${ID} (stored in /c/objects/pack/p.pack) is corrupt\n`,
  ],
  ['garbage in shallow', 'corrupt-local', 'fatal: bad shallow line: zzz\n'],
  ["garbage in the remote's packed-refs", 'corrupt-remote', 'fatal: unexpected line in ./packed-refs: zzz\n'],
  [
    'a tree that is gone, found by a fetch',
    'corrupt-local',
    `fatal: bad tree object ${'b'.repeat(40)}\nerror: remote did not send all necessary objects\n`,
  ],
  ['a directory in the place of a pack index', 'corrupt-local', 'fatal: mmap failed: No such device\n'],
  ['garbage in packed-refs', 'corrupt-local', 'fatal: unexpected line in /c/packed-refs: zzzz yy\n'],
  ['stale lock', 'corrupt-local', `fatal: Unable to create '/c/shallow.lock': File exists.${LOCK_TAIL}`],
  [
    'missing object in a push',
    'corrupt-local',
    `fatal: bad object ${ID}\nerror: remote unpack failed: eof before pack header was fully read\nerror: failed to push some refs to '../r.git'\n`,
  ],
  [
    'missing parent in a push',
    'corrupt-local',
    `error: Could not read ${ID}\nfatal: revision walk setup failed\nerror: remote unpack failed: eof before pack header was fully read\n`,
  ],
  [
    'full disk',
    'local-io',
    'fatal: unable to write loose object file: No space left on device\nfatal: unpack-objects failed\n',
  ],
  ['read-only disk', 'local-io', "error: cannot open '/c/FETCH_HEAD': Read-only file system\n"],
];

// Known from the sources of git and curl and from what hosts print, not provoked here.
const MORE_TEXTS: typeof TEXTS = [
  [
    'damaged pack on the way',
    'network',
    'fatal: pack has bad object at offset 12: inflate returned -3\nfatal: fetch-pack: invalid index-pack output\n',
  ],
  [
    'pack checksum',
    'network',
    'fatal: pack is corrupted (SHA1 mismatch)\nfatal: fetch-pack: invalid index-pack output\n',
  ],
  [
    '403 that is a rate limit',
    'throttled',
    "remote: You have exceeded a secondary rate limit.\nfatal: unable to access 'https://h/a/': The requested URL returned error: 403\n",
  ],
  [
    'untrusted certificate',
    'auth',
    "fatal: unable to access 'https://h/a/': server certificate verification failed. CAfile: none CRLfile: none\n",
  ],
  ['no permission', 'local-io', "error: cannot open '/c/FETCH_HEAD': Permission denied\n"],
  ['full disk of the remote', 'unknown', 'remote: fatal: unable to write: No space left on device\nsomething else\n'],
  ['anything else', 'unknown', 'fatal: something new\n'],
  ['nothing', 'unknown', ''],
];

describe('classify', () => {
  it.each([...TEXTS, ...MORE_TEXTS])('%s is %s', (_label, kind, stderr) => {
    expect(classify({ exitCode: 128, stderr, ending: null })).toBe(kind);
  });

  it.each([
    ['deadline', 'deadline'],
    ['aborted', 'aborted'],
    ['too-large', 'unknown'],
  ] as ReadonlyArray<[Ending, GitErrorKind]>)('our own reason %s comes before any text', (ending, kind) => {
    expect(classify({ exitCode: null, stderr: 'fatal: Authentication failed', ending })).toBe(kind);
  });

  it.each([
    [127, 'setsid: failed to execute git: No such file or directory\n'],
    [-2, 'Error: spawn git ENOENT\n    at ChildProcess._handle.onexit'],
  ])('a git that cannot be started (code %i) is no-git', (exitCode, stderr) => {
    expect(classify({ exitCode, stderr, ending: null })).toBe('no-git');
  });

  it('sees damage in what git says beside a success', () => {
    expect(tellsOfDamage('error: object file /c/objects/87/x is empty\n')).toBe(true);
    expect(tellsOfDamage('error: packfile /c/p.pack does not match index\n')).toBe(true);
    expect(tellsOfDamage('warning: ignoring broken ref refs/remote/main\n')).toBe(true);
    expect(tellsOfDamage('')).toBe(false);
    expect(tellsOfDamage('warning: something harmless\n')).toBe(false);
  });
});
