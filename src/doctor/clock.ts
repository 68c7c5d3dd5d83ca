/** The clock of this machine against the Git host's. No rule of the ledger needs a right one; signatures and people do. */

import type { Settings } from '../config/settings.ts';
import { Connection } from '../git/http/connection.ts';
import { type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

/** Of records, which only people read. */
const TOLERANCE_MS = 120_000;
/** With signatures: half of what a verifier allows between a submitter's clock and its own. */
const SIGNING_TOLERANCE_MS = 30_000;
/** The host tells its time in whole seconds. */
const RESOLUTION_MS = 1_000;
const REQUEST_MS = 10_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

export async function* checkClock(parts: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const { settings, clock, operatorEnv, repository } = parts;
  const { address } = repository.command;
  if (address.transport !== 'http') {
    yield ok('clock', `${new Date(clock.wallMs()).toISOString()} (this kind of remote does not tell its own)`);
    return;
  }
  const connection = new Connection({ clock, env: operatorEnv, emit: () => undefined });
  try {
    const beganMs = clock.wallMs();
    // Without a proof of who we are: a refusal has the time on it too.
    const { headers } = await connection.send({
      method: 'GET',
      url: new URL(`${address.url.replace(/\/+$/, '')}/info/refs?service=git-upload-pack`),
      headers: { 'Git-Protocol': 'version=2' },
      maxAnswerBytes: MAX_ANSWER_BYTES,
      deadlineMs: REQUEST_MS,
      signal,
      operation: 'ls-remote',
    });
    yield judgeClock({ beganMs, endedMs: clock.wallMs(), theirMs: Date.parse(headers.date ?? '') }, settings);
  } catch (error) {
    yield warning('clock', `the remote's time cannot be asked for: ${messageOf(error)}`, 'compare it by hand');
  } finally {
    connection.close();
  }
}

/**
 * The host read its clock at some time between the two readings of ours, so what is certain is only what goes beyond that.
 * Pure. @param seen milliseconds since 1970
 */
export function judgeClock(
  seen: { beganMs: number; endedMs: number; theirMs: number },
  { signing }: Pick<Settings, 'signing'>,
): CheckResult {
  const check = 'clock';
  const { beganMs, endedMs, theirMs } = seen;
  if (Number.isNaN(theirMs)) return ok(check, 'the remote does not tell its time');
  const aheadMs = Math.max(0, beganMs - (theirMs + RESOLUTION_MS));
  const behindMs = Math.max(0, theirMs - endedMs);
  const offsetMs = Math.max(aheadMs, behindMs);
  const isSigning = signing.trustedKeysFile !== null;
  const toleranceMs = isSigning ? SIGNING_TOLERANCE_MS : TOLERANCE_MS;
  if (offsetMs <= toleranceMs) return ok(check, `within ${toleranceMs / 1000} s of the remote's`);
  const which = aheadMs > 0 ? 'ahead of' : 'behind';
  const effect = isSigning
    ? 'signatures count as expired, or as not good yet, at the wrong time'
    : 'times in records will mislead people';
  return warning(
    check,
    `${Math.round(offsetMs / 1000)} s ${which} the remote's: ${effect}`,
    'set the time, best by NTP',
  );
}
