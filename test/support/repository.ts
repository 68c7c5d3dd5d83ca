/** A CliRepository with everything that a test does not care about filled in, and its events kept. */
import type { GitSettings } from '../../src/config/settings.ts';
import { CliRepository } from '../../src/git/cli-repository.ts';
import type { EventFields, EventName } from '../../src/observe/events.ts';
import { systemClock } from '../../src/runtime.ts';
import { hermeticEnv } from './temp.ts';

export interface RecordedEvent {
  name: EventName;
  fields: EventFields;
}

export interface TestRepository {
  repository: CliRepository;
  events: RecordedEvent[];
  named: (name: EventName) => RecordedEvent[];
}

function gitSettings(repoUrl: string, overrides: Partial<GitSettings> = {}): GitSettings {
  return {
    repoUrl,
    branch: null,
    userName: 'Test',
    userEmail: 'test@example.org',
    token: null,
    tokenFile: null,
    sshKeyFile: null,
    sshKnownHostsFile: null,
    credentialHelper: null,
    commandTimeoutMs: 20_000,
    useShallowClone: true,
    retryAttempts: 1,
    retryBaseMs: 10,
    ...overrides,
  };
}

/** @param home a directory of the test, used as HOME; the clone is made in `path`. */
export function openRepository(options: {
  url: string;
  path: string;
  home: string;
  settings?: Partial<GitSettings>;
  env?: Readonly<Record<string, string>>;
}): TestRepository {
  const events: RecordedEvent[] = [];
  const repository = new CliRepository({
    settings: gitSettings(options.url, options.settings),
    path: options.path,
    clock: systemClock,
    emit: (name, fields = {}) => events.push({ name, fields }),
    random: () => 0,
    operatorEnv: hermeticEnv(options.home, options.env),
  });
  return { repository, events, named: (name) => events.filter((event) => event.name === name) };
}
