/** What a source NAT rule asks about a new connection, made ready to be compared without text. */
import type { VirtualService } from '../balance/virtual-service.ts';
import type { AddressRange, PortRange, SourceNatCondition } from '../model/source-nat-rule.ts';
import { parseAddress } from '../wire/address.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import { type EngineLink, type Network, NO_ADDRESS } from './network.ts';

const NO_ENDS: Endpoints = {
  ipv6: false,
  protocol: 0,
  source0: 0,
  source1: 0,
  source2: 0,
  source3: 0,
  sourcePort: 0,
  destination0: 0,
  destination1: 0,
  destination2: 0,
  destination3: 0,
  destinationPort: 0,
};

const NO_LINK: EngineLink = {
  index: 0,
  name: '',
  mac: new Uint8Array(6),
  mtu: 0,
  loopback: false,
  addresses: [],
  addresses6: [],
};

/** A connection that is about to be made. Filled anew for each. */
export class NatQuestion {
  /** The client and what it asked for. */
  ends: Endpoints = NO_ENDS;
  server: AddressWords = NO_ADDRESS;
  serverPort = 0;
  mark = 0;
  /** The link that leads to the server. */
  link: EngineLink = NO_LINK;
}

/** Whether one condition holds. */
export type Test = (question: NatQuestion) => boolean;

export function passes(tests: readonly Test[], question: NatQuestion): boolean {
  for (let i = 0; i < tests.length; i++) if (!(tests[i] as Test)(question)) return false;
  return true;
}

export function testOf(condition: SourceNatCondition, network: Network): Test {
  const { on, not } = condition;
  switch (on) {
    case 'source': {
      const within = inRanges(condition.addresses);
      return ({ ends: e }) => within(e.ipv6, e.source0, e.source1, e.source2, e.source3) !== not;
    }
    case 'destination': {
      const within = inRanges(condition.addresses);
      return ({ ends, server: s }) => within(ends.ipv6, s.address0, s.address1, s.address2, s.address3) !== not;
    }
    case 'virtual': {
      const within = inRanges(condition.addresses);
      return ({ ends: e }) => within(e.ipv6, e.destination0, e.destination1, e.destination2, e.destination3) !== not;
    }
    case 'sourcePort':
      return ({ ends }) => hasPort(condition.ports, ends.sourcePort) !== not;
    case 'destinationPort':
      return ({ serverPort }) => hasPort(condition.ports, serverPort) !== not;
    case 'virtualPort':
      return ({ ends }) => hasPort(condition.ports, ends.destinationPort) !== not;
    case 'protocol':
      return ({ ends }) => condition.protocols.includes(ends.protocol) !== not;
    case 'link': {
      const indexes = [...network.links()]
        .filter(({ name }) => isNamed(name, condition.names))
        .map(({ index }) => index);
      return ({ link }) => indexes.includes(link.index) !== not;
    }
    case 'mark': {
      const mask = condition.mask | 0;
      const value = condition.value | 0;
      return ({ mark }) => ((mark & mask) === value) !== not;
    }
  }
}

/** Whether only a packet can tell; of services by mark or for any port that is more. */
export function dependsOnClient({ on }: SourceNatCondition, service: VirtualService): boolean {
  switch (on) {
    case 'source':
    case 'sourcePort':
    case 'mark':
      return true;
    case 'virtual':
    case 'protocol':
      return service.mark !== 0;
    case 'virtualPort':
    case 'destinationPort':
      return service.mark !== 0 || service.port === 0;
    case 'destination':
    case 'link':
      return false;
  }
}

function hasPort(ranges: readonly PortRange[], port: number): boolean {
  for (let i = 0; i < ranges.length; i++) {
    const [low, high] = ranges[i] as PortRange;
    if (port >= low && port <= high) return true;
  }
  return false;
}

type Within = (ipv6: boolean, w0: number, w1: number, w2: number, w3: number) => boolean;

/** Words of a range are kept unsigned, to be compared by size. */
interface Bounds {
  readonly ipv6: boolean;
  readonly first: readonly number[];
  readonly last: readonly number[];
}

function inRanges(ranges: readonly AddressRange[]): Within {
  const all = ranges.flatMap(boundsOf);
  return (ipv6, w0, w1, w2, w3) => {
    for (let i = 0; i < all.length; i++) {
      const { ipv6: six, first, last } = all[i] as Bounds;
      if (six !== ipv6) continue;
      if (compare(first, w0 >>> 0, w1 >>> 0, w2 >>> 0, w3 >>> 0) > 0) continue;
      if (compare(last, w0 >>> 0, w1 >>> 0, w2 >>> 0, w3 >>> 0) >= 0) return true;
    }
    return false;
  };
}

function boundsOf([from, to]: AddressRange): Bounds[] {
  const [first, last] = [parseAddress(from), parseAddress(to)];
  if (first === null || last === null || first.family !== last.family) return [];
  const unsigned = (words: Int32Array) => Array.from(words, (word) => word >>> 0);
  return [{ ipv6: first.family === 'ipv6', first: unsigned(first.words), last: unsigned(last.words) }];
}

/** Above 0: `bound` is the larger one. */
function compare(bound: readonly number[], w0: number, w1: number, w2: number, w3: number): number {
  return (
    (bound[0] as number) - w0 || (bound[1] as number) - w1 || (bound[2] as number) - w2 || (bound[3] as number) - w3
  );
}

function isNamed(link: string, names: readonly string[]): boolean {
  return names.some((name) => (name.endsWith('*') ? link.startsWith(name.slice(0, -1)) : link === name));
}
