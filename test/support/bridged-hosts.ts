/**
 * Machines of a test on one network, without a way out of it: each has a network namespace, a host name and an address of its own, all can reach each
 * other and this machine, and nobody else can reach them. Needs root and `ip`.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';

let made = 0;

export interface BridgedHost {
  hostName: string;
  address: string;
  /** What a command line begins with that is run there. The file systems are those of this machine. */
  command: readonly string[];
}

export class BridgedHosts {
  /** Of this machine, for servers of the test. */
  readonly address: string;
  readonly hosts: readonly BridgedHost[];
  readonly #bridge: string;
  readonly #spaces: string[] = [];

  private constructor(hostNames: readonly string[]) {
    made += 1;
    const number = process.pid * 7 + made;
    const net = `10.${150 + (number % 50)}.${Math.floor(number / 50) % 250}`;
    this.address = `${net}.1`;
    // A name of an interface has at most 15 characters.
    this.#bridge = `dgb${number % 10_000_000}`;
    ip('link', 'add', this.#bridge, 'type', 'bridge');
    ip('addr', 'add', `${this.address}/24`, 'dev', this.#bridge);
    ip('link', 'set', this.#bridge, 'up');
    this.hosts = hostNames.map((hostName, index) => this.#add(hostName, index, `${net}.${index + 2}`));
  }

  /** @throws Error that says what is missing where namespaces cannot be made. */
  static create(hostNames: readonly string[]): BridgedHosts {
    try {
      return new BridgedHosts(hostNames);
    } catch (error) {
      throw new Error(`this test makes network namespaces, for which it must be root and have ip: ${String(error)}`, {
        cause: error,
      });
    }
  }

  #add(hostName: string, index: number, address: string): BridgedHost {
    const space = `${this.#bridge}-${index}`;
    const device = `${this.#bridge}v${index}`.slice(-15);
    this.#spaces.push(space);
    ip('netns', 'add', space);
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'lan', 'netns', space);
    ip('link', 'set', device, 'master', this.#bridge, 'up');
    ip('-n', space, 'addr', 'add', `${address}/24`, 'dev', 'lan');
    ip('-n', space, 'link', 'set', 'lan', 'up');
    ip('-n', space, 'link', 'set', 'lo', 'up');
    // Not "ip netns exec", which hides what is mounted inside from everybody else.
    const named = ['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec "$@"', hostName];
    return { hostName, address, command: ['nsenter', `--net=/run/netns/${space}`, ...named] };
  }

  /** The processes in them must have ended. */
  remove(): void {
    for (const space of this.#spaces) {
      attempt(() => ip('netns', 'del', space));
      rmSync(`/run/netns/${space}`, { force: true });
    }
    attempt(() => ip('link', 'del', this.#bridge));
  }
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // Not there.
  }
}
