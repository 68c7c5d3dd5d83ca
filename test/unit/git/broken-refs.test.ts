import { describe, expect, it } from 'vitest';
import { BrokenRefs, explainBrokenListing, objectRefused, refsBlamed } from '../../../src/git/broken-refs.ts';
import { GitError } from '../../../src/git/errors.ts';
import { refName } from '../../../src/git/oid.ts';
import { tellsOfLock } from '../../../src/git/push-report.ts';
import { recordEvents } from '../../support/recorded-events.ts';

const A = refName('refs/heads/a');
const B = refName('refs/tags/b');

describe('broken refs of the remote', () => {
  it('are told once for each set, and once that it is over', () => {
    const events = recordEvents();
    const broken = new BrokenRefs(events.emit);
    broken.pushed();
    expect(broken.found('push', [A])).toMatchObject({
      kind: 'corrupt-remote',
      message: expect.stringContaining('git fsck'),
    });
    broken.found('ls-remote', [A]);
    broken.found('ls-remote', [A, B]);
    broken.pushed();
    broken.pushed();
    expect(events.all.map(({ name }) => name)).toEqual(['remote.broken', 'remote.broken', 'remote.mended']);
    expect(events.named('remote.broken')[1]).toMatchObject({ refs: [A, B] });
  });

  it('are those that the remote blames, not those of our own mirror', () => {
    const said = [
      'remote: fatal: bad object refs/tags/b        ',
      'fatal: bad object refs/tags/b',
      'fatal: bad object refs/remote/heads/main',
    ].join('\n');
    expect(refsBlamed(said, 'refs/remote/')).toEqual([B]);
    expect(refsBlamed('everything up-to-date', 'refs/remote/')).toEqual([]);
  });

  it('show in a fetch as an object that is not there', () => {
    const id = '1'.repeat(40);
    expect(objectRefused(`fatal: remote error: upload-pack: not our ref ${id}`)).toBe(id);
    expect(objectRefused('fatal: early EOF')).toBeNull();
  });

  it('make a listing break off, which is explained', () => {
    const cut = new GitError('network', 'ls-remote', 'fatal: expected flush after ref listing');
    expect(explainBrokenListing(cut)).toMatchObject({
      kind: 'network',
      message: expect.stringContaining('packed-refs'),
    });
    const other = new GitError('network', 'ls-remote', 'fatal: early EOF');
    expect(explainBrokenListing(other)).toBe(other);
  });

  it('are not the same as locked ones', () => {
    for (const reason of ['failed to update ref', "cannot lock ref 'refs/x'", 'failed to lock']) {
      expect(tellsOfLock(reason), reason).toBe(true);
    }
    for (const reason of ['stale info', 'fetch first', 'hook declined'])
      expect(tellsOfLock(reason), reason).toBe(false);
  });
});
