/** People at the same repository: they queue, edit, move and withdraw tasks, cancel them, and tidy up by hand. */
import { cancel } from '../../src/client/cancel.ts';
import { GridClient } from '../../src/client/grid-client.ts';
import { GitError } from '../../src/git/errors.ts';
import { makeBlob, makeCommit, parseCommit } from '../../src/git/objects.ts';
import type { Oid } from '../../src/git/oid.ts';
import type { RefSwap } from '../../src/git/repository.ts';
import { editTree, type PathEdit } from '../../src/git/tree-edit.ts';
import { nodeRef } from '../../src/ledger/names.ts';
import { type QueueIndex, QueueReader } from '../../src/ledger/queue-index.ts';
import type { Emit } from '../../src/observe/events.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import { Life } from './life.ts';
import type { SeededRandom } from './seeded-random.ts';
import { simRetry } from './sim-machine.ts';
import { MAIN, type SimRemote } from './sim-remote.ts';
import { type SimNetwork, SimRepository } from './sim-repository.ts';
import type { Timeline } from './timeline.ts';

/** By their names, so that nothing else is drawn for a seed than before. */
const FOLLOWED = /[258]$/;
const EMAIL = 'somebody@example.org';

export class SimPerson {
  readonly #timeline: Timeline;
  readonly #remote: SimRemote;
  readonly #network: SimNetwork;
  readonly #random: SeededRandom;
  readonly #onSend: (node: string, swap: RefSwap) => void;
  readonly #onEvent: (...event: Parameters<Emit>) => void;
  readonly #onBug: (error: unknown) => void;
  #queued = 0;
  #commits = 0;

  constructor(parts: {
    timeline: Timeline;
    remote: SimRemote;
    network: SimNetwork;
    random: SeededRandom;
    onSend: (node: string, swap: RefSwap) => void;
    onEvent: (...event: Parameters<Emit>) => void;
    onBug: (error: unknown) => void;
  }) {
    this.#timeline = parts.timeline;
    this.#remote = parts.remote;
    this.#network = parts.network;
    this.#random = parts.random;
    this.#onSend = parts.onSend;
    this.#onEvent = parts.onEvent;
    this.#onBug = parts.onBug;
  }

  /** What the branch says now. */
  async index(): Promise<QueueIndex> {
    const tip = this.#remote.refs.get(MAIN);
    if (!tip) throw new Error('the branch is gone');
    const reader = new QueueReader(this.#read, () => 'sha1');
    return reader.readIndex(this.#treeOf(tip));
  }

  async queue(count: number): Promise<void> {
    const files: Record<string, string> = {};
    for (let number = 0; number < count; number += 1) {
      const id = `t${this.#queued}`;
      this.#queued += 1;
      files[`tasks/queue/${id}.json`] = this.#task(id);
    }
    await this.#commit(files);
  }

  /** Does one thing, whatever comes to mind. */
  async act(): Promise<void> {
    const random = this.#random;
    const index = await this.index();
    const waiting = [...index.files.values()];
    const file = waiting.length > 0 ? random.pick(waiting) : null;
    switch (random.below(9)) {
      case 0:
        return this.queue(1 + random.below(2));
      case 1:
        return this.#commit({ 'README.md': `change ${this.#commits}\n` });
      case 2:
        return file ? this.#commit({ [file.path]: this.#task(file.taskId) }) : undefined;
      case 3:
        return file ? this.#commit({ [file.path]: null }) : undefined;
      case 4: {
        const text = file && this.#remote.everSent.get(file.blob)?.content.toString();
        if (!file || !text) return;
        return this.#commit({ [file.path]: null, [`tasks/queue/moved/${file.taskId}.json`]: text });
      }
      case 5:
        return file ? this.#commit({ [`tasks/queue/again/${file.taskId}.json`]: this.#task(file.taskId) }) : undefined;
      case 6: {
        const id = `t${random.below(this.#queued)}`;
        return this.#commit({ [`tasks/queue/${id}.json`]: this.#task(id) });
      }
      case 7: {
        const ref = nodeRef('refs/dgrid', nodeId(`n${random.below(4)}`));
        if (random.chance(0.3)) this.#remote.swap({ ref, from: this.#remote.refs.get(ref) ?? null, to: null });
        return;
      }
      default:
        this.#cancel(`t${random.below(this.#queued)}`);
    }
  }

  #cancel(id: string): void {
    const life = new Life(this.#timeline, 1);
    if (this.#random.chance(0.2)) life.endsAtDelivery = this.#random.below(20);
    const repository = new SimRepository({
      life,
      machine: 'laptop',
      remote: this.#remote,
      network: this.#network,
      random: this.#random,
      onSend: (swap) => this.#onSend('laptop', swap),
    });
    const client = new GridClient({
      repository,
      namespace: 'refs/dgrid',
      branch: null,
      user: { name: 'Somebody', email: EMAIL },
      retry: simRetry(life),
      clock: life,
      randomHex: (bytes) => this.#random.hex(bytes),
      emit: (name, fields) => this.#onEvent(name, fields),
      signal: new AbortController().signal,
    });
    cancel(client, [taskId(id)]).catch((error: unknown) => {
      if (!(error instanceof GitError)) this.#onBug(error);
    });
  }

  #task(id: string): string {
    const random = this.#random;
    const runMs = random.chance(0.3) ? 0 : random.below(30_000);
    const exitCode = random.chance(0.3) ? 1 : 0;
    const retries = random.chance(0.3) ? 2 : 0;
    const timeout = random.chance(0.1) ? 5 : 60;
    const invalid = random.chance(0.05) ? { surprise: true } : {};
    const script = `${runMs} ${exitCode}`;
    const followed = FOLLOWED.test(id) ? { follow: true } : {};
    return JSON.stringify({ task_id: id, script, retries, timeout_seconds: timeout, ...followed, ...invalid });
  }

  /** By hand, from whatever the branch holds at this moment. */
  async #commit(files: Record<string, string | null>): Promise<void> {
    const edits: PathEdit[] = [];
    for (const [path, text] of Object.entries(files)) {
      if (text === null) edits.push({ path, oid: null });
      else {
        const blob = makeBlob(text, 'sha1');
        this.#remote.store([blob]);
        edits.push({ path, oid: blob.oid });
      }
    }
    // Nothing else happens between the reading and the swap: no event runs while these promises settle.
    const tip = this.#remote.refs.get(MAIN) ?? null;
    const edited = await editTree(tip && this.#treeOf(tip), edits, this.#read, 'sha1');
    this.#commits += 1;
    const who = { name: 'Somebody', email: EMAIL, seconds: 1_700_000_000 + this.#commits };
    const commit = makeCommit(
      {
        tree: edited.root.oid,
        parents: tip ? [tip] : [],
        author: who,
        committer: who,
        message: `Change ${this.#commits}\n`,
      },
      'sha1',
    );
    this.#remote.store([...edited.created, commit]);
    this.#remote.swap({ ref: MAIN, from: tip, to: commit.oid });
  }

  #treeOf(tip: Oid): Oid {
    const object = this.#remote.everSent.get(tip);
    if (!object) throw new Error(`the tip ${tip} was never sent`);
    return parseCommit(object.content).tree;
  }

  readonly #read = async (oids: readonly Oid[]) =>
    new Map(
      oids.flatMap((oid) => {
        const object = this.#remote.everSent.get(oid);
        return object ? [[oid, object] as const] : [];
      }),
    );
}
