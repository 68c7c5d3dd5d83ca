/** The secrets that this process knows from its settings and its environment, so that the log can mask them. */
import { readFileSync } from 'node:fs';
import type { Environment } from './machine.ts';
import type { GitSettings, Settings } from './settings.ts';

const PROXY_VARIABLES = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY'];

export interface SecretSettings
  extends Pick<Settings, 'webhookSecret' | 'webhookSecretFile' | 'httpToken' | 'httpTokenFile'> {
  git: Pick<GitSettings, 'token' | 'tokenFile'>;
}

export function knownSecrets(settings: SecretSettings, env: Environment): string[] {
  const { git, httpToken, httpTokenFile, webhookSecret, webhookSecretFile } = settings;
  const secrets = new Set<string>();
  for (const secret of [git.token, webhookSecret, httpToken]) if (secret !== null) secrets.add(secret);
  for (const file of [git.tokenFile, webhookSecretFile, httpTokenFile]) if (file !== null) secrets.add(contentOf(file));
  for (const name of PROXY_VARIABLES.flatMap((upper) => [upper, upper.toLowerCase()])) {
    const value = env[name];
    if (value === undefined || !URL.canParse(value)) continue;
    const { password } = new URL(value);
    if (password === '') continue;
    secrets.add(password);
    secrets.add(decoded(password));
  }
  secrets.delete('');
  return [...secrets];
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // Whoever needs the token meets the same error and reports it; here there is just nothing to mask.
    return '';
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
