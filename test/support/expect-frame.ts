/**
 * Checks a frame layer by layer, so that a failure names the field:
 *
 *     expectFrame(sent, ipv4({ to: REAL1, ttl: 63 }), tcp({ toPort: 8080, syn: true, payload: 'hello' }))
 *
 * The first layer may leave out Ethernet; after that every layer must be the next one of the frame. Layers at the
 * end may be left out. A checksum that is not named must not be wrong: only `valid`, `none` (UDP) and
 * `unverifiable` (fragments, quotes) pass.
 */
import { AssertionError } from 'node:assert';
import { isDeepStrictEqual } from 'node:util';
import { type ChecksumState, decodeFrame, decodePacket, type Layer, type LayerName } from './decode.ts';

export interface LayerExpectation {
  readonly layer: LayerName;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** `any` switches the check off. */
type ExpectedChecksum = ChecksumState | 'any';
type ExpectedPayload = Uint8Array | string;

export const ethernet = (fields: { from?: string; to?: string; type?: number; vlan?: number }): LayerExpectation =>
  expectation('ethernet', fields);

export const arp = (fields: {
  operation?: 'request' | 'reply';
  senderMac?: string;
  senderIp?: string;
  targetMac?: string;
  targetIp?: string;
}): LayerExpectation => expectation('arp', fields);

export const ipv4 = (fields: {
  from?: string;
  to?: string;
  ttl?: number;
  tos?: number;
  id?: number;
  df?: boolean;
  moreFragments?: boolean;
  fragmentOffset?: number;
  protocol?: number;
  length?: number;
  options?: readonly number[];
  checksum?: ExpectedChecksum;
}): LayerExpectation => expectation('ipv4', fields);

export const ipv6 = (fields: {
  from?: string;
  to?: string;
  hopLimit?: number;
  trafficClass?: number;
  flowLabel?: number;
  nextHeader?: number;
  length?: number;
  extensions?: readonly number[];
  fragment?: { offset: number; more: boolean; id: number };
}): LayerExpectation => expectation('ipv6', fields);

export const tcp = (fields: {
  fromPort?: number;
  toPort?: number;
  seq?: number;
  acknowledgment?: number;
  syn?: boolean;
  ack?: boolean;
  fin?: boolean;
  rst?: boolean;
  psh?: boolean;
  urg?: boolean;
  ece?: boolean;
  cwr?: boolean;
  window?: number;
  urgentPointer?: number;
  options?: readonly number[];
  checksum?: ExpectedChecksum;
  payload?: ExpectedPayload;
}): LayerExpectation => expectation('tcp', fields);

export const udp = (fields: {
  fromPort?: number;
  toPort?: number;
  length?: number;
  checksum?: ExpectedChecksum;
  payload?: ExpectedPayload;
}): LayerExpectation => expectation('udp', fields);

/** ICMP and ICMPv6. `quoted` are the layers of the packet that an error is about, from its IP header on. */
export const icmp = (fields: {
  type?: number;
  code?: number;
  id?: number;
  sequence?: number;
  mtu?: number;
  checksum?: ExpectedChecksum;
  payload?: ExpectedPayload;
  quoted?: readonly LayerExpectation[];
}): LayerExpectation => expectation('icmp', fields);

/** A protocol without words of its own here. */
export const other = (fields: { protocol?: number; payload?: ExpectedPayload }): LayerExpectation =>
  expectation('other', fields);

/** `null`, `undefined` and empty lists fail as "no frame", so results can be handed over as they are. */
export function expectFrame(
  frame: Uint8Array | readonly Uint8Array[] | null | undefined,
  ...expected: readonly LayerExpectation[]
): void {
  expectLayers(decodeFrame(onlyFrame(frame)), expected, '');
}

/** The same for a packet without Ethernet in front. */
export function expectPacket(
  packet: Uint8Array | readonly Uint8Array[] | null | undefined,
  ...expected: readonly LayerExpectation[]
): void {
  expectLayers(decodePacket(onlyFrame(packet)), expected, '');
}

function onlyFrame(frame: Uint8Array | readonly Uint8Array[] | null | undefined): Uint8Array {
  if (frame instanceof Uint8Array) return frame;
  const frames = frame ?? [];
  if (frames.length !== 1) fail('frames', 1, frames.length, []);
  return frames[0] as Uint8Array;
}

function expectLayers(layers: readonly Layer[], expected: readonly LayerExpectation[], prefix: string): void {
  let index = layers[0]?.name === 'ethernet' && expected[0]?.layer !== 'ethernet' ? 1 : 0;
  for (const expectedLayer of expected) {
    const layer = layers[index++];
    if (layer?.name !== expectedLayer.layer) fail(`${prefix}layer`, expectedLayer.layer, layer?.name ?? 'none', layers);
    expectFields(layer, expectedLayer.fields, `${prefix}${layer.name}`, layers);
  }
}

function expectFields(
  layer: Layer,
  expected: Readonly<Record<string, unknown>>,
  path: string,
  layers: readonly Layer[],
): void {
  if (expected['checksum'] === undefined && layer.fields['checksum'] !== undefined) {
    const state = layer.fields['checksum'] as ChecksumState;
    if (state === 'broken' || state === 'partial') fail(`${path}.checksum`, 'valid', state, layers);
  }
  for (const [name, value] of Object.entries(expected)) {
    if (value === undefined || (name === 'checksum' && value === 'any')) continue;
    const found = layer.fields[name];
    if (name === 'quoted') expectLayers(found as Layer[], value as readonly LayerExpectation[], `${path}.quoted.`);
    else if (!isSame(found, value)) fail(`${path}.${name}`, plain(value), plain(found), layers);
  }
}

function isSame(found: unknown, expected: unknown): boolean {
  return isDeepStrictEqual(plain(found), plain(expected));
}

/** Bytes as hexadecimal text and text as the bytes it stands for, so that payloads compare and print well. */
function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

function expectation(layer: LayerName, fields: Readonly<Record<string, unknown>>): LayerExpectation {
  const text = fields['payload'];
  if (typeof text !== 'string') return { layer, fields };
  return { layer, fields: { ...fields, payload: new TextEncoder().encode(text) } };
}

function fail(field: string, expected: unknown, actual: unknown, layers: readonly Layer[]): never {
  const found = layers.map((layer) => `\n  ${layer.name} ${JSON.stringify(layer.fields, (_, value) => plain(value))}`);
  const message = `${field}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(actual)}${found.join('')}`;
  throw new AssertionError({ message, expected, actual, operator: 'expectFrame' });
}
