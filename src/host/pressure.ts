/**
 * Pressure as the kernel counts it: the share of the last ten seconds in which somebody had to wait for a processor, for
 * memory, or for a disk. Kernels before 4.20 do not count it, others only when they are told to: that is no failure.
 */
import { readFile } from 'node:fs/promises';

export interface PressureReading {
  /** Percent; null where the kernel does not count it. */
  cpu: number | null;
  memory: number | null;
  io: number | null;
}

export const NO_PRESSURE: PressureReading = { cpu: null, memory: null, io: null };

const DIRECTORY = '/proc/pressure';
/** The file is not there, or is and cannot be opened because counting is switched off. */
const UNCOUNTED: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'EOPNOTSUPP', 'ENOTSUP']);

/** @throws when the kernel counts, and its figures cannot be read. */
export async function readPressure(directory = DIRECTORY): Promise<PressureReading> {
  const read = async (name: string): Promise<number | null> => {
    try {
      return parsePressure(await readFile(`${directory}/${name}`, 'utf8'));
    } catch (error) {
      if (UNCOUNTED.has((error as NodeJS.ErrnoException).code)) return null;
      throw error;
    }
  };
  const [cpu, memory, io] = await Promise.all([read('cpu'), read('memory'), read('io')]);
  return { cpu, memory, io };
}

/** The average of the last ten seconds during which at least one had to wait. @throws when the text has another form */
export function parsePressure(text: string): number {
  const figure = Number(/^some avg10=(\d+(?:\.\d+)?)(?: |$)/m.exec(text)?.[1] ?? Number.NaN);
  if (!(figure >= 0 && figure <= 100)) throw new Error('the kernel tells pressure in another form than known');
  return figure;
}
