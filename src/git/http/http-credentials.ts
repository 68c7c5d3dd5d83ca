/**
 * Who we are to a host over HTTP, as git would find it out: what the settings say, and then the operator's credential
 * helper. Nothing is sent before the host has asked for it once; after that with every request.
 *
 * A secret of the helper's is asked for once and kept in memory, and once more after the host refused it.
 */
import type { GitSettings } from '../../config/settings.ts';
import { httpSecret } from '../credentials.ts';
import type { GitCommand } from '../git-command.ts';
import type { RemoteAddress } from '../remote-address.ts';

interface Pair {
  user: string;
  secret: string;
}

export class HttpCredentials {
  readonly #address: RemoteAddress;
  readonly #settings: GitSettings;
  readonly #command: Pick<GitCommand, 'run'>;
  #asked = false;
  #helped: Pair | null = null;
  #approved = false;

  constructor(parts: { address: RemoteAddress; settings: GitSettings; command: Pick<GitCommand, 'run'> }) {
    this.#address = parts.address;
    this.#settings = parts.settings;
    this.#command = parts.command;
  }

  /** The value of an `Authorization` header, or null. @throws GitError (`auth`) when a configured secret cannot be read. */
  async current(): Promise<string | null> {
    if (!this.#asked) return null;
    const pair = (await this.#configured()) ?? this.#helped;
    return pair ? header(pair) : null;
  }

  /** The host wants to know who we are, or did not like `proof`. @returns whether there is another proof to try. */
  async refused(proof: string | null, signal?: AbortSignal): Promise<boolean> {
    this.#asked = true;
    if (this.#helped && proof === header(this.#helped)) {
      await this.#tellHelper('reject', this.#helped, signal);
      this.#helped = null;
    }
    if (!(await this.#configured())) this.#helped ??= await this.#askHelper(signal);
    const next = await this.current();
    return next !== null && next !== proof;
  }

  /** The host let us in with it. */
  async accepted(proof: string | null): Promise<void> {
    if (this.#approved || !this.#helped || proof !== header(this.#helped)) return;
    this.#approved = true;
    await this.#tellHelper('approve', this.#helped);
  }

  #configured(): Promise<Pair | null> {
    return httpSecret(this.#address, this.#settings);
  }

  async #askHelper(signal: AbortSignal | undefined): Promise<Pair | null> {
    if (this.#settings.credentialHelper === null) return null;
    this.#approved = false;
    const lines = await this.#credential('fill', [], signal);
    const user = /^username=(.*)$/m.exec(lines)?.[1];
    const secret = /^password=(.*)$/m.exec(lines)?.[1];
    return user !== undefined && secret !== undefined ? { user, secret } : null;
  }

  async #tellHelper(what: 'approve' | 'reject', { user, secret }: Pair, signal?: AbortSignal): Promise<void> {
    await this.#credential(what, [`username=${user}`, `password=${secret}`], signal);
  }

  /** A helper that fails has nothing to say: the host's refusal is then the error that counts. */
  async #credential(what: 'fill' | 'approve' | 'reject', known: string[], signal?: AbortSignal): Promise<string> {
    const { protocol, host } = new URL(this.#address.url);
    const user = known.length === 0 && this.#address.user !== null ? [`username=${this.#address.user}`] : [];
    const lines = [`protocol=${protocol.slice(0, -1)}`, `host=${host}`, ...user, ...known, '', ''];
    try {
      const { stdout } = await this.#command.run(['credential', what], {
        cwd: '/',
        input: Buffer.from(lines.join('\n')),
        environment: {
          variables: { GIT_DIR: '/dev/null' },
          config: [['credential.helper', this.#settings.credentialHelper ?? '']],
          secrets: known.map((line) => line.slice(line.indexOf('=') + 1)),
        },
        deadlineMs: this.#settings.commandTimeoutMs,
        signal,
      });
      return stdout.toString('utf8');
    } catch {
      return '';
    }
  }
}

function header({ user, secret }: Pair): string {
  return `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
}
