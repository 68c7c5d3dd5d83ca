import { describe, expect, it } from 'vitest';
import { type LimitFacts, missingLimits } from '../../../../src/executor/docker/engine-limits.ts';

const ALL = ['memory', 'cpus', 'pids'];
const ABLE: LimitFacts = {
  CgroupDriver: 'cgroupfs',
  CgroupVersion: '1',
  MemoryLimit: true,
  CpuCfsQuota: true,
  PidsLimit: true,
  SecurityOptions: ['name=seccomp,profile=default'],
};

describe('limits that an engine leaves away', () => {
  it.each<[string, LimitFacts, string[]]>([
    ['none, as root', ABLE, []],
    ['none, of an engine that says nothing', {}, []],
    ['all, without any cgroups', { ...ABLE, CgroupDriver: 'none' }, ALL],
    ['all, rootless on cgroup v1', { ...ABLE, SecurityOptions: ['name=seccomp', 'name=rootless'] }, ALL],
    ['all, rootless on cgroup v1, in the words of Podman', { ...ABLE, Rootless: true }, ALL],
    ['all, rootless on cgroup v1, in one word with others', { ...ABLE, SecurityOptions: ['name=rootless,a=b'] }, ALL],
    [
      'none, rootless on cgroup v2 with delegation',
      { ...ABLE, CgroupVersion: '2', CgroupDriver: 'systemd', SecurityOptions: ['name=rootless'] },
      [],
    ],
    [
      'what was not delegated',
      { ...ABLE, CgroupVersion: '2', CgroupDriver: 'systemd', SecurityOptions: ['name=rootless'], CpuCfsQuota: false },
      ['cpus'],
    ],
    ['memory, where the kernel was started without it', { ...ABLE, MemoryLimit: false }, ['memory']],
    ['processes', { ...ABLE, PidsLimit: false }, ['pids']],
    ['none, of a security option with such a word in it', { ...ABLE, SecurityOptions: ['name=not-rootless'] }, []],
    ['none, without security options', { ...ABLE, SecurityOptions: null }, []],
  ])('%s', (_, facts, missing) => {
    expect(missingLimits(facts)).toEqual(missing);
  });
});
