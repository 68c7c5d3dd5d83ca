/**
 * A stable id of this machine and state directory, so that two workers with the same node id notice each other.
 *
 * Made of two halves, because each alone falls short: clones of one disk image share `/etc/machine-id`, containers often
 * have none or all the same; and a state directory may be copied to another machine with everything in it. A machine
 * cloned whole, directory included, cannot be told from its original this way.
 */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RandomHex } from '../runtime.ts';
import { durably, type StepParts } from '../steps.ts';
import { readStateFile, writeStateFile } from './state-file.ts';

export interface MachineIdOptions extends StepParts {
  stateDir: string;
  randomHex: RandomHex;
  /** Where systemd keeps the machine's id. */
  machineIdPath?: string;
}

const DEFAULT_MACHINE_ID_PATH = '/etc/machine-id';
const FILE_NAME = 'machine-id';
const RANDOM_BYTES = 16;
const HEX_ID = /^[0-9a-f]{32}$/;
/** Part of what is hashed, so that the same machine's ids in other programs cannot be matched with ours. */
const PURPOSE = 'd-grid machine id, version 1';

/**
 * Call it while holding the instance lock: two that start at once could otherwise each make up a directory's half.
 * @returns 32 lower-case hexadecimal digits.
 * @throws StateFileError when the directory's half can be neither read nor saved.
 */
export async function machineId(options: MachineIdOptions): Promise<string> {
  const ofDirectory = await directoryId(join(options.stateDir, FILE_NAME), options);
  const ofMachine = await systemMachineId(options.machineIdPath ?? DEFAULT_MACHINE_ID_PATH);
  return idOf(ofDirectory, ofMachine);
}

/** The id that `machineId` would give; null while the directory has no half of it. @throws StateFileError */
export async function knownMachineId(stateDir: string): Promise<string | null> {
  const saved = await readStateFile(join(stateDir, FILE_NAME), 1024);
  const text = saved?.bytes ? Buffer.from(saved.bytes).toString('utf8').trim() : '';
  return HEX_ID.test(text) ? idOf(text, await systemMachineId(DEFAULT_MACHINE_ID_PATH)) : null;
}

function idOf(ofDirectory: string, ofMachine: string | null): string {
  // machine-id(5): the id is confidential, publish it only hashed with a key of the application's own.
  return createHmac('sha256', ofMachine ?? '')
    .update(`${PURPOSE}\n${ofDirectory}`)
    .digest('hex')
    .slice(0, 32);
}

async function directoryId(path: string, options: MachineIdOptions): Promise<string> {
  const saved = await readStateFile(path, 1024);
  const text = saved?.bytes ? Buffer.from(saved.bytes).toString('utf8').trim() : '';
  if (HEX_ID.test(text)) return text;
  // There is nothing to save in a damaged one: to the others this is simply a new machine.
  const fresh = options.randomHex(RANDOM_BYTES);
  await durably(options, 'machine-id.save', { path }, () => writeStateFile(path, `${fresh}\n`));
  return fresh;
}

/** null where there is none: not systemd, an image not yet booted ("uninitialized"), a bare container. */
async function systemMachineId(path: string): Promise<string | null> {
  try {
    const text = (await readFile(path, 'utf8')).trim().toLowerCase();
    return HEX_ID.test(text) ? text : null;
  } catch {
    return null;
  }
}
