import { describe, expect, it } from 'vitest';
import { parseFetchCapabilities, parsePushCapabilities } from '../../../src/git/capabilities.ts';

const trace = (...packets: string[]): string =>
  packets.map((packet) => `01:40:32.404525 pkt-line.c:80           packet:    ${packet}`).join('\n');
const ID = '6d645f001c6299248b8144792f625e91c25838f7';

describe('capabilities', () => {
  it('of version 2 come a line each, and those that our side sends do not count', () => {
    const text = trace(
      'upload-pack> version 2',
      'ls-remote< version 2',
      'ls-remote< agent=git/2.39.5',
      'upload-pack< object-format=sha256',
      'ls-remote< fetch=shallow wait-for-done filter',
      'ls-remote< object-format=sha1',
    );
    expect(parseFetchCapabilities(text)).toEqual({
      protocol: 2,
      format: 'sha1',
      shallow: true,
      filter: true,
      agent: 'git/2.39.5',
    });
  });

  it('of older versions stand behind the first ref', () => {
    const line = `ls-remote< ${ID} HEAD\\0multi_ack shallow object-format=sha1 agent=git/2.39.5`;
    const old = { format: 'sha1', shallow: true, filter: false, agent: 'git/2.39.5' };
    expect(parseFetchCapabilities(trace(line))).toEqual({ ...old, protocol: 0 });
    expect(parseFetchCapabilities(trace('ls-remote< version 1', line))).toEqual({ ...old, protocol: 1 });
  });

  it('of a push stand behind the first ref too, also where there is none', () => {
    const words = parsePushCapabilities(
      trace(`push< ${'0'.repeat(40)} capabilities^{}\\0report-status delete-refs atomic`, 'push< 0000'),
    );
    expect([...(words ?? [])]).toEqual(['report-status', 'delete-refs', 'atomic']);
  });

  it('are not made up', () => {
    expect(parseFetchCapabilities('warning: version 2')).toBeNull();
    expect(parsePushCapabilities(trace('push< ERR no'))).toBeNull();
  });
});
