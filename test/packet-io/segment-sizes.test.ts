import { expect, test } from 'vitest';
import { SegmentSizes } from '../../src/packet-io/segment-sizes.ts';
import { packetFrame } from './support/frames.ts';

const CLIENT = [10, 0, 0, 1];
const SERVER = [10, 0, 0, 2];
/** Frames of support/frames.ts go from port 40000; the same both ways keeps the ports of an answer right. */
const PORT = 40000;
const TIMESTAMPS = Buffer.from('0101080a0000000100000002', 'hex');

function syn(tcpOptions?: Uint8Array, source = SERVER, destination = CLIENT) {
  const spec = { protocol: 'tcp' as const, payload: Buffer.alloc(0), tcpFlags: 0x12, destinationPort: PORT };
  return packetFrame(tcpOptions ? { ...spec, source, destination, tcpOptions } : { ...spec, source, destination });
}
const data = packetFrame({
  protocol: 'tcp',
  payload: Buffer.alloc(4000),
  tcpOptions: TIMESTAMPS,
  source: CLIENT,
  destination: SERVER,
  destinationPort: PORT,
});

test('data is cut as its receiver has announced, less the options in every header', () => {
  const sizes = new SegmentSizes();
  const frame = syn(Buffer.concat([Buffer.from([1, 1, 1, 1]), Buffer.from('02040550', 'hex')]));
  sizes.learn(frame, 0, frame.length);
  expect(sizes.find(data, 0, data.length)).toBe(1360 - 12);
});

test('a receiver that announced nothing takes 536 bytes', () => {
  const sizes = new SegmentSizes();
  const frame = syn();
  sizes.learn(frame, 0, frame.length);
  expect(sizes.find(data, 0, data.length)).toBe(536 - 12);
});

test("nothing is known of others, of the sender's own limit, or of a connection without a SYN", () => {
  const sizes = new SegmentSizes();
  expect(sizes.find(data, 0, data.length)).toBe(0);
  for (const other of [syn(undefined, CLIENT, SERVER), syn(undefined, [10, 0, 0, 3], CLIENT), data]) {
    sizes.learn(other, 0, other.length);
    expect(sizes.find(data, 0, data.length)).toBe(0);
  }
});

test('options that make no sense are not followed', () => {
  for (const options of ['02000000', '08ff0000', '02040000', '00020405', '01010102']) {
    const sizes = new SegmentSizes();
    const frame = syn(Buffer.from(options, 'hex'));
    sizes.learn(frame, 0, frame.length);
    expect([0, 524]).toContain(sizes.find(data, 0, data.length));
  }
});
