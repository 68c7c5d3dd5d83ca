/**
 * Which limits an engine would leave away. An engine without rights to the kernel's cgroups (rootless, on cgroup v1 or
 * without delegation) takes a request with limits, and drops them with no more than a remark. Pure.
 */
import type { TaskLimit } from '../executor.ts';

/** Of the engine's description of itself. What an engine does not mention it is taken to have. */
export interface LimitFacts {
  CgroupDriver?: string;
  CgroupVersion?: string;
  MemoryLimit?: boolean;
  CpuCfsQuota?: boolean;
  PidsLimit?: boolean;
  SecurityOptions?: readonly string[] | null;
  /** Of Podman, which does not put it among the security options. */
  Rootless?: boolean;
}

const ALL: readonly TaskLimit[] = ['memory', 'cpus', 'pids'];

export function missingLimits(facts: LimitFacts): TaskLimit[] {
  const isRootless =
    facts.Rootless === true || facts.SecurityOptions?.some((option) => /(^|,)name=rootless(,|$)/.test(option)) === true;
  // On cgroup v1 nothing can be delegated to an ordinary user, whatever the kernel itself could do.
  if (facts.CgroupDriver === 'none' || (isRootless && facts.CgroupVersion === '1')) return [...ALL];
  const has = { memory: facts.MemoryLimit, cpus: facts.CpuCfsQuota, pids: facts.PidsLimit };
  return ALL.filter((limit) => has[limit] === false);
}
