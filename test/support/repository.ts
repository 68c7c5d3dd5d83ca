/** A CliRepository with everything that a test does not care about filled in, and its events kept. */
import type { GitSettings } from '../../src/config/settings.ts';
import { CliRepository } from '../../src/git/cli-repository.ts';
import { type OpenedRepository, openRepository as openBySettings } from '../../src/git/open-repository.ts';
import type { Emit, EventFields, EventName } from '../../src/observe/events.ts';
import { systemClock } from '../../src/runtime.ts';
import { hermeticEnv } from './temp.ts';

export interface RecordedEvent {
  name: EventName;
  fields: EventFields;
}

interface TestEvents {
  events: RecordedEvent[];
  named: (name: EventName) => RecordedEvent[];
}

export type TestRepository = TestEvents & { repository: CliRepository };

interface OpenOptions {
  url: string;
  path: string;
  home: string;
  settings?: Partial<GitSettings>;
  env?: Readonly<Record<string, string>>;
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
    transport: 'auto',
    commandTimeoutMs: 20_000,
    useShallowClone: true,
    retryAttempts: 1,
    retryBaseMs: 10,
    ...overrides,
  };
}

/** As `openRepository` chooses by the remote: over smart HTTP, mostly. */
export function openByRemote(options: OpenOptions): TestEvents & { repository: OpenedRepository } {
  const { settings, path, parts, seen } = prepared(options);
  return { repository: openBySettings(settings, path, parts), ...seen };
}

/** @param home a directory of the test, used as HOME; the clone is made in `path`. */
export function openRepository(options: OpenOptions): TestRepository {
  const { settings, path, parts, seen } = prepared(options);
  return { repository: new CliRepository({ settings, path, ...parts }), ...seen };
}

function prepared(options: OpenOptions) {
  const events: RecordedEvent[] = [];
  const emit: Emit = (name, fields = {}) => events.push({ name, fields });
  const operatorEnv = hermeticEnv(options.home, options.env);
  return {
    settings: gitSettings(options.url, options.settings),
    path: options.path,
    parts: { clock: systemClock, emit, random: () => 0, operatorEnv },
    seen: { events, named: (name: EventName) => events.filter((event) => event.name === name) },
  };
}
