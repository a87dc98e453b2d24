/**
 * Which address of a range each client got from a kernel (Linux 6.18, x86-64): UDP sent from each of these addresses
 * through `SNAT --to-source FIRST-LAST`, read from its connection tracking table.
 */
import { expect, test } from 'vitest';
import { spreadOverRange } from '../../src/engine/source-nat-range.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';

interface Observed {
  readonly server: string;
  readonly first: string;
  readonly last: string;
  readonly persistent: boolean;
  /** Client, and the address it got. */
  readonly given: Readonly<Record<string, string>>;
}

const OBSERVED: readonly Observed[] = [
  {
    server: '10.1.0.11',
    first: '10.9.9.1',
    last: '10.9.9.7',
    persistent: false,
    given: {
      '198.51.100.1': '10.9.9.1',
      '198.51.100.2': '10.9.9.1',
      '198.51.100.3': '10.9.9.1',
      '198.51.100.4': '10.9.9.5',
      '198.51.100.5': '10.9.9.3',
      '198.51.100.6': '10.9.9.2',
      '198.51.100.7': '10.9.9.6',
      '198.51.100.8': '10.9.9.6',
      '198.51.100.9': '10.9.9.6',
      '198.51.100.10': '10.9.9.1',
      '198.51.100.11': '10.9.9.4',
      '198.51.100.12': '10.9.9.3',
    },
  },
  {
    server: '10.1.0.12',
    first: '10.9.9.1',
    last: '10.9.9.7',
    persistent: true,
    given: {
      '198.51.100.1': '10.9.9.7',
      '198.51.100.2': '10.9.9.6',
      '198.51.100.3': '10.9.9.2',
      '198.51.100.4': '10.9.9.4',
      '198.51.100.5': '10.9.9.3',
      '198.51.100.6': '10.9.9.3',
      '198.51.100.7': '10.9.9.2',
      '198.51.100.8': '10.9.9.3',
      '198.51.100.9': '10.9.9.5',
      '198.51.100.10': '10.9.9.7',
      '198.51.100.11': '10.9.9.7',
      '198.51.100.12': '10.9.9.4',
    },
  },
  {
    server: 'fd00:1::11',
    first: 'fd00:9::5',
    last: 'fd00:9::9',
    persistent: false,
    given: {
      '2001:db8::1': 'fd00:9::8',
      '2001:db8::2': 'fd00:9::7',
      '2001:db8::3': 'fd00:9::5',
      '2001:db8::4': 'fd00:9::8',
      '2001:db8::5': 'fd00:9::9',
      '2001:db8::6': 'fd00:9::6',
      '2001:db8::7': 'fd00:9::6',
      '2001:db8::8': 'fd00:9::8',
      '2001:db8::9': 'fd00:9::8',
      '2001:db8::10': 'fd00:9::9',
      '2001:db8::11': 'fd00:9::6',
      '2001:db8::12': 'fd00:9::8',
    },
  },
];

test.each(OBSERVED)('towards $server, persistent $persistent: as the kernel chooses', (observed) => {
  const { server, first, last, persistent, given } = observed;
  const chosen = Object.keys(given).map((client) => {
    const { address0: source0, address1: source1, address2: source2, address3: source3 } = wordsOf(client);
    const { address0, address1, address2, address3 } = spreadOverRange(
      wordsOf(first),
      wordsOf(last),
      { ...NO_ENDS, ipv6: client.includes(':'), source0, source1, source2, source3 },
      wordsOf(server),
      persistent,
    );
    const family = client.includes(':') ? 'ipv6' : 'ipv4';
    return [client, formatAddress(family, [address0, address1, address2, address3])];
  });
  expect(Object.fromEntries(chosen)).toEqual(given);
});

const NO_ENDS = {
  protocol: 17,
  sourcePort: 1,
  destination0: 0,
  destination1: 0,
  destination2: 0,
  destination3: 0,
  destinationPort: 53,
};

function wordsOf(text: string) {
  const [address0, address1, address2, address3] = (parseAddress(text)?.words ?? []) as unknown as [
    number,
    number,
    number,
    number,
  ];
  return { address0, address1, address2, address3 };
}
