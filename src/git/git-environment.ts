/**
 * What a git process gets to see: a short list of the operator's variables, and settings that keep Git from asking,
 * running hooks, cleaning up behind our back, or reading anybody's configuration files.
 */

/** A setting as `git -c` would take it, but invisible in process lists. */
export type ConfigEntry = readonly [key: string, value: string];

export interface CommandEnvironment {
  variables: Readonly<Record<string, string>>;
  config: readonly ConfigEntry[];
  /** Texts that must never be seen in an error or an event. */
  secrets: readonly string[];
}

/** Of the operator's environment. Everything else of it stays outside, above all other `GIT_*` variables. */
const PASSED_ON = [
  'PATH',
  // Where credential helpers and ssh look for their own files; Git's configuration in it is switched off.
  'HOME',
  'USER',
  'LOGNAME',
  'TMPDIR',
  'SSH_AUTH_SOCK',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'all_proxy',
  'no_proxy',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'CURL_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'GIT_SSL_CAPATH',
  'GIT_SSL_CERT',
  'GIT_SSL_KEY',
] as const;

const BASE_VARIABLES: Readonly<Record<string, string>> = {
  // Error texts are read by a program.
  LC_ALL: 'C',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_OPTIONAL_LOCKS: '0',
  // An object is what its id says, whatever somebody wrote below refs/replace.
  GIT_NO_REPLACE_OBJECTS: '1',
  // Above all no `ext::`, which is a command line in the shape of a URL.
  GIT_ALLOW_PROTOCOL: 'https:http:ssh:git:file',
};

/** Less than a byte a second over this time is a dead peer: a live one sends a keep-alive every 5 s while it computes. */
const SILENCE_SECONDS = 60;

const BASE_CONFIG: readonly ConfigEntry[] = [
  ['protocol.version', '2'],
  ['http.lowSpeedLimit', '1'],
  ['http.lowSpeedTime', String(SILENCE_SECONDS)],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.logAllRefUpdates', 'false'],
  // An empty helper forgets all helpers named before it.
  ['credential.helper', ''],
  ['fetch.recurseSubmodules', 'false'],
  ['push.recurseSubmodules', 'no'],
  ['push.gpgSign', 'false'],
  ['push.followTags', 'false'],
  ['push.useForceIfIncludes', 'false'],
  ['init.defaultBranch', 'main'],
  // Boxes with little memory repack too.
  ['pack.windowMemory', '32m'],
  ['pack.threads', '1'],
];

/** @param operator the environment of the program itself. */
export function baseEnvironment(operator: NodeJS.ProcessEnv): CommandEnvironment {
  const variables: Record<string, string> = {};
  for (const name of PASSED_ON) {
    const value = operator[name];
    if (value !== undefined) variables[name] = value;
  }
  // A password in a proxy's URL is a secret like any other.
  const secrets = Object.entries(variables)
    .filter(([name]) => name.toLowerCase().endsWith('_proxy'))
    .flatMap(([, value]) => /\/\/[^/@]*:([^/@]+)@/.exec(value)?.[1] ?? []);
  return { variables: { ...variables, ...BASE_VARIABLES }, config: BASE_CONFIG, secrets };
}

/** Later parts win over earlier ones. */
export function joinEnvironments(...parts: readonly CommandEnvironment[]): CommandEnvironment {
  return {
    variables: Object.assign({}, ...parts.map((part) => part.variables)) as Record<string, string>,
    config: parts.flatMap((part) => part.config),
    secrets: parts.flatMap((part) => part.secrets),
  };
}

/** The variables of a process, with the settings written out as `GIT_CONFIG_COUNT`, `_KEY_n` and `_VALUE_n`. */
export function processVariables(environment: CommandEnvironment): Record<string, string> {
  const variables: Record<string, string> = { ...environment.variables };
  variables['GIT_CONFIG_COUNT'] = String(environment.config.length);
  environment.config.forEach(([key, value], index) => {
    variables[`GIT_CONFIG_KEY_${index}`] = key;
    variables[`GIT_CONFIG_VALUE_${index}`] = value;
  });
  return variables;
}
