/** What a suite is, and what it gets to work with. */
import type { PrivateEngine } from '../../test/support/engine.ts';
import { makeTempDir, type TempDir } from '../../test/support/temp.ts';
import type { Figure } from './figure.ts';

export interface Suite {
  name: string;
  title: string;
  /** What is measured, with what, how often; for people who want to repeat it. */
  method: string;
  aim: string;
  /** What stands in the way of an aim that is missed, and how that was found out. */
  limits?: string;
  /** A suite that takes longer is given up and counts as failed. */
  boundMinutes: number;
  run: (lab: Lab) => Promise<Figure[]>;
}

export interface LabOptions {
  quick: boolean;
  tell: (line: string) => void;
  /** Shared by the suites of one run, and made when first asked for. */
  engine: () => Promise<PrivateEngine>;
}

/** One suite's room: what is made in it goes when the suite is over, also when it is given up. */
export class Lab {
  readonly quick: boolean;
  readonly tell: (line: string) => void;
  readonly engine: () => Promise<PrivateEngine>;
  readonly directory: TempDir = makeTempDir('bench');
  readonly #made: (() => void | Promise<unknown>)[] = [];

  constructor(options: LabOptions) {
    this.quick = options.quick;
    this.tell = options.tell;
    this.engine = options.engine;
  }

  /** A size: the full one, or one with which the suite only shows that it works. */
  size(quick: number, full: number): number {
    return this.quick ? quick : full;
  }

  /** Undone at the end, the latest first. */
  use<T extends AsyncDisposable | Disposable>(thing: T): T {
    this.#made.push(async () => {
      if (Symbol.asyncDispose in thing) await thing[Symbol.asyncDispose]();
      else thing[Symbol.dispose]();
    });
    return thing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const undo of this.#made.splice(0).toReversed()) {
      try {
        await undo();
      } catch (error) {
        this.tell(`could not be cleared away: ${String(error)}`);
      }
    }
    this.directory.remove();
  }
}
