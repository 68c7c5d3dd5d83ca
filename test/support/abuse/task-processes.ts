/**
 * The processes of tasks as this machine sees them. A task's first processes have its id in their environment; what it
 * starts may have none, but stays in the same PID namespace. The kernel gives the number of one that is gone to the next,
 * so it counts together with its init process.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const EVERY_MS = 100;

export class TaskProcesses {
  readonly #own = readlinkSync('/proc/self/ns/pid');
  readonly #namespaces = new Map<string, { id: string; init: number | null }>();
  readonly #lastSeenMs = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  /** Those that there are now. */
  of(task: string): number[] {
    return this.#look().get(task) ?? [];
  }

  /** On the wall clock; null: none was ever seen. */
  lastSeenMs(task: string): number | null {
    return this.#lastSeenMs.get(task) ?? null;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): Map<string, number[]> {
    const groups = new Map<string, { init: number | null; pids: number[] }>();
    const newcomers = new Map<string, string>();
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      try {
        const id = readlinkSync(`/proc/${name}/ns/pid`);
        if (id === this.#own) continue;
        const group = groups.get(id) ?? { init: null, pids: [] };
        groups.set(id, group);
        group.pids.push(Number(name));
        if (/^NSpid:.*\t1$/m.test(readFileSync(`/proc/${name}/status`, 'utf8'))) group.init = Number(name);
        const task = /(?:^|\0)DGRID_TASK_ID=([^\0]*)/.exec(readFileSync(`/proc/${name}/environ`, 'latin1'))?.[1];
        if (task !== undefined && !this.#namespaces.has(task)) newcomers.set(task, id);
      } catch {
        // It has ended, or is about to.
      }
    }
    for (const [task, id] of newcomers) this.#namespaces.set(task, { id, init: groups.get(id)?.init ?? null });
    const found = new Map<string, number[]>();
    for (const [task, { id, init }] of this.#namespaces) {
      const group = groups.get(id);
      // Without an init process the others are about to be killed, or that failed.
      if (group === undefined || (group.init !== null && group.init !== init)) continue;
      found.set(task, group.pids);
      this.#lastSeenMs.set(task, Date.now());
    }
    return found;
  }
}
