/**
 * Looks at everything the worker stands on, the way the worker itself would use it, and says how to mend what is broken.
 */
import type { Settings } from '../config/settings.ts';
import { refName } from '../git/oid.ts';
import { type OpenedRepository, openRepository } from '../git/open-repository.ts';
import type { Namespace } from '../ledger/names.ts';
import type { Emit } from '../observe/events.ts';
import { type Clock, systemRandomFraction } from '../runtime.ts';
import { openExecutor } from '../worker.ts';
import { judgeCapabilities } from './capabilities.ts';
import { type CheckResult, messageOf, warning } from './check.ts';
import { checkEngine, checkImage, checkLimits, judgeSockets } from './engine.ts';
import { checkHours, checkPressure, checkWeight } from './governance.ts';
import { checkClock, checkGauges, checkGit, checkState } from './machine.ts';
import { checkRemote, countNodes, judgeListing, judgeNodes, type RemoteFound } from './repository.ts';
import { checkSwaps } from './swaps.ts';

export interface DoctorOptions {
  settings: Settings;
  clock: Clock;
  emit: Emit;
  operatorEnv: NodeJS.ProcessEnv;
}

/** Runs the checks one after the other; each is told as soon as it is done. */
export async function* examine(options: DoctorOptions): AsyncGenerator<CheckResult> {
  const { settings, clock, emit, operatorEnv } = options;
  const random = systemRandomFraction;
  const repository = openRepository(settings.git, settings.repoPath, { clock, emit, random, operatorEnv });
  yield await checkGit(repository.command);
  yield await checkState(settings);
  const remote = await checkRemote(repository, settings);
  yield remote.result;
  if (remote.namespace) yield* checkRepository(repository, remote, remote.namespace, options);
  yield await checkClock(settings, clock);
  const executor = openExecutor(settings, { clock, emit });
  try {
    const engine = await checkEngine(executor);
    yield engine.result;
    if (engine.info) {
      yield* checkLimits(settings, engine.info);
      yield checkWeight(settings, engine.info);
      yield judgeSockets(engine.info);
      yield await checkImage(executor, settings);
    }
    yield* checkGauges(settings, engine.info, clock);
    yield await checkPressure(settings);
    const hours = checkHours(settings, clock);
    if (hours) yield hours;
  } finally {
    await executor.close();
  }
}

async function* checkRepository(
  repository: OpenedRepository,
  { refs, branch }: RemoteFound,
  namespace: Namespace,
  { settings, clock }: DoctorOptions,
): AsyncGenerator<CheckResult> {
  const { nodeId } = settings;
  yield judgeListing(refs, settings.pullIntervalMs);
  try {
    const capabilities = await repository.command.capabilities(refName(`${namespace}/doctor/${nodeId}/none`));
    yield* judgeCapabilities(capabilities, settings.git);
  } catch (error) {
    yield warning('protocol', `the server cannot be asked what it can do: ${messageOf(error)}`, null);
  }
  const auto = settings.refNamespace === 'auto';
  yield* checkSwaps({ repository, nodeId, clock }, namespace, {
    auto,
    branch: branch && refs.has(branch) ? branch : null,
  });
  try {
    yield judgeNodes(await countNodes(repository, namespace, refs), namespace);
  } catch (error) {
    yield warning('nodes', `their states cannot be read: ${messageOf(error)}`, null);
  }
}
