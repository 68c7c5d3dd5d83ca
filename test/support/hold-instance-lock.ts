/**
 * A process for tests: `node hold-instance-lock.ts DIR NODE_ID` takes the lock of DIR, says how that went in one line of
 * JSON, and holds it until its standard input ends.
 */
import { InstanceLock, type InstanceLockError } from '../../src/host/instance-lock.ts';
import { systemClock } from '../../src/runtime.ts';

const [stateDir = '', nodeId = ''] = process.argv.slice(2);
try {
  const lock = await InstanceLock.acquire({ stateDir, nodeId, clock: systemClock });
  console.log(JSON.stringify({ held: true }));
  process.stdin.resume();
  process.stdin.once('end', () => void lock.release());
} catch (error) {
  const { kind, message } = error as InstanceLockError;
  console.log(JSON.stringify({ held: false, kind, message }));
}
