/** The worker as a service of systemd, where there is one: does it run, or does it start again and again? */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

const UNIT = 'dgrid-worker.service';
/** There while systemd runs the machine: sd_booted(3). */
const BOOTED = '/run/systemd/system';
const PROPERTIES = ['LoadState', 'ActiveState', 'SubState', 'Result', 'ExecMainStatus', 'NRestarts'];
const CALL_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const MANY_RESTARTS = 3;
const LOG = `journalctl -u ${UNIT} -n 50`;

export async function* checkUnit({ operatorEnv }: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const booted = await stat(BOOTED).then(
    () => true,
    () => false,
  );
  if (!booted) {
    yield ok('service', 'this machine, or container, is not run by systemd');
    return;
  }
  try {
    yield judgeUnit(await show(operatorEnv, signal));
  } catch (error) {
    yield warning(
      'service',
      `systemd cannot be asked: ${messageOf(error)}`,
      'run "systemctl status dgrid-worker" by hand',
    );
  }
}

/** @returns lines of NAME=value. @throws the system's error */
function show(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const args = ['show', UNIT, `--property=${PROPERTIES.join(',')}`];
    const options = {
      // It needs to find its way to systemd, and none of what the settings hold.
      env: { PATH: env['PATH'], LC_ALL: 'C', XDG_RUNTIME_DIR: env['XDG_RUNTIME_DIR'] },
      timeout: CALL_MS,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_ANSWER_BYTES,
      signal,
    } as const;
    execFile('systemctl', args, options, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}

/** Pure. @param answer of `systemctl show` */
export function judgeUnit(answer: string): CheckResult {
  const check = 'service';
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(answer)?.[1] ?? '';
  if (value('LoadState') === 'not-found') return ok(check, `there is no ${UNIT}`);
  if (value('LoadState') !== 'loaded') {
    return broken(check, `${UNIT} cannot be loaded (${value('LoadState')})`, `systemctl status ${UNIT}`);
  }
  const state = `${value('ActiveState')} (${value('SubState')})`;
  const restarts = Number(value('NRestarts')) || 0;
  const finding = `${UNIT} is ${state}; started again ${restarts} times by itself`;
  const last = `it ended last with ${value('Result')}, status ${value('ExecMainStatus')}`;
  if (value('ActiveState') === 'failed') return broken(check, `${finding}; ${last}`, `look at ${LOG}`);
  if (value('SubState') === 'auto-restart')
    return broken(check, `${finding}; ${last}`, `it cannot stay up: look at ${LOG}`);
  if (value('ActiveState') !== 'active') return warning(check, finding, `systemctl enable --now ${UNIT}`);
  if (restarts > MANY_RESTARTS) return warning(check, finding, `look at ${LOG} for why it ended`);
  return ok(check, finding);
}
