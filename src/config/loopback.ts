/** Whether an address or a name stands for this machine alone. Pure: no name is looked up, an unknown one does not. */
import { BlockList, isIP } from 'node:net';

/** @param host an address without brackets, or a host name. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '');
  const version = isIP(name);
  if (version === 0) return name === 'localhost' || name.endsWith('.localhost');
  const own = new BlockList();
  own.addSubnet('127.0.0.0', 8);
  own.addAddress('::1', 'ipv6');
  return own.check(name, version === 4 ? 'ipv4' : 'ipv6');
}
