/** Addresses, ports and protocols as iptables and nft both print them. Each throws NotUnderstood. */
import type { AddressRange, PortRange } from '../../model/source-nat-rule.ts';
import { type Address, formatAddress, parseAddress, parsePrefix, prefixMaskWord } from '../../wire/address.ts';
import { NotUnderstood } from './nat-table.ts';

const PORT_MAX = 65_535;
/** What /etc/protocols calls the ones that appear in rules; those of connections are 6, 17 and 132. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  ipencap: 4,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  'ipv6-icmp': 58,
  ospf: 89,
  comp: 108,
  sctp: 132,
  udplite: 136,
};

/** `192.168.1.11`, `192.168.1.0/24`, `fd00::/64`. */
export function prefixRange(text: string): AddressRange {
  const prefix = parsePrefix(text);
  if (prefix === null) {
    const address = requireAddress(text);
    return sameTwice(address);
  }
  const six = prefix.family === 'ipv6';
  const last = prefix.words.map((word, index) => word | ~prefixMaskWord(six, prefix.length, index));
  const first = prefix.words.map((word, index) => word & prefixMaskWord(six, prefix.length, index));
  return [formatAddress(prefix.family, first), formatAddress(prefix.family, last)];
}

/** `10.0.0.1-10.0.0.4`, or one address. */
export function addressRange(text: string): AddressRange {
  const [first, last = first] = text.split('-') as [string, string?];
  const [from, to] = [requireAddress(first), requireAddress(last)];
  if (from.family !== to.family) throw new NotUnderstood(`addresses ${text}`);
  return [formatAddress(from.family, from.words), formatAddress(to.family, to.words)];
}

/** `80`, `1000:2000`, `1000-2000`; a side may be left out. */
export function portRange(text: string): PortRange {
  const match = /^(\d*)(?:([:-])(\d*))?$/.exec(text);
  if (match === null || text === '') throw new NotUnderstood(`port ${text}`);
  const low = match[1] === '' ? 0 : Number(match[1]);
  const high = match[2] === undefined ? low : match[3] === '' ? PORT_MAX : Number(match[3]);
  if (low > high || high > PORT_MAX) throw new NotUnderstood(`port ${text}`);
  return [low, high];
}

export function protocolNumber(word: string): number {
  const number = /^\d+$/.test(word) ? Number(word) : PROTOCOLS[word];
  if (number === undefined) throw new NotUnderstood(`protocol ${word}`);
  return number;
}

/** Whether a connection's first packet, which is what rules are asked for, has one of these states. */
export function statesOfNew(states: readonly string[]): boolean {
  const odd = states.find((state) => /^(?:S|D)NAT$/i.test(state));
  if (states.some((state) => /^new$/i.test(state))) return true;
  if (odd !== undefined) throw new NotUnderstood(`connection state ${odd}`);
  return false;
}

function requireAddress(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new NotUnderstood(`address ${text}`);
  return address;
}

function sameTwice({ family, words }: Address): AddressRange {
  const text = formatAddress(family, words);
  return [text, text];
}
