import { describe, expect, it } from 'vitest';
import {
  bootstrapArgv,
  bootstrapInput,
  canTravel,
  readBootstrapFailure,
  readInitFailure,
} from '../../../../src/executor/docker/bootstrap.ts';

const NONCE = '00ff00ff';

describe('bootstrapInput', () => {
  it('says how many bytes follow, not characters', () => {
    expect(bootstrapInput('é☃').toString()).toBe('\n\n5\né☃');
    expect(bootstrapInput('').toString()).toBe('\n\n0\n');
  });

  it('has the variables in one line of quoted shell before that', () => {
    const env = { A: "it's", B: 'x\ny', C: '$(no) `no` "no" \\' };
    expect(bootstrapInput('s', env).toString()).toBe(
      `export A='it'\\''s';export B='x'"$DGRID_NL"'y';export C='$(no) \`no\` "no" \\'\n\n1\ns`,
    );
  });
});

describe('bootstrapInput with secrets', () => {
  it('names them in a line of their own, and sends them before the script', () => {
    const secrets = [
      { name: 'a-key', bytes: Buffer.from([0, 255, 10]) },
      { name: 'b', bytes: Buffer.from('12345678') },
    ];
    const input = bootstrapInput('echo', { A: '1' }, secrets);
    expect(input.toString('latin1')).toBe("export A='1'\na-key:3 b:8 \n15\n\0\xff\n12345678echo");
  });
});

describe('canTravel', () => {
  it('takes ordinary variables, whatever their values', () => {
    const env = { PATH: '/x', HOME: '/y', LANG: 'C', a1: "'\n'", DGRID_TASK_ID: 't' };
    expect(canTravel('script', env)).toBe(true);
  });

  it.each(['IFS', '_', 'PPID', 'UID', 'OPTIND', 'PS4', 'ENV', 'BASH_ENV', 'BASHOPTS', 'SHELLOPTS', 'LINENO'])(
    'leaves %s to a container of its own: a shell would change it, or stop at it',
    (name) => {
      expect(canTravel('script', { [name]: 'x' })).toBe(false);
    },
  );

  it('leaves what takes long to send', () => {
    expect(canTravel('x'.repeat(1024 * 1024), {})).toBe(true);
    expect(canTravel('x'.repeat(1024 * 1024 + 1), {})).toBe(false);
    expect(canTravel('', { A: 'x'.repeat(16_000) })).toBe(true);
    expect(canTravel('', { A: "'".repeat(16_000) })).toBe(false);
  });
});

describe('readBootstrapFailure', () => {
  const says = (text: string) => Buffer.from(text);

  it.each(['incomplete', 'no-room', 'no-tools'] as const)('knows %s, also behind other words', (failure) => {
    const stderr = says(`sh: some complaint\ndgrid-bootstrap ${NONCE} ${failure}\n`);
    expect(readBootstrapFailure(125, stderr, NONCE)).toBe(failure);
  });

  it('is not misled by a task', () => {
    const line = `dgrid-bootstrap ${NONCE} incomplete\n`;
    expect(readBootstrapFailure(1, says(line), NONCE)).toBeNull();
    expect(readBootstrapFailure(125, says('dgrid-bootstrap 11111111 incomplete\n'), NONCE)).toBeNull();
    expect(readBootstrapFailure(125, says(`${line}and on it goes\n`), NONCE)).toBeNull();
    expect(readBootstrapFailure(125, says(''), NONCE)).toBeNull();
  });

  it('looks for the words that the bootstrap has', () => {
    const program = bootstrapArgv(NONCE)[2];
    expect(program).toContain('dgrid-bootstrap $DGRID_NONCE $1');
    for (const failure of ['incomplete', 'no-room', 'no-tools']) expect(program).toContain(`fail ${failure}`);
  });
});

describe('readInitFailure', () => {
  const words = '[FATAL tini (7)] exec /nope failed: No such file or directory\n';

  it("tells init's words from the task's own code", () => {
    expect(readInitFailure(127, Buffer.from(words))).toBe('exec /nope failed: No such file or directory');
    expect(readInitFailure(127, Buffer.from('sh: nope: not found\n'))).toBeNull();
    expect(readInitFailure(1, Buffer.from(words))).toBeNull();
    expect(readInitFailure(127, Buffer.from(`before ${words}`))).toBeNull();
  });

  it('knows the words of the init that always exits with 1', () => {
    const other = Buffer.from('ERROR (catatonit:7): failed to exec pid1: Permission denied\n');
    expect(readInitFailure(1, other)).toBe('failed to exec pid1: Permission denied');
    expect(readInitFailure(2, other)).toBeNull();
    expect(readInitFailure(null, other)).toBeNull();
  });

  it('says what to do in an image without a shell', () => {
    const stderr = Buffer.from('[FATAL tini (7)] exec /bin/sh failed: No such file or directory\n');
    expect(readInitFailure(127, stderr)).toMatch(/use a command/);
  });
});
