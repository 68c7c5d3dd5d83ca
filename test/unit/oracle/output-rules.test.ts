import { beforeEach, describe, expect, it } from 'vitest';
import { type GitObject, makeCommit, makeTree } from '../../../src/git/objects.ts';
import { outputRef } from '../../../src/ledger/names.ts';
import { encodeOutputState } from '../../../src/ledger/output-codec.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { checkHistory } from '../../support/oracle/check.ts';
import { HistoryBuilder } from '../../support/oracle/history-builder.ts';

const ID = taskId('one');
const REF = outputRef('refs/dgrid', ID);
const NOBODY = { name: 'nobody', email: 'nobody@example.org', seconds: 0 };

let grid: HistoryBuilder;
let drawn = 0;

beforeEach(() => {
  grid = new HistoryBuilder();
  grid.beat('a');
  grid.beat('b');
  grid.queue('one');
  grid.claim('one', 'a');
});

function output(node: string, epoch: number, parents: GitObject[] = []): GitObject {
  const tree = makeTree([], 'sha1');
  const nonce = `n${(drawn += 1)}`;
  const message = encodeOutputState({
    state: 'open',
    taskId: ID,
    nodeId: nodeId(node),
    incarnation: `${node}-1`,
    epoch,
    attempt: 1,
    nonce,
  });
  const ids = parents.map(({ oid }) => oid);
  const commit = makeCommit({ tree: tree.oid, parents: ids, author: NOBODY, committer: NOBODY, message }, 'sha1');
  grid.add(tree, commit);
  grid.move(REF, commit.oid);
  return commit;
}

const broken = (): string[] => [...new Set(checkHistory(grid.build()).map(({ rule }) => rule))];

describe('live output', () => {
  it('passes under a claim, also under the next one, and when it goes', () => {
    output('a', 1);
    output('a', 1);
    grid.state('one', 'a', 'waiting', { waitReason: 'handed-back' });
    grid.claim('one', 'b');
    output('b', 2);
    grid.remove(REF);
    expect(broken()).toEqual([]);
  });

  it('is of a claim that stood', () => {
    output('b', 1);
    expect(broken()).toEqual(['output']);
  });

  it('never goes back behind a later claim', () => {
    output('a', 1);
    grid.state('one', 'a', 'waiting', { waitReason: 'handed-back' });
    grid.claim('one', 'b');
    output('b', 2);
    output('a', 1);
    expect(broken()).toEqual(['output']);
  });

  it('is no chain, and can be read', () => {
    output('a', 1, [output('a', 1)]);
    expect(broken()).toEqual(['output']);
    grid.move(REF, grid.blob('damage'));
    expect(checkHistory(grid.build()).filter(({ message }) => message.includes('cannot be read'))).toHaveLength(1);
  });
});
