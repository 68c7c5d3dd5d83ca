import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DamagedObjectError, parseObjectBatch } from '../../../src/git/object-batch.ts';
import { makeBlob } from '../../../src/git/objects.ts';
import { parsePushReport } from '../../../src/git/push-report.ts';
import { parseListing, parseTrace } from '../../../src/git/ref-listing.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);

describe('parseListing', () => {
  it('keeps what is under the prefixes, and finds the branch of HEAD', () => {
    const output = [
      'ref: refs/heads/main\tHEAD',
      `${A}\tHEAD`,
      `${A}\trefs/heads/main`,
      `${B}\trefs/heads/mainly`,
      `${B}\trefs/tags/v1`,
      `${A}\trefs/tags/v1^{}`,
      `${B}\trefs/remotes/x/HEAD`,
      'ref: refs/heads/other\trefs/remotes/x/HEAD',
      'warning: nonsense',
      '',
    ].join('\n');
    const listing = parseListing(output, ['refs/heads/main', 'refs/tags/']);
    expect([...listing.refs]).toEqual([
      ['refs/heads/main', A],
      ['refs/heads/mainly', B],
      ['refs/tags/v1', B],
    ]);
    expect(listing).toMatchObject({ headBranch: 'refs/heads/main', format: 'sha1', broken: [] });
  });

  it('knows SHA-256 by its length, and refs that the remote cannot read by their zeros', () => {
    const listing = parseListing(`${'c'.repeat(64)}\trefs/x/a\n${'0'.repeat(64)}\trefs/x/b\n`, ['refs/x/']);
    expect(listing).toMatchObject({ format: 'sha256', headBranch: null, broken: ['refs/x/b'] });
    expect(listing.refs.size).toBe(1);
  });
});

describe('parseTrace', () => {
  const line = (text: string) => `00:52:41.567767 pkt-line.c:80           packet:    ls-remote< ${text}`;

  it('finds format and HEAD of an empty repository', () => {
    const trace = [line('version 2'), line('object-format=sha256'), line('unborn HEAD symref-target:refs/heads/trunk')];
    expect(parseTrace(trace.join('\n'))).toEqual({ spoken: true, format: 'sha256', unbornHead: 'refs/heads/trunk' });
  });

  it('understands the older protocol', () => {
    const trace = line(
      `${'0'.repeat(40)} capabilities^{}\\0 include-tag multi_ack_detailed object-format=sha1 agent=git/2.20`,
    );
    expect(parseTrace(trace)).toEqual({ spoken: true, format: 'sha1', unbornHead: null });
  });

  it('is not taken in by what is no packet', () => {
    expect(parseTrace('version 2\nobject-format=sha256\n')).toEqual({ spoken: false, format: null, unbornHead: null });
  });
});

describe('parsePushReport', () => {
  const report = (flag: string, summary: string) =>
    parsePushReport(`To h\n${flag}\t${A}:refs/x/a\t${summary}\nDone\n`).get('refs/x/a' as never);

  it.each([
    [' ', '4839124..21bf9c2', 'applied'],
    ['*', '[new reference]', 'applied'],
    ['+', '4839124...21bf9c2 (forced update)', 'applied'],
    ['-', '[deleted]', 'applied'],
    ['=', '[up to date]', 'unclear'],
    ['!', '[rejected] (stale info)', 'rejected'],
    ['!', '[rejected] (fetch first)', 'rejected'],
    ['!', '[remote rejected] (failed to update ref)', 'rejected'],
    ['!', '[remote rejected] (incorrect old value provided)', 'rejected'],
    ['!', `[remote rejected] (cannot lock ref 'refs/x/a': is at ${B} but expected ${A})`, 'rejected'],
    ['!', '[remote rejected] (reference already exists)', 'rejected'],
    ['!', '[remote rejected] (pre-receive hook declined)', 'refused'],
    ['!', '[remote rejected] (protected branch hook declined)', 'refused'],
    ['!', '[remote rejected] (deny updating a hidden ref)', 'refused'],
    ['!', '[remote rejected] (deletion prohibited)', 'refused'],
    ['!', '[remote rejected] (non-fast-forward)', 'refused'],
    ['!', '[remote rejected] (shallow update not allowed)', 'refused'],
    ['!', '[remote rejected] (funny refname)', 'refused'],
    ['!', '[remote rejected] (missing necessary objects)', 'unclear'],
    ['!', '[remote rejected] (unpacker error)', 'unclear'],
    ['!', '[remote rejected] (internal server error)', 'unclear'],
    ['!', '[remote failure] (remote failed to report status)', 'unclear'],
    ['?', 'something new', 'unclear'],
  ])('%s %s is %s', (flag, summary, kind) => {
    expect(report(flag, summary)).toMatchObject({ kind });
  });

  it('finds the ref of a deletion, and takes nothing else for a line', () => {
    const output = `To h:x\ty\n-\t:refs/x/a\t[deleted]\n!\t(delete):refs/x/b\t[rejected] (stale info)\nDone\nEverything up-to-date\n`;
    expect([...parsePushReport(output).keys()]).toEqual(['refs/x/a', 'refs/x/b']);
  });
});

describe('parseObjectBatch', () => {
  const print = (contents: readonly Uint8Array[]) =>
    Buffer.concat(
      contents.flatMap((content) => {
        const blob = makeBlob(content, 'sha1');
        return [Buffer.from(`${blob.oid} blob ${content.length}\n`), Buffer.from(content), Buffer.from('\n')];
      }),
    );

  it('reads back any bytes, and says what is missing', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (contents) => {
        const output = Buffer.concat([print(contents), Buffer.from(`${B} missing\n`)]);
        const { objects, missing } = parseObjectBatch(output, 'sha1');
        expect(missing).toEqual([B]);
        for (const content of contents) {
          expect(objects.get(makeBlob(content, 'sha1').oid)?.content).toEqual(Buffer.from(content));
        }
      }),
    );
  });

  it('trusts no answer that breaks off or has a flipped bit', () => {
    const whole = print([Buffer.from('hello'), Buffer.from('world')]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: whole.length - 1 }), (length) => {
        const boundary = whole.length / 2;
        fc.pre(length !== boundary);
        expect(() => parseObjectBatch(whole.subarray(0, length), 'sha1')).toThrow(DamagedObjectError);
      }),
    );
    const flipped = Buffer.from(whole);
    const at = flipped.indexOf('hello');
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    expect(() => parseObjectBatch(flipped, 'sha1')).toThrow(/another id/);
  });
});
