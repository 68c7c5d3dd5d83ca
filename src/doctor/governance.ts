/** What this machine has to keep itself well with: pressure, weights, and the hours in which it may work. */
import { formatHours } from '../config/active-hours.ts';
import type { Settings } from '../config/settings.ts';
import type { EngineInfo } from '../executor/executor.ts';
import { type PressureReading, readPressure } from '../host/pressure.ts';
import { isActive, machineLocalTime, nextChangeMs, shortTime } from '../host/working-time.ts';
import type { Clock } from '../runtime.ts';
import { type CheckResult, messageOf, ok, warning } from './check.ts';

export async function checkPressure(settings: Settings): Promise<CheckResult> {
  try {
    return judgePressure(await readPressure(), settings);
  } catch (error) {
    return warning('pressure', messageOf(error), null);
  }
}

export function judgePressure({ cpu, io, memory }: PressureReading, settings: Settings): CheckResult {
  const check = 'pressure';
  const watched: [name: string, percent: number | null, max: number][] = [
    ['processors', cpu, settings.maxCpuPressure],
    ['memory', memory, settings.maxMemoryPressure],
    ['disks', io, settings.maxIoPressure],
  ];
  if (watched.every(([, percent]) => percent === null)) {
    return ok(check, 'not counted by this kernel, so it pauses nothing (psi=1 on the kernel’s command line counts it)');
  }
  const figures = watched.map(([name, percent, max]) => {
    const limit = max === 0 ? 'not looked at' : `pauses above ${max} %`;
    return percent === null ? `${name} not counted` : `${name} ${percent.toFixed(1)} % (${limit})`;
  });
  const finding = figures.join(', ');
  const isAbove = watched.some(([, percent, max]) => percent !== null && max > 0 && percent > max);
  return isAbove ? warning(check, finding, 'wait, or raise the MAX_…_PRESSURE that it is above') : ok(check, finding);
}

export function checkWeight({ docker }: Settings, { cgroupVersion, weighsCpus }: EngineInfo): CheckResult {
  const check = 'task weight';
  const weight = `${docker.cpuShares} shares`;
  if (weighsCpus === false) {
    const remedy = 'let the engine use the cgroup controller cpu';
    return warning(check, `the engine cannot give tasks a weight: DOCKER_CPU_SHARES has no effect`, remedy);
  }
  const by = cgroupVersion === '1' ? ' (cpu.shares)' : cgroupVersion === '2' ? ' (cpu.weight)' : '';
  return ok(check, `${weight}, where others have 1024, by cgroup v${cgroupVersion}${by}`);
}

/** Which zone `ACTIVE_HOURS` and everything else that people read here goes by. */
export function checkTimeZone({ activeHours }: Pick<Settings, 'activeHours'>, env: NodeJS.ProcessEnv): CheckResult {
  const check = 'time zone';
  const asked = env['TZ'];
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (asked !== undefined && asked !== '' && !isZone(asked)) {
    const effect = activeHours === null ? '' : ', and ACTIVE_HOURS goes by that';
    const remedy = 'set TZ to a name such as Europe/Berlin, or unset it';
    return warning(check, `TZ=${asked} is no zone that is known here: ${zone} is used${effect}`, remedy);
  }
  return ok(check, zone);
}

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** null: there are none. */
export function checkHours(
  { activeHours }: Settings,
  clock: Clock,
  localTimeOf = machineLocalTime,
): CheckResult | null {
  if (activeHours === null) return null;
  const check = 'active hours';
  const nowMs = clock.wallMs();
  const now = localTimeOf(nowMs);
  const changesMs = nextChangeMs(activeHours, nowMs, localTimeOf);
  const change = changesMs === null ? '' : ` until ${shortTime(localTimeOf(changesMs))}`;
  const isOn = isActive(activeHours, now);
  const finding = `${formatHours(activeHours)}: at ${shortTime(now)} the worker ${isOn ? 'takes tasks' : 'takes none'}${change}`;
  return isOn ? ok(check, finding) : warning(check, finding, null);
}
