/**
 * A small filter language in the words of pcap-filter(7): `host 10.0.0.5 and tcp port 80 and not src net 10.1.0.0/24`.
 * A packet of the balancer has more than two ends: as it came, as it left, and those of its connection. `host` and
 * `port` look at all of them, so a filter with a server's address finds packets of its clients too; `src` and `dst`
 * look at the packet as it came and as it left.
 */
import { type Prefix, parseAddress, parsePrefix, prefixMatches } from '../wire/address.ts';
import { IpvsError } from './errors.ts';

/** One end: address as four words (IPv4 in the last) and port. */
export interface FilteredEnd {
  readonly ipv6: boolean;
  readonly address0: number;
  readonly address1: number;
  readonly address2: number;
  readonly address3: number;
  /** 0: none. */
  readonly port: number;
  /** Which side of a packet it is; `other`: an end of its connection. */
  readonly side: 'source' | 'destination' | 'other';
}

export interface FilteredPacket {
  readonly isIp: boolean;
  readonly ipv6: boolean;
  /** IP protocol number. */
  readonly protocol: number;
  readonly ends: readonly FilteredEnd[];
}

export type PacketFilter = (packet: FilteredPacket) => boolean;

export const FILTER_SYNTAX = `[src|dst] host ADDRESS, [src|dst] net PREFIX, [src|dst] port NUMBER, portrange FROM-TO,
ip, ip6, tcp, udp, sctp, icmp; joined by and, or, not and parentheses. "tcp port 80" means "tcp and port 80".`;

const TEXT_MAX = 1_000;
const WORDS_MAX = 200;
const DEPTH_MAX = 32;
const PORT_MAX = 65_535;

const PROTOCOLS: Readonly<Record<string, PacketFilter>> = {
  ip: ({ isIp, ipv6 }) => isIp && !ipv6,
  ip6: ({ isIp, ipv6 }) => isIp && ipv6,
  tcp: ({ isIp, protocol }) => isIp && protocol === 6,
  udp: ({ isIp, protocol }) => isIp && protocol === 17,
  sctp: ({ isIp, protocol }) => isIp && protocol === 132,
  icmp: ({ isIp, protocol }) => isIp && (protocol === 1 || protocol === 58),
};
const SIDES: Readonly<Record<string, FilteredEnd['side']>> = { src: 'source', dst: 'destination' };
const NOT_WORDS = ['not', '!'];

/** An empty text lets everything through. Throws EINVAL with a sentence that names the word that was not understood. */
export function parsePacketFilter(text: string): PacketFilter {
  if (text.length > TEXT_MAX) throw refuse(`it is longer than ${TEXT_MAX} characters`);
  const words = text.match(/&&|\|\||[()!]|[^\s()!&|]+|[&|]/g) ?? [];
  if (words.length > WORDS_MAX) throw refuse(`it has more than ${WORDS_MAX} words`);
  if (words.length === 0) return () => true;
  const parser = new Parser(words);
  const filter = parser.either(0);
  const rest = parser.peek();
  if (rest !== undefined) throw refuse(`"${rest}" is not expected here`);
  return filter;
}

class Parser {
  readonly #words: readonly string[];
  #at = 0;

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  peek(): string | undefined {
    return this.#words[this.#at];
  }

  /** a or b */
  either(depth: number): PacketFilter {
    if (depth > DEPTH_MAX) throw refuse('parentheses lie too deep in each other');
    const parts = [this.#both(depth)];
    while (this.#takes('or', '||')) parts.push(this.#both(depth));
    return parts.length === 1 ? (parts[0] as PacketFilter) : (packet) => parts.some((part) => part(packet));
  }

  /** a and b; "tcp port 80" has its "and" unsaid. */
  #both(depth: number): PacketFilter {
    const parts = [this.#one(depth)];
    for (;;) {
      const said = this.#takes('and', '&&');
      const next = this.peek();
      if (!said && (next === undefined || next === ')' || next === 'or' || next === '||')) break;
      parts.push(this.#one(depth));
    }
    return parts.length === 1 ? (parts[0] as PacketFilter) : (packet) => parts.every((part) => part(packet));
  }

  #one(depth: number): PacketFilter {
    if (this.#takes(...NOT_WORDS)) {
      const inner = this.#one(depth + 1);
      if (depth > DEPTH_MAX) throw refuse('there are too many "not" in a row');
      return (packet) => !inner(packet);
    }
    if (this.#takes('(')) {
      const inner = this.either(depth + 1);
      if (!this.#takes(')')) throw refuse('a ")" is missing');
      return inner;
    }
    const word = this.#next('a condition');
    if (Object.hasOwn(PROTOCOLS, word)) return PROTOCOLS[word] as PacketFilter;
    const side = Object.hasOwn(SIDES, word) ? (SIDES[word] as FilteredEnd['side']) : null;
    return this.#endCondition(
      side === null ? word : this.#next(`host, net, port or an address behind "${word}"`),
      side,
    );
  }

  #endCondition(word: string, side: FilteredEnd['side'] | null): PacketFilter {
    const any = (test: (end: FilteredEnd) => boolean): PacketFilter => {
      return ({ isIp, ends }) => isIp && ends.some((end) => (side === null || end.side === side) && test(end));
    };
    switch (word) {
      case 'host':
        return any(hostTest(this.#next('an address behind "host"')));
      case 'net':
        return any(netTest(this.#next('a prefix such as 10.0.0.0/8 behind "net"')));
      case 'port': {
        const port = portOf(this.#next('a number behind "port"'));
        return any((end) => end.port === port);
      }
      case 'portrange': {
        const [from, to, ...more] = this.#next('two numbers such as 80-90 behind "portrange"').split('-');
        if (to === undefined || more.length > 0) throw refuse('"portrange" takes two numbers such as 80-90');
        const [low, high] = [portOf(from as string), portOf(to)];
        return any((end) => end.port >= low && end.port <= high);
      }
      default:
        // As in pcap-filter, an address alone is a host.
        if (parseAddress(word) !== null) return any(hostTest(word));
        throw refuse(`"${word}" is not understood`);
    }
  }

  #takes(...words: readonly string[]): boolean {
    const next = this.peek();
    if (next === undefined || !words.includes(next)) return false;
    this.#at++;
    return true;
  }

  #next(wanted: string): string {
    const word = this.#words[this.#at++];
    if (word === undefined) throw refuse(`it ends where ${wanted} should stand`);
    return word;
  }
}

function hostTest(text: string): (end: FilteredEnd) => boolean {
  const address = parseAddress(text);
  if (address === null) throw refuse(`"${text}" is no address; names are not looked up`);
  const [w0, w1, w2, w3] = address.words;
  const ipv6 = address.family === 'ipv6';
  return (end) =>
    end.ipv6 === ipv6 && end.address3 === w3 && end.address2 === w2 && end.address1 === w1 && end.address0 === w0;
}

function netTest(text: string): (end: FilteredEnd) => boolean {
  const prefix: Prefix | null = parsePrefix(text);
  if (prefix === null) throw refuse(`"${text}" is no prefix such as 10.0.0.0/8`);
  return (end) => prefixMatches(prefix, end.ipv6, end.address0, end.address1, end.address2, end.address3);
}

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > PORT_MAX)
    throw refuse(`"${text}" is no port (0 to ${PORT_MAX}); names are not looked up`);
  return port;
}

function refuse(problem: string): IpvsError {
  return new IpvsError('EINVAL', `the filter is not understood: ${problem}. ${FILTER_SYNTAX}`);
}
