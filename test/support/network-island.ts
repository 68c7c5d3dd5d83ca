/**
 * Network namespaces to put workers in: each is joined to this machine by a link of its own, which can be cut and can lose
 * packets. Needs root, `ip` and `nft`. All reach the one address of `Mainland`, where a Git server of the test listens.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';

let made = 0;

export class Mainland {
  /** For servers of the test; nobody but the islands can get there. */
  readonly address: string;
  readonly #net: string;
  readonly #islands: NetworkIsland[] = [];

  private constructor(net: string) {
    this.#net = net;
    this.address = `${net}.1`;
  }

  /** @throws Error that says what is missing where namespaces cannot be made. */
  static create(): Mainland {
    made += 1;
    const number = process.pid * 7 + made;
    const mainland = new Mainland(`10.${200 + (number % 50)}.${Math.floor(number / 50) % 250}`);
    try {
      ip('addr', 'add', `${mainland.address}/32`, 'dev', 'lo');
      mainland.island('probe');
    } catch (error) {
      mainland.remove();
      throw new Error(
        `this test makes network namespaces, for which it must be root and have ip and nft: ${String(error)}`,
        { cause: error },
      );
    }
    return mainland;
  }

  island(name: string): NetworkIsland {
    const number = this.#islands.length;
    const island = new NetworkIsland({
      name: `dgrid-${process.pid}-${made}-${name}`,
      device: `dg${process.pid}${made}v${number}`,
      // Two addresses each, from the upper half of the net.
      here: `${this.#net}.${128 + 2 * number}`,
      there: `${this.#net}.${129 + 2 * number}`,
      address: this.address,
    });
    this.#islands.push(island);
    island.make();
    return island;
  }

  remove(): void {
    for (const island of this.#islands) island.remove();
    attempt(() => ip('addr', 'del', `${this.address}/32`, 'dev', 'lo'));
  }
}

interface IslandParts {
  name: string;
  device: string;
  here: string;
  there: string;
  address: string;
}

export class NetworkIsland {
  readonly #parts: IslandParts;

  constructor(parts: IslandParts) {
    this.#parts = parts;
  }

  /** What a command line begins with that is run there. */
  get command(): readonly string[] {
    return ['ip', 'netns', 'exec', this.#parts.name];
  }

  make(): void {
    const { address, device, here, name, there } = this.#parts;
    ip('netns', 'add', name);
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'sea', 'netns', name);
    ip('addr', 'add', `${here}/31`, 'dev', device);
    ip('link', 'set', device, 'up');
    ip('-n', name, 'addr', 'add', `${there}/31`, 'dev', 'sea');
    ip('-n', name, 'link', 'set', 'sea', 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'route', 'add', `${address}/32`, 'via', here);
    this.#nft('add table inet weather');
  }

  /** From now on nothing comes through, and nobody is told. */
  cut(): void {
    ip('link', 'set', this.#parts.device, 'down');
  }

  join(): void {
    ip('link', 'set', this.#parts.device, 'up');
  }

  /** Drops this share of the packets by chance, in each direction. */
  lose(percent: number): void {
    for (const [hook, device] of [
      ['input', 'iifname'],
      ['output', 'oifname'],
    ]) {
      this.#nft(`add chain inet weather ${hook} { type filter hook ${hook} priority 0; }`);
      this.#nft(`flush chain inet weather ${hook}`);
      this.#nft(`add rule inet weather ${hook} ${device} "sea" numgen random mod 100 < ${percent} counter drop`);
    }
  }

  /** How many packets were lost so far. */
  lost(): number {
    const rules = execFileSync('ip', ['netns', 'exec', this.#parts.name, 'nft', 'list', 'table', 'inet', 'weather']);
    return [...rules.toString().matchAll(/counter packets (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** The processes in it must have ended. */
  remove(): void {
    attempt(() => ip('netns', 'del', this.#parts.name));
    // Goes with its other end, but for a namespace that was never finished.
    attempt(() => ip('link', 'del', this.#parts.device));
    rmSync(`/run/netns/${this.#parts.name}`, { force: true });
  }

  #nft(rule: string): void {
    execFileSync('ip', ['netns', 'exec', this.#parts.name, 'nft', rule], { stdio: ['ignore', 'ignore', 'pipe'] });
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
