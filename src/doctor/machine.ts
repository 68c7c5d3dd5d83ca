/** This machine: how full everything is, and whether its memory does for the tasks that it may run at once. */
import type { Settings } from '../config/settings.ts';
import type { EngineInfo } from '../executor/executor.ts';
import { resumePercentOf } from '../host/admission.ts';
import { Sensors } from '../host/sensors.ts';
import type { Clock } from '../runtime.ts';
import { type CheckResult, ok, warning } from './check.ts';

const MIB = 1024 ** 2;

/** Pure. */
export function checkTaskMemory(settings: Settings, { memoryBytes }: Pick<EngineInfo, 'memoryBytes'>): CheckResult {
  const { docker, maxParallelTasks: slots, memoryReserveBytes } = settings;
  const check = 'memory for tasks';
  const wanted = slots * docker.memoryBytes + memoryReserveBytes;
  const finding =
    `${slots} × ${Math.round(docker.memoryBytes / MIB)} MiB and ${Math.round(memoryReserveBytes / MIB)} MiB in reserve, ` +
    `of ${Math.round(memoryBytes / MIB)} MiB`;
  // An engine that does not say has told of nothing that is short.
  if (memoryBytes === 0 || wanted <= memoryBytes) return ok(check, finding);
  const remedy = 'lower MAX_PARALLEL_TASKS or DOCKER_MEMORY';
  return warning(check, `${finding}: so many tasks of full size never run at once, some wait`, remedy);
}

/** @param info of the engine, where it could be asked */
export async function* checkGauges(
  settings: Settings,
  info: EngineInfo | null,
  clock: Clock,
): AsyncGenerator<CheckResult> {
  yield* judgeReading(await new Sensors({ clock }).read(diskPaths(settings, info)), settings);
}

function diskPaths({ stateDir }: Settings, info: EngineInfo | null): string[] {
  return info?.dataRoot ? [stateDir, info.dataRoot] : [stateDir];
}

function* judgeReading(reading: Awaited<ReturnType<Sensors['read']>>, settings: Settings): Generator<CheckResult> {
  const gauges = [
    { check: 'cpu', percent: reading.cpuPercent, max: settings.maxCpuPercent, setting: 'MAX_CPU_PERCENT' },
    {
      check: 'memory',
      percent: reading.memory?.usedPercent ?? null,
      max: settings.maxMemoryPercent,
      setting: 'MAX_MEMORY_PERCENT',
    },
    ...reading.disks.map(({ path, disk }) => ({
      check: `disk ${path}`,
      percent: disk?.usedPercent ?? null,
      max: settings.maxDiskPercent,
      setting: 'MAX_DISK_PERCENT',
    })),
  ];
  for (const { check, percent, max, setting } of gauges) {
    if (percent === null) {
      const why = reading.failures.find(
        ({ sensor }) => sensor === check || check.endsWith(sensor.replace('disk:', '')),
      );
      yield { check, outcome: 'warning', finding: `cannot be read: ${why?.reason ?? 'no reason given'}`, remedy: null };
    } else if (percent > max) {
      const finding = `${percent.toFixed(1)} % used, claiming pauses above ${max} % and resumes below ${resumePercentOf(max)} %`;
      yield { check, outcome: 'warning', finding, remedy: `free some, or raise ${setting}` };
    } else yield ok(check, `${percent.toFixed(1)} % used, claiming pauses above ${max} %`);
  }
}
