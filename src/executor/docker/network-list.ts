/**
 * Which networks an operator lets tasks choose. An entry is a name, or a pattern in which `*` stands for any characters.
 * Pure.
 *
 * A pattern covers the networks that people made, and none that an engine brings along: those have to be named. No entry
 * lets in the host's own network or another container's, whatever it says.
 */

export interface NetworkSettings {
  /** Of tasks that name none. */
  network: string;
  allowedNetworks: readonly string[];
}

export const NO_NETWORK = 'none';
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** An engine would take it for a network's id, or the beginning of one as long as that. */
const ID = /^[0-9a-f]{64}$/;
/** Names that mean something else to an engine than a network by that name. */
const NEVER: readonly string[] = ['host', 'default', 'container', 'ns', 'private', 'slirp4netns', 'pasta'];
const BROUGHT_ALONG: readonly string[] = ['bridge', 'nat', 'podman', 'ingress', 'docker_gwbridge'];

/** Whether this can be a network that tasks are given, by whatever list. */
export function isNetworkName(name: string): boolean {
  return NAME.test(name) && !ID.test(name) && !NEVER.includes(name.toLowerCase());
}

export function isNetworkAllowed(name: string, settings: NetworkSettings): boolean {
  // Less than what everybody gets is nothing to ask permission for.
  if (name === NO_NETWORK) return true;
  if (!isNetworkName(name)) return false;
  if (name === settings.network) return true;
  return settings.allowedNetworks.some((entry) => {
    if (!entry.includes('*')) return entry === name;
    return !BROUGHT_ALONG.includes(name.toLowerCase()) && patternToExpression(entry).test(name);
  });
}

function patternToExpression(pattern: string): RegExp {
  const parts = pattern.split(/\*+/).map((part) => part.replace(/[^A-Za-z0-9]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}
