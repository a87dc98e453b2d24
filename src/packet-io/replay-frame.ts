/** Makes Ethernet frames of what capture files hold. Source of the cooked header: LINKTYPE_LINUX_SLL, tcpdump.org. */
import { readUint8, readUint16 } from '../wire/bytes.ts';
import { LinkType } from '../wire/capture-format.ts';
import {
  BROADCAST_MAC,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  setEthernetAddresses,
  setEtherType,
} from '../wire/ethernet.ts';

const COOKED_HEADER_BYTES = 16;
const COOKED_ADDRESS_LENGTH = 4;
const COOKED_ADDRESS = 6;
const COOKED_PROTOCOL = 14;
/** First field of the cooked header: for whom the packet was. */
const COOKED_TO_GROUP_MIN = 1;
const COOKED_TO_GROUP_MAX = 2;
const COOKED_SENT_BY_US = 4;
/** Who sent a packet that has no link header. */
const UNKNOWN_SENDER: Uint8Array = Uint8Array.of(2, 0, 0, 0, 0xff, 0xff);

/**
 * The packet as a frame sent to `mac`. Ethernet frames stay as they are. `null`: too short to tell what it is, no IP,
 * or a cooked packet that the capturing host itself had sent.
 */
export function ethernetFrameOf(data: Uint8Array, linkType: number, mac: Uint8Array): Uint8Array | null {
  if (linkType === LinkType.ETHERNET) return data;
  return linkType === LinkType.LINUX_SLL ? frameOfCooked(data, mac) : frameOfRaw(data, mac);
}

function frameOfRaw(data: Uint8Array, mac: Uint8Array): Uint8Array | null {
  const version = data.length > 0 ? readUint8(data, 0) >>> 4 : 0;
  if (version !== 4 && version !== 6) return null;
  return frameOf(mac, UNKNOWN_SENDER, version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6, data);
}

function frameOfCooked(data: Uint8Array, mac: Uint8Array): Uint8Array | null {
  if (data.length < COOKED_HEADER_BYTES) return null;
  const kind = readUint16(data, 0);
  if (kind === COOKED_SENT_BY_US) return null;
  const hasAddress = readUint16(data, COOKED_ADDRESS_LENGTH) === 6;
  const sender = hasAddress ? data.subarray(COOKED_ADDRESS, COOKED_ADDRESS + 6) : UNKNOWN_SENDER;
  const isForGroup = kind >= COOKED_TO_GROUP_MIN && kind <= COOKED_TO_GROUP_MAX;
  const type = readUint16(data, COOKED_PROTOCOL);
  return frameOf(isForGroup ? BROADCAST_MAC : mac, sender, type, data.subarray(COOKED_HEADER_BYTES));
}

function frameOf(to: Uint8Array, from: Uint8Array, type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + payload.length);
  setEthernetAddresses(frame, 0, to, from);
  setEtherType(frame, 0, type);
  frame.set(payload, ETHERNET_HEADER_BYTES);
  return frame;
}
