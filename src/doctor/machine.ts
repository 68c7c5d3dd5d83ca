/** This machine: git, the state directory, the clock, and how full everything is. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../config/settings.ts';
import type { EngineInfo } from '../executor/executor.ts';
import type { CliRepository } from '../git/cli-repository.ts';
import { resumePercentOf } from '../host/admission.ts';
import { Sensors } from '../host/sensors.ts';
import { writeStateFile } from '../host/state-file.ts';
import type { Clock } from '../runtime.ts';
import { broken, type CheckResult, messageOf, ok } from './check.ts';

const CLOCK_TOLERANCE_MS = 120_000;
const CLOCK_REQUEST_MS = 10_000;

export async function checkGit(repository: CliRepository): Promise<CheckResult> {
  try {
    return ok('git', `git ${await repository.gitVersion()}`);
  } catch (error) {
    return broken('git', error, 'install git 2.31 or newer and put it in PATH');
  }
}

export async function checkState({ stateDir }: Settings): Promise<CheckResult> {
  const path = join(stateDir, 'probe');
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await writeStateFile(path, 'writable\n');
    await rm(path);
    return ok('state directory', `${stateDir} can be written`);
  } catch (error) {
    return broken('state directory', error, 'make the directory writable for this user, or set DGRID_STATE_DIR');
  }
}

/** No rule of the ledger needs a right clock; people who read records do. */
export async function checkClock({ git }: Settings, clock: Clock): Promise<CheckResult> {
  const check = 'clock';
  if (!/^https?:/.test(git.repoUrl)) {
    return ok(check, `${new Date(clock.wallMs()).toISOString()} (this kind of remote does not tell its own)`);
  }
  try {
    const response = await fetch(git.repoUrl, {
      method: 'HEAD',
      redirect: 'manual',
      signal: AbortSignal.timeout(CLOCK_REQUEST_MS),
    });
    const theirMs = Date.parse(response.headers.get('date') ?? '');
    if (Number.isNaN(theirMs)) return ok(check, 'the remote does not tell its time');
    const offsetMs = clock.wallMs() - theirMs;
    if (Math.abs(offsetMs) <= CLOCK_TOLERANCE_MS)
      return ok(check, `within ${CLOCK_TOLERANCE_MS / 1000} s of the remote's`);
    const finding = `differs from the remote's by ${Math.round(offsetMs / 1000)} s; times in records will mislead people`;
    return { check, outcome: 'warning', finding, remedy: 'set the time, best by NTP' };
  } catch (error) {
    return {
      check,
      outcome: 'warning',
      finding: `the remote's time cannot be asked for: ${messageOf(error)}`,
      remedy: null,
    };
  }
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
