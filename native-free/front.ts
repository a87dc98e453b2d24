/** Who may speak for others: the fronts from which PROXY headers are accepted. */
import { BlockList } from 'node:net';
import { IpvsError } from '../src/model/errors.ts';
import { parseAddress } from '../src/wire/address.ts';

/** With fronts given, they alone may connect; anybody else could claim to be anybody. EINVAL for a wrong network. */
export function judgeBy(fronts: readonly string[]): (address: string) => 'open' | 'trusted' | 'refused' {
  if (fronts.length === 0) return () => 'open';
  const list = new BlockList();
  for (const front of fronts) addNetwork(list, front);
  return (address) => (list.check(address, address.includes(':') ? 'ipv6' : 'ipv4') ? 'trusted' : 'refused');
}

function addNetwork(list: BlockList, text: string): void {
  const [address = '', length, more] = text.split('/');
  const parsed = parseAddress(address);
  const longest = parsed?.family === 'ipv6' ? 128 : 32;
  const prefix = length === undefined ? longest : Number(length);
  if (parsed === null || more !== undefined || !/^\d*$/.test(length ?? '') || prefix > longest || length === '') {
    throw new IpvsError('EINVAL', `a front must be an address or a network such as 192.0.2.0/24, not "${text}"`);
  }
  list.addSubnet(address, prefix, parsed.family);
}
