/** Neighbour solicitations and advertisements over Ethernet, in place. Source: RFC 4861, sections 4.3, 4.4 and 7. */
import { readInt32, readUint8, writeInt32, writeUint8 } from './bytes.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV6, setEthernetAddresses, setEtherType } from './ethernet.ts';
import {
  fillIcmpv6Checksum,
  ICMPV6_NEIGHBOR_ADVERTISEMENT,
  ICMPV6_NEIGHBOR_SOLICITATION,
  icmpv6ChecksumIsRight,
} from './icmpv6.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  ipv6HopLimit,
  PROTOCOL_ICMPV6,
  writeIpv6Address,
  writeIpv6Header,
} from './ipv6.ts';

/** Nobody further away than this link can have sent a message with it. */
const HOP_LIMIT = 255;
const TARGET = 8;
const OPTIONS = 24;
const OPTION_SOURCE_MAC = 1;
const OPTION_TARGET_MAC = 2;
const MAC_OPTION_BYTES = 8;
const SOLICITED_AND_OVERRIDE = 0x6000_0000;

/** Type, code, checksum, flags, target and one option. */
const MESSAGE_BYTES = OPTIONS + MAC_OPTION_BYTES;
/** Length of the frames that `writeNeighborSolicitation` and `writeNeighborAdvertisement` make. */
export const NEIGHBOR_FRAME_BYTES: number = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + MESSAGE_BYTES;

/** True for a whole message from this link with a right checksum: then the readers below are safe. */
export function isNeighborMessage(bytes: Uint8Array, ipAt: number, at: number, end: number): boolean {
  return (
    end - at >= OPTIONS &&
    readUint8(bytes, at + 1) === 0 &&
    ipv6HopLimit(bytes, ipAt) === HOP_LIMIT &&
    icmpv6ChecksumIsRight(bytes, ipAt, at, end)
  );
}

/** Word `index` (0..3) of the address that is asked for or told about. */
export function neighborTargetWord(bytes: Uint8Array, at: number, index: number): number {
  return readInt32(bytes, at + TARGET + 4 * index);
}

/** Copies the sender's MAC (solicitation) or the target's (advertisement) into `into`. False: it is not said. */
export function copyNeighborMac(bytes: Uint8Array, at: number, end: number, into: Uint8Array): boolean {
  const wanted = readUint8(bytes, at) === ICMPV6_NEIGHBOR_SOLICITATION ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC;
  let option = at + OPTIONS;
  while (end - option >= MAC_OPTION_BYTES) {
    const length = readUint8(bytes, option + 1) * 8;
    if (length === 0 || option + length > end) return false;
    if (readUint8(bytes, option) === wanted) {
      for (let i = 0; i < 6; i++) into[i] = bytes[option + 2 + i] as number;
      return true;
    }
    option += length;
  }
  return false;
}

/** Sixteen bytes of an address that both sides know, four words each. */
export interface AddressWords {
  readonly address0: number;
  readonly address1: number;
  readonly address2: number;
  readonly address3: number;
}

/** "Who has `target`? tell `sender`", to the solicited-node group. Returns the end of the frame. */
export function writeNeighborSolicitation(
  bytes: Uint8Array,
  frameAt: number,
  mac: Uint8Array,
  sender: AddressWords,
  target: AddressWords,
): number {
  const group = target.address3 & 0xff_ffff;
  groupMac[3] = group >>> 16;
  groupMac[4] = group >>> 8;
  groupMac[5] = group;
  setEthernetAddresses(bytes, frameAt, groupMac, mac);
  const ipAt = frameAt + ETHERNET_HEADER_BYTES;
  writeIpv6Address(bytes, ipAt + IPV6_DESTINATION, 0xff02_0000 | 0, 0, 1, 0xff00_0000 | group);
  return writeMessage(bytes, frameAt, ICMPV6_NEIGHBOR_SOLICITATION, 0, mac, sender, target);
}

/** 33:33:ff and the last three bytes of the address. */
const groupMac = new Uint8Array([0x33, 0x33, 0xff, 0, 0, 0]);

/** "`target` is at `mac`", to the address and MAC that asked. Returns the end of the frame. */
export function writeNeighborAdvertisement(
  bytes: Uint8Array,
  frameAt: number,
  mac: Uint8Array,
  askerMac: Uint8Array,
  asker: AddressWords,
  target: AddressWords,
): number {
  setEthernetAddresses(bytes, frameAt, askerMac, mac);
  const ipAt = frameAt + ETHERNET_HEADER_BYTES;
  writeIpv6Address(bytes, ipAt + IPV6_DESTINATION, asker.address0, asker.address1, asker.address2, asker.address3);
  return writeMessage(bytes, frameAt, ICMPV6_NEIGHBOR_ADVERTISEMENT, SOLICITED_AND_OVERRIDE, mac, target, target);
}

function writeMessage(
  bytes: Uint8Array,
  frameAt: number,
  type: number,
  flags: number,
  mac: Uint8Array,
  sender: AddressWords,
  target: AddressWords,
): number {
  setEtherType(bytes, frameAt, ETHERTYPE_IPV6);
  const ipAt = frameAt + ETHERNET_HEADER_BYTES;
  const at = ipAt + IPV6_HEADER_BYTES;
  const end = at + MESSAGE_BYTES;
  writeIpv6Header(bytes, ipAt, 0, MESSAGE_BYTES, PROTOCOL_ICMPV6, HOP_LIMIT);
  writeIpv6Address(bytes, ipAt + IPV6_SOURCE, sender.address0, sender.address1, sender.address2, sender.address3);
  writeUint8(bytes, at, type);
  writeUint8(bytes, at + 1, 0);
  writeInt32(bytes, at + 4, flags);
  writeIpv6Address(bytes, at + TARGET, target.address0, target.address1, target.address2, target.address3);
  writeUint8(bytes, at + OPTIONS, type === ICMPV6_NEIGHBOR_SOLICITATION ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC);
  writeUint8(bytes, at + OPTIONS + 1, 1);
  bytes.set(mac, at + OPTIONS + 2);
  fillIcmpv6Checksum(bytes, ipAt, at, end);
  return end;
}
