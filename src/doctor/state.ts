/** The state directory: whose it is, whether what is written there stays, how much room there is, and what lies in it. */
import { mkdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { writeStateFile } from '../host/state-file.ts';
import { lookThroughOutbox, type OutboxContents } from '../ledger/outbox.ts';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

/** A result is not acknowledged before it is synced, so each waits for this. */
const SLOW_SYNC_MS = 1_000;
const SHORT_OF_BYTES = 64 * 1024 ** 2;
const SHORT_OF_INODES = 1_000;
const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
const SHOWN_FILES = 5;

export async function* checkState({ settings, clock }: DoctorParts): AsyncGenerator<CheckResult> {
  const { stateDir } = settings;
  const path = join(stateDir, 'doctor-probe');
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const beganMs = clock.monotonicMs();
    await writeStateFile(path, 'writable\n');
    const tookMs = clock.monotonicMs() - beganMs;
    await rm(path, { force: true });
    const finding = `${stateDir} can be written, and synced within ${Math.ceil(tookMs)} ms`;
    yield tookMs <= SLOW_SYNC_MS
      ? ok('state directory', finding)
      : warning('state directory', `${finding}: each result waits for that`, 'put DGRID_STATE_DIR on a faster disk');
  } catch (error) {
    yield broken('state directory', error, 'make the directory writable for this user, or set DGRID_STATE_DIR');
    return;
  }
  const { uid, mode } = await stat(stateDir);
  yield judgeRights(stateDir, { uid, mode }, process.getuid?.() ?? uid);
  yield await checkRoom(stateDir);
  try {
    yield judgeOutbox(await lookThroughOutbox(join(stateDir, 'outbox')), stateDir);
  } catch (error) {
    yield broken('outbox', error, 'make the outbox readable for this user: results wait in it');
  }
}

/** Pure. */
export function judgeRights(path: string, { uid, mode }: { uid: number; mode: number }, ownUid: number): CheckResult {
  const check = 'state rights';
  const shown = (mode & 0o7777).toString(8).padStart(4, '0');
  if (uid !== ownUid) {
    const finding = `${path} belongs to the user with id ${uid}, and this is the one with id ${ownUid}`;
    const remedy =
      'run doctor as the user of the worker: what another one makes there, the worker may not be able to change';
    return warning(check, finding, remedy);
  }
  if ((mode & OTHERS_WRITE) !== 0) {
    return broken(
      check,
      `${path} (mode ${shown}) can be written by others: they could forge results`,
      `chmod 700 ${path}`,
    );
  }
  if ((mode & OTHERS) !== 0) {
    return warning(
      check,
      `${path} (mode ${shown}) can be read by others, and output of tasks waits there`,
      `chmod 700 ${path}`,
    );
  }
  return ok(check, `this user alone (mode ${shown})`);
}

async function checkRoom(path: string): Promise<CheckResult> {
  const check = 'state room';
  try {
    const found = await statfs(path);
    const bytes = found.bavail * ((found as { frsize?: number }).frsize || found.bsize);
    // Some file systems have no fixed number of inodes.
    return judgeRoom({ bytes, inodes: found.files > 0 ? found.ffree : null });
  } catch (error) {
    return warning(check, `cannot be measured: ${messageOf(error)}`, null);
  }
}

/** Pure. */
export function judgeRoom({ bytes, inodes }: { bytes: number; inodes: number | null }): CheckResult {
  const check = 'state room';
  const finding = `${Math.floor(bytes / 1024 ** 2)} MiB${inodes === null ? '' : ` and ${inodes} inodes`} free`;
  if (bytes === 0 || inodes === 0) return broken(check, finding, 'free some: no result can be kept here');
  const short = bytes < SHORT_OF_BYTES || (inodes !== null && inodes < SHORT_OF_INODES);
  return short ? warning(check, finding, 'free some, or set DGRID_STATE_DIR to a larger disk') : ok(check, finding);
}

/** Pure. */
export function judgeOutbox({ entries, damaged, setAside }: OutboxContents, stateDir: string): CheckResult {
  const check = 'outbox';
  const finding = entries === 0 ? 'no result waits' : `${entries} results wait to be published`;
  const bad = [...damaged, ...setAside];
  if (bad.length === 0) return ok(check, finding);
  const names = bad.slice(0, SHOWN_FILES).join(', ');
  const remedy = `check the disk; the tasks are run again, so remove what you do not need from ${join(stateDir, 'outbox')}`;
  return warning(check, `${finding}; ${bad.length} damaged files: ${names}`, remedy);
}
