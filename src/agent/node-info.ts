/** What a node tells of itself with its signs of life: for people to see, it decides nothing. Pure. */
import type { Settings } from '../config/settings.ts';
import type { MachineReading } from '../host/reading.ts';
import type { TaskId } from '../task/id.ts';
import { TASK_FIELDS } from '../task/task-schema.ts';

export interface NodeInfoParts {
  settings: Pick<Settings, 'nodeName' | 'nodeLabels' | 'maxParallelTasks' | 'followOutput'>;
  version: string;
  running: readonly { task: TaskId; attempt: number }[];
  paused: readonly { reason: string; text: string }[];
  refuses: readonly Record<string, string>[];
  /** Starts left in this hour; infinite: no limit. */
  quotaLeft: number;
  /** null: nothing was measured yet. */
  reading: MachineReading | null;
  /** Of the machine, what stays the same. */
  description: Readonly<Record<string, unknown>>;
}

export function nodeInfoOf(parts: NodeInfoParts): Record<string, unknown> {
  const { settings, quotaLeft } = parts;
  const { cpuPercent, memoryPercent, diskPercent } = machineLoad(parts.reading);
  return {
    name: settings.nodeName,
    labels: settings.nodeLabels,
    version: parts.version,
    task_fields: TASK_FIELDS,
    slots: settings.maxParallelTasks,
    running: parts.running,
    paused: parts.paused,
    refuses: parts.refuses,
    follow_output: settings.followOutput,
    quota_left: Number.isFinite(quotaLeft) ? quotaLeft : null,
    cpu_percent: cpuPercent,
    memory_percent: memoryPercent,
    disk_percent: diskPercent,
    ...parts.description,
  };
}

/** In whole per cent: what comes behind the point is noise, and would be news each time. */
export interface MachineLoad {
  cpuPercent: number | null;
  memoryPercent: number | null;
  /** Of the fullest disk that the worker needs. */
  diskPercent: number | null;
}

/** @param reading null: nothing was measured yet. */
export function machineLoad(reading: MachineReading | null): MachineLoad {
  const disks = (reading?.disks ?? []).flatMap(({ disk }) => (disk ? [disk.usedPercent] : []));
  return {
    cpuPercent: whole(reading?.cpuPercent),
    memoryPercent: whole(reading?.memory?.usedPercent),
    diskPercent: disks.length > 0 ? whole(Math.max(...disks)) : null,
  };
}

function whole(percent: number | null | undefined): number | null {
  return percent === null || percent === undefined ? null : Math.round(percent);
}
