/**
 * This worker's own place in the grid, and its judgement of others.
 *
 * States: new → registered → (fenced → new incarnation → registered)* → stopped.
 * Invariants:
 * - The node ref moves only by compare-and-swap. A beat that loses finds out why before anything else happens.
 * - A claim belongs to an incarnation: whoever is fenced, or restarts, comes back under a new one.
 * - Nobody is declared dead but by a swap of the very object that was seen unchanged (see death-watch.ts); a node that
 *   lives after all makes that swap fail with its next beat.
 */
import { GitError } from '../git/errors.ts';
import type { Oid } from '../git/oid.ts';
import type { Emit } from '../observe/events.ts';
import type { RandomHex } from '../runtime.ts';
import type { SwapStep } from '../steps.ts';
import type { NodeId } from '../task/id.ts';
import type { DeathWatch } from './death-watch.ts';
import type { GridReader, GridView } from './grid-view.ts';
import { nodeRef } from './names.ts';
import type { PushRequest } from './publisher.ts';
import type { SwapOutcome } from './settle.ts';
import type { ClaimedState, NodeState } from './state-codec.ts';
import type { StateWriter } from './state-writer.ts';

const INCARNATION_BYTES = 8;
/** Own objects that a push of unknown outcome may still bring to the ref. */
const MAX_RECENT_OWN = 32;

export type BeatOutcome =
  | 'ok'
  /** Declared dead by another node, or garbage stands in our ref: stop everything, then register anew. */
  | 'fenced'
  /** Another machine speaks under this id. */
  | 'conflict';

export type OwnRefJudgement =
  /** Nobody holds the id, or we do, or its holder signed off, or what stands there is no state of anybody. */
  | 'free'
  /** Another machine holds it and may be alive. */
  | 'foreign'
  /** Somebody holds it, and the reading brought its id without its state: a later one tells. */
  | 'unread';

export interface MembershipParts {
  nodeId: NodeId;
  machine: string;
  intervalMs: number;
  ttlMs: number;
  reader: GridReader;
  writer: StateWriter;
  push: (request: PushRequest) => Promise<SwapOutcome>;
  randomHex: RandomHex;
  emit: Emit;
  /** What people like to see of this node, asked for at every beat. */
  info: () => Record<string, unknown>;
}

export class Membership {
  readonly #parts: MembershipParts;
  #incarnation: string;
  #sequence = 0;
  #oid: Oid | null = null;
  #recentOwn: Oid[] = [];
  /** Set while a beat is under way: two at once would race each other for the same ref. */
  #beating: Promise<BeatOutcome> | null = null;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#incarnation = parts.randomHex(INCARNATION_BYTES);
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  get registered(): boolean {
    return this.#oid !== null;
  }

  judgeOwnRef(view: GridView): OwnRefJudgement {
    const known = view.nodes.get(this.#parts.nodeId);
    if (!known) return 'free';
    if (known.state === null) return 'unread';
    // Of a newer worker. What nobody can read, nobody lives under: its beats would fail as ours do.
    if (known.state.kind !== 'state') return known.state.kind === 'unreadable' ? 'free' : 'foreign';
    const { state, machine } = known.state.state;
    return machine === this.#parts.machine || state !== 'alive' ? 'free' : 'foreign';
  }

  /**
   * Takes the id: from nothing, from this machine's earlier incarnation, or from a foreign one that was judged dead or
   * signed off. Push it in the same turn as the adoption of claims.
   * @returns false when somebody else was quicker.
   * @throws GitError
   */
  async register(view: GridView): Promise<boolean> {
    const from = view.nodes.get(this.#parts.nodeId)?.oid ?? null;
    const outcome = await this.#swapOwn(from, 'alive', 'swap.register');
    if (outcome.kind === 'refused') throw refusal(outcome);
    if (outcome.kind !== 'won') return false;
    this.#parts.emit('node.registered', {
      incarnation: this.#incarnation,
      ref: nodeRef(this.#parts.reader.namespace, this.#parts.nodeId),
    });
    return true;
  }

  /** A new incarnation: all claims of the old one are orphans from the moment it is registered. */
  renew(): void {
    this.#incarnation = this.#parts.randomHex(INCARNATION_BYTES);
    this.#sequence = 0;
    this.#oid = null;
  }

  /** Before it registers: an incarnation that was declared dead, or signed off, never comes back. */
  renewIfEnded(view: GridView): void {
    const known = view.nodes.get(this.#parts.nodeId)?.state;
    const own = known?.kind === 'state' && known.state.incarnation === this.#incarnation ? known.state : null;
    if (own && own.state !== 'alive') this.renew();
  }

  /** @throws GitError when nothing certain is known; the next beat sorts it out. */
  beat(): Promise<BeatOutcome> {
    this.#beating ??= this.#beatOnce().finally(() => {
      this.#beating = null;
    });
    return this.#beating;
  }

  /** Tells the grid that this node will not come back by itself. @throws GitError */
  async goodbye(): Promise<void> {
    await this.#beating?.catch(() => undefined);
    if (this.#oid === null) return;
    const outcome = await this.#swapOwn(this.#oid, 'stopped', 'swap.goodbye');
    if (outcome.kind === 'won') this.#parts.emit('node.goodbye');
  }

  /**
   * Claims whose owner can no longer deliver: its ref is gone, stopped, fenced, or shows another incarnation. An owner
   * whose state can't be read, or has a newer format, is left alone.
   */
  isOrphan(view: GridView, claim: ClaimedState): boolean {
    if (claim.nodeId === this.#parts.nodeId && claim.incarnation === this.#incarnation) return false;
    const owner = view.nodes.get(claim.nodeId);
    if (!owner) return true;
    if (owner.state?.kind !== 'state') return false;
    return owner.state.state.state !== 'alive' || owner.state.state.incarnation !== claim.incarnation;
  }

  /** Declares the dead owners of claims dead, one swap each. @returns whether there were any @throws GitError */
  async fenceDead(view: GridView, watch: DeathWatch): Promise<boolean> {
    const owners = new Set<NodeId>();
    for (const { state } of view.tasks.values()) {
      if (state?.kind === 'state' && state.state.state === 'claimed') owners.add(state.state.nodeId);
    }
    owners.delete(this.#parts.nodeId);
    const fenced = await Promise.all([...owners].map((owner) => this.fenceIfDead(view, watch, owner)));
    return fenced.includes(true);
  }

  /** Declares a node dead, also one that has our own id on another machine. @returns whether it did @throws GitError */
  async fenceIfDead(view: GridView, watch: DeathWatch, id: NodeId): Promise<boolean> {
    const known = view.nodes.get(id);
    if (known?.state?.kind !== 'state' || known.state.state.state !== 'alive') return false;
    const alive = known.state.state;
    if (!watch.isDead(id, alive.ttlMs)) return false;
    const written = this.#parts.writer.node({ ...alive, state: 'fenced', fencedBy: this.#parts.nodeId });
    this.#parts.reader.remember(written.commit, written.state);
    const ref = nodeRef(this.#parts.reader.namespace, id);
    const outcome = await this.#parts.push({
      swap: { ref, from: known.oid, to: written.commit.oid },
      objects: written.objects,
      step: 'swap.fence',
    });
    if (outcome.kind === 'won') {
      this.#parts.emit('node.dead', {
        dead_node: id,
        incarnation: alive.incarnation,
        unchanged_ms: watch.unchangedMs(id),
      });
    }
    return outcome.kind === 'won';
  }

  async #beatOnce(): Promise<BeatOutcome> {
    if (this.#oid === null) return 'fenced';
    const outcome = await this.#swapOwn(this.#oid, 'alive', 'swap.beat');
    if (outcome.kind === 'won') {
      this.#parts.emit('node.heartbeat', { sequence: this.#sequence });
      return 'ok';
    }
    if (outcome.kind === 'refused') throw refusal(outcome);
    let { current } = outcome;
    if (current === null) {
      // Somebody deleted the ref by hand, or the listing is from before it was there: the swap tells.
      // While it was gone our claims counted as orphans: their swaps will tell, too.
      const again = await this.#swapOwn(null, 'alive', 'swap.beat');
      if (again.kind === 'won') return 'ok';
      if (again.kind === 'refused') throw refusal(again);
      current = again.current;
      if (current === null) throw new GitError('network', 'push', 'the ref of this node is there, and is not listed');
    }
    if (this.#recentOwn.includes(current)) {
      // An earlier beat of ours, believed lost, arrived after all.
      this.#oid = current;
      return 'ok';
    }
    const view = await this.#parts.reader.refresh({ nodes: 'all' });
    const known = view.nodes.get(this.#parts.nodeId);
    if (!known?.state) throw new GitError('network', 'fetch', 'the state of this node moved while it was read');
    const state = known.state.kind === 'state' ? known.state.state : null;
    if (known.state.kind === 'unreadable') return 'fenced';
    if (state?.machine === this.#parts.machine || state?.state === 'fenced') return 'fenced';
    return 'conflict';
  }

  async #swapOwn(from: Oid | null, state: NodeState['state'], step: SwapStep): Promise<SwapOutcome> {
    const parts = this.#parts;
    this.#sequence += 1;
    const written = parts.writer.node({
      state,
      nodeId: parts.nodeId,
      incarnation: this.#incarnation,
      machine: parts.machine,
      sequence: this.#sequence,
      intervalMs: parts.intervalMs,
      ttlMs: parts.ttlMs,
      fencedBy: null,
      info: parts.info(),
    });
    this.#recentOwn = [...this.#recentOwn, written.commit.oid].slice(-MAX_RECENT_OWN);
    parts.reader.remember(written.commit, written.state);
    const ref = nodeRef(parts.reader.namespace, parts.nodeId);
    const outcome = await parts.push({
      swap: { ref, from, to: written.commit.oid },
      objects: written.objects,
      step,
    });
    if (outcome.kind === 'won') this.#oid = written.commit.oid;
    return outcome;
  }
}

/** A locked ref says nothing about what the host allows: it is waited for. */
function refusal(outcome: Extract<SwapOutcome, { kind: 'refused' }>): Error {
  return outcome.lasting
    ? new RegistrationRefusedError(outcome.reason)
    : new GitError('locked', 'push', `the ref of this node could not be moved: ${outcome.reason}`);
}

/** The host refuses the node's ref: a matter of the namespace or of permissions. */
export class RegistrationRefusedError extends Error {
  override readonly name = 'RegistrationRefusedError';
}
