/**
 * Makes Ethernet frames of what capture files hold. Source of the cooked headers: LINKTYPE_LINUX_SLL and
 * LINKTYPE_LINUX_SLL2, tcpdump.org.
 */
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

/** Where the fields of a cooked header stand, in bytes. */
interface CookedLayout {
  readonly headerBytes: number;
  /** For whom the packet was; it and the length of the address take so many bytes each. */
  readonly kind: number;
  readonly kindBytes: 1 | 2;
  readonly addressLength: number;
  readonly address: number;
  readonly protocol: number;
}

const COOKED: CookedLayout = { headerBytes: 16, kind: 0, kindBytes: 2, addressLength: 4, address: 6, protocol: 14 };
const COOKED2: CookedLayout = { headerBytes: 20, kind: 10, kindBytes: 1, addressLength: 11, address: 12, protocol: 0 };
const LOOP_HEADER_BYTES = 4;
const COOKED_TO_GROUP_MIN = 1;
const COOKED_TO_GROUP_MAX = 2;
const COOKED_SENT_BY_US = 4;
/** Who sent a packet that has no link header. */
const UNKNOWN_SENDER: Uint8Array = Uint8Array.of(2, 0, 0, 0, 0xff, 0xff);

/** What a captured packet is, when it is no frame that can be replayed. */
export type NoFrame = 'too-short' | 'not-ip' | 'sent-by-us';

/**
 * The packet as a frame sent to `mac`. Ethernet frames stay as they are. Otherwise the reason why there is none: too
 * short to tell what it is, no IP, or a cooked packet that the capturing host itself had sent.
 */
export function ethernetFrameOf(data: Uint8Array, linkType: number, mac: Uint8Array): Uint8Array | NoFrame {
  switch (linkType) {
    case LinkType.ETHERNET:
      return data;
    case LinkType.LINUX_SLL:
      return frameOfCooked(data, mac, COOKED);
    case LinkType.LINUX_SLL2:
      return frameOfCooked(data, mac, COOKED2);
    case LinkType.NULL:
    case LinkType.LOOP:
      // The number of the address family differs from system to system; the packet itself tells.
      return data.length < LOOP_HEADER_BYTES ? 'too-short' : frameOfRaw(data.subarray(LOOP_HEADER_BYTES), mac);
    default:
      return frameOfRaw(data, mac);
  }
}

function frameOfRaw(data: Uint8Array, mac: Uint8Array): Uint8Array | NoFrame {
  if (data.length === 0) return 'too-short';
  const version = readUint8(data, 0) >>> 4;
  if (version !== 4 && version !== 6) return 'not-ip';
  return frameOf(mac, UNKNOWN_SENDER, version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6, data);
}

function frameOfCooked(data: Uint8Array, mac: Uint8Array, layout: CookedLayout): Uint8Array | NoFrame {
  if (data.length < layout.headerBytes) return 'too-short';
  const kind = layout.kindBytes === 1 ? readUint8(data, layout.kind) : readUint16(data, layout.kind);
  if (kind === COOKED_SENT_BY_US) return 'sent-by-us';
  const hasAddress =
    (layout.kindBytes === 1 ? readUint8(data, layout.addressLength) : readUint16(data, layout.addressLength)) === 6;
  const sender = hasAddress ? data.subarray(layout.address, layout.address + 6) : UNKNOWN_SENDER;
  const isForGroup = kind >= COOKED_TO_GROUP_MIN && kind <= COOKED_TO_GROUP_MAX;
  const type = readUint16(data, layout.protocol);
  return frameOf(isForGroup ? BROADCAST_MAC : mac, sender, type, data.subarray(layout.headerBytes));
}

function frameOf(to: Uint8Array, from: Uint8Array, type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + payload.length);
  setEthernetAddresses(frame, 0, to, from);
  setEtherType(frame, 0, type);
  frame.set(payload, ETHERNET_HEADER_BYTES);
  return frame;
}
