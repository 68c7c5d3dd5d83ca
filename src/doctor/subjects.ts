/** What `dgrid-worker doctor` looks at, in the order in which it tells of it. A new subject is one more row here. */

import { refName } from '../git/oid.ts';
import { judgeCapabilities } from './capabilities.ts';
import { type CheckResult, messageOf, warning } from './check.ts';
import { checkClock } from './clock.ts';
import { checkCredentials } from './credentials.ts';
import { checkEngineDetails, checkImage, checkLimits, checkNetworks, judgeSockets } from './engine.ts';
import { checkGit } from './git.ts';
import { checkHours, checkPressure, checkTimeZone, checkWeight } from './governance.ts';
import { checkGrid } from './grid.ts';
import { checkHost } from './host.ts';
import { checkGauges, checkTaskMemory } from './machine.ts';
import { countNodes, judgeListing, judgeNodes } from './repository.ts';
import { checkSecrets } from './secrets.ts';
import { checkSigning } from './signing.ts';
import { checkState } from './state.ts';
import type { DoctorParts, Subject } from './subject.ts';
import { checkSwaps } from './swaps.ts';
import { checkUnit } from './systemd.ts';
import { checkWorker } from './worker.ts';

const SHORT_MS = 20_000;
/** A first fetch over a slow line, and a dozen small pushes. */
const REPOSITORY_MS = 120_000;
const HOST_REMEDY = 'look at the way to the host: name resolution, proxy, firewall';
const ENGINE_REMEDY = 'look at the engine: its log, its disk; restart it';
const DISK_REMEDY = 'look at the disk under DGRID_STATE_DIR: it is full, failing, or a network mount that hangs';

export const SUBJECTS: readonly Subject[] = [
  { name: 'git', deadlineMs: SHORT_MS, lateRemedy: 'run "git version" by hand', examine: checkGit },
  { name: 'state', deadlineMs: SHORT_MS, lateRemedy: DISK_REMEDY, examine: checkState },
  { name: 'host', deadlineMs: SHORT_MS, lateRemedy: HOST_REMEDY, examine: checkHost },
  { name: 'credentials', deadlineMs: SHORT_MS, lateRemedy: DISK_REMEDY, examine: checkCredentials },
  { name: 'repository', deadlineMs: REPOSITORY_MS, lateRemedy: HOST_REMEDY, examine: examineRepository },
  { name: 'grid', deadlineMs: REPOSITORY_MS, lateRemedy: HOST_REMEDY, examine: examineGrid },
  { name: 'clock', deadlineMs: SHORT_MS, lateRemedy: HOST_REMEDY, examine: checkClock },
  { name: 'engine', deadlineMs: 2 * SHORT_MS, lateRemedy: ENGINE_REMEDY, examine: examineEngine },
  { name: 'image', deadlineMs: 2 * SHORT_MS, lateRemedy: ENGINE_REMEDY, examine: examineImage },
  { name: 'machine', deadlineMs: 2 * SHORT_MS, lateRemedy: DISK_REMEDY, examine: examineMachine },
  { name: 'signing', deadlineMs: 2 * SHORT_MS, lateRemedy: 'run ssh-keygen by hand', examine: checkSigning },
  { name: 'secrets', deadlineMs: SHORT_MS, lateRemedy: 'look at the disk under SECRETS_DIR', examine: checkSecrets },
  { name: 'worker', deadlineMs: SHORT_MS, lateRemedy: 'restart the worker', examine: checkWorker },
  {
    name: 'service',
    deadlineMs: SHORT_MS,
    lateRemedy: 'run "systemctl status dgrid-worker" by hand',
    examine: checkUnit,
  },
];

export const SUBJECT_NAMES: readonly string[] = SUBJECTS.map(({ name }) => name);

async function* examineRepository(parts: DoctorParts): AsyncGenerator<CheckResult> {
  const { repository, settings, clock } = parts;
  const { nodeId } = settings;
  const { result, namespace, refs, branch } = await parts.remote();
  yield result;
  if (namespace === null) return;
  yield judgeListing(refs, settings.pullIntervalMs);
  try {
    const asked = refName(`${namespace}/doctor/${nodeId}/none`);
    const capabilities = await parts.inClone(() => repository.command.capabilities(asked));
    yield* judgeCapabilities(capabilities, settings.git);
  } catch (error) {
    yield warning('protocol', `the server cannot be asked what it can do: ${messageOf(error)}`, null);
  }
  const options = { auto: settings.refNamespace === 'auto', branch: branch && refs.has(branch) ? branch : null };
  yield* await parts.inClone(() => Array.fromAsync(checkSwaps({ repository, nodeId, clock }, namespace, options)));
}

async function* examineGrid(parts: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const { result, namespace, refs } = await parts.remote();
  if (namespace === null) {
    yield warning('nodes', 'the repository cannot be read', result.remedy);
    return;
  }
  try {
    yield judgeNodes(await parts.inClone(() => countNodes(parts.repository, namespace, refs)), namespace);
  } catch (error) {
    yield warning('nodes', `their states cannot be read: ${messageOf(error)}`, null);
  }
  yield* await parts.inClone(() => checkGrid(parts, namespace, signal));
}

async function* examineEngine(parts: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const { settings, executor } = parts;
  const { result, info } = await parts.engine();
  yield result;
  if (info === null) return;
  yield* checkLimits(settings, info);
  yield checkWeight(settings, info);
  yield judgeSockets(info);
  yield* checkEngineDetails(executor, parts.clock, signal);
  yield* checkNetworks(executor, settings);
}

async function* examineImage(parts: DoctorParts, signal: AbortSignal): AsyncGenerator<CheckResult> {
  const { result, info } = await parts.engine();
  if (info === null) yield warning('image', 'the engine cannot be asked for it', result.remedy);
  else yield await checkImage(parts.executor, parts.settings, signal);
}

async function* examineMachine(parts: DoctorParts): AsyncGenerator<CheckResult> {
  const { settings, clock } = parts;
  const { info } = await parts.engine();
  yield* checkGauges(settings, info, clock);
  if (info !== null) yield checkTaskMemory(settings, info);
  yield await checkPressure(settings);
  yield checkTimeZone(settings, parts.operatorEnv);
  const hours = checkHours(settings, clock);
  if (hours) yield hours;
}
