/** The name of a grid, from the address of its repository: the same for all ways to reach it that name the same host. */

/**
 * Host and path, without scheme, user, port, closing slashes and `.git`; of a local repository its path. null when
 * nothing is left.
 */
export function gridNameOf(address: string): string | null {
  const withScheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/@]*@)?([^/]*)(\/.*)$/.exec(address);
  const scpLike = withScheme ? null : /^(?:[^@/]+@)?([^/:]+|\[[^\]]*\]):(.*)$/.exec(address);
  const [host = '', path = ''] = withScheme?.slice(1) ?? scpLike?.slice(1) ?? ['', address];
  const name = `${host.toLowerCase().replace(/:\d+$/, '')}/${path.replace(/^\/+/, '')}`
    .replace(/\/+$/, '')
    .replace(/\.git$/, '');
  return name.replaceAll(/[^A-Za-z0-9 ._~:/@+-]/g, '_').slice(0, 255) || null;
}
