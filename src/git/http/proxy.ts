/** Which proxy git would take for an address, by the variables that curl reads. Pure. */

/** What Node's own agents take as `proxyEnv`. */
export type ProxyEnv = Record<string, string>;

/**
 * @returns null for none. `unsupported`: one of a kind that Node does not speak with.
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): ProxyEnv | 'unsupported' | null {
  const secure = url.protocol === 'https:';
  // A CGI program gets HTTP_PROXY from a request's header: curl does not read the upper case here, and neither do we.
  const own = secure ? (env['https_proxy'] ?? env['HTTPS_PROXY']) : env['http_proxy'];
  const proxy = own ?? env['all_proxy'] ?? env['ALL_PROXY'] ?? '';
  if (proxy === '' || isExcepted(url, env['no_proxy'] ?? env['NO_PROXY'] ?? '')) return null;
  const parsed = URL.parse(proxy.includes('://') ? proxy : `http://${proxy}`);
  if (!parsed || !/^https?:$/.test(parsed.protocol) || !speaksProxy()) return 'unsupported';
  return { [secure ? 'HTTPS_PROXY' : 'HTTP_PROXY']: parsed.href };
}

function isExcepted({ hostname, port }: URL, list: string): boolean {
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const [, name = '', only] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
      if (only !== undefined && only !== port) return false;
      const domain = name.replace(/^\*?\./, '');
      return hostname === domain || hostname.endsWith(`.${domain}`);
    });
}

/** Agents take `proxyEnv` since Node 24.5. */
function speaksProxy(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 24 || (major === 24 && minor >= 5);
}
