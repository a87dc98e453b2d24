import { expect, test } from 'vitest';
import { chooseIo } from '../../../src/data-plane/packet/choose-io.ts';
import type { PacketIoKind } from '../../../src/packet-io/packet-io.ts';

function kinds(reasons: Record<string, string | null>): Record<string, PacketIoKind> {
  return Object.fromEntries(
    Object.entries(reasons).map(([name, reason]) => [
      name,
      { name, summary: '', thread: 'any', unavailable: async () => reason, open: () => Promise.reject(new Error()) },
    ]),
  );
}

test('packet sockets are preferred, with a ring', async () => {
  const { kind, passedOver } = await chooseIo(kinds({ pcap: null, 'packet-mmsg': null, 'packet-ring': null }));
  expect(kind.name).toBe('packet-ring');
  expect(passedOver).toEqual([]);
});

test('what does not work is passed over, and the reason is told', async () => {
  const { kind, passedOver } = await chooseIo(kinds({ 'packet-mmsg': 'koffi is missing', pcap: null }));
  expect(kind.name).toBe('pcap');
  expect(passedOver).toEqual(['packet-mmsg: koffi is missing']);
  const noRing = await chooseIo(kinds({ 'packet-ring': 'no rings here', 'packet-mmsg': null, pcap: null }));
  expect(noRing).toMatchObject({ kind: { name: 'packet-mmsg' }, passedOver: ['packet-ring: no rings here'] });
});

test('a back end that was named is never replaced by another', async () => {
  const named = chooseIo(kinds({ 'packet-mmsg': 'koffi is missing', pcap: null }), 'packet-mmsg');
  await expect(named).rejects.toThrow('I/O back end packet-mmsg does not work here: koffi is missing');
});

test('one whose frames all come to one process is not shared by several workers', async () => {
  const shared = {
    ...kinds({ pcap: null }),
    'packet-mmsg': { ...kinds({ x: null })['x'], name: 'packet-mmsg', sharable: true },
  };
  const all = shared as Record<string, PacketIoKind>;
  await expect(chooseIo(all, 'pcap', 2)).rejects.toMatchObject({
    code: 'EOPNOTSUPP',
    message: expect.stringMatching(
      /^I\/O back end pcap does not work here: .*so 2 shards cannot share them; use packet-ring/,
    ),
  });
  expect((await chooseIo(all, 'pcap', 1)).kind.name).toBe('pcap');
  expect((await chooseIo(all, undefined, 2)).kind.name).toBe('packet-mmsg');
  await expect(chooseIo(kinds({ pcap: null }), undefined, 2)).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
});

test('an unknown name and a host where nothing works are refused in one sentence', async () => {
  await expect(chooseIo(kinds({ pcap: null }), 'toString')).rejects.toThrow('no I/O back end is called toString');
  await expect(chooseIo(kinds({ pcap: 'no libpcap' }))).rejects.toThrow('no I/O back end works here: pcap: no libpcap');
});
