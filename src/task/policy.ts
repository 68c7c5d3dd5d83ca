/** What the operator of a node allows. A task beyond it is well formed, but `rejected`. */
import { formatMemorySize } from './memory-size.ts';
import type { TaskSpec } from './spec.ts';
import { quote } from './strict-json.ts';

export interface TaskPolicy {
  allowsImage(name: string): boolean;
  allowsNetwork(name: string): boolean;
  maxCpus: number;
  maxMemoryBytes: number;
  maxTimeoutMs: number;
}

/** @returns one line for each field beyond what is allowed: the field, its value, the cap and the remedy. */
export function checkAgainstPolicy(spec: TaskSpec, policy: TaskPolicy): string[] {
  return examineAgainstPolicy(spec, policy).map(({ field, text }) => `${field}: ${text}`);
}

/** The same, with the field apart. */
export function examineAgainstPolicy(spec: TaskSpec, policy: TaskPolicy): { field: string; text: string }[] {
  const problems: { field: string; text: string }[] = [];
  if (spec.image !== null && !policy.allowsImage(spec.image)) {
    problems.push({
      field: 'image',
      text: `${quote(spec.image)} is not on the operator's list (ALLOWED_IMAGES); use one that is, or leave image out`,
    });
  }
  if (spec.network !== null && !policy.allowsNetwork(spec.network)) {
    problems.push({
      field: 'network',
      text: `${quote(spec.network)} is not on the operator's list (ALLOWED_NETWORKS); use one that is, or leave network out`,
    });
  }
  if (spec.secrets.length > 0 && spec.program.kind === 'command') {
    problems.push({
      field: 'secrets',
      text: 'can be handed to a script only; write the command as a script, or leave secrets out',
    });
  }
  const caps = [
    { field: 'cpus', value: spec.cpus, cap: policy.maxCpus, setting: 'DOCKER_CPUS', show: String },
    {
      field: 'memory',
      value: spec.memoryBytes,
      cap: policy.maxMemoryBytes,
      setting: 'DOCKER_MEMORY',
      show: formatMemorySize,
    },
    {
      field: 'timeout_seconds',
      value: spec.timeoutMs,
      cap: policy.maxTimeoutMs,
      setting: 'DOCKER_TIMEOUT',
      show: (ms: number) => String(ms / 1000),
    },
  ];
  for (const { field, value, cap, setting, show } of caps) {
    if (value !== null && value > cap) {
      problems.push({
        field,
        text: `${show(value)} is above the operator's cap of ${show(cap)} (${setting}); ask for ${show(cap)} or less`,
      });
    }
  }
  return problems;
}
