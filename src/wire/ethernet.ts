/** Ethernet II frames, in place. Source: IEEE 802.3, RFC 894. */
import { readUint16, writeUint16 } from './bytes.ts';

export const ETHERNET_HEADER_BYTES = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;

const SOURCE = 6;
const TYPE = 12;

export function etherType(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + TYPE);
}

export function setEtherType(bytes: Uint8Array, at: number, type: number): void {
  writeUint16(bytes, at + TYPE, type);
}

/** True when the frame's destination is exactly `mac` (six bytes). */
export function isSentTo(bytes: Uint8Array, at: number, mac: Uint8Array): boolean {
  return (
    bytes[at] === mac[0] &&
    bytes[at + 1] === mac[1] &&
    bytes[at + 2] === mac[2] &&
    bytes[at + 3] === mac[3] &&
    bytes[at + 4] === mac[4] &&
    bytes[at + 5] === mac[5]
  );
}

/** Broadcast or multicast: the lowest bit of the first octet. */
export function isGroupAddressed(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at] as number) & 1) === 1;
}

export function setEthernetAddresses(bytes: Uint8Array, at: number, destination: Uint8Array, source: Uint8Array): void {
  for (let i = 0; i < 6; i++) {
    bytes[at + i] = destination[i] as number;
    bytes[at + SOURCE + i] = source[i] as number;
  }
}

/** Copies the frame's source address into `into[0..6)`. */
export function copyEthernetSource(bytes: Uint8Array, at: number, into: Uint8Array): void {
  for (let i = 0; i < 6; i++) into[i] = bytes[at + SOURCE + i] as number;
}

export const BROADCAST_MAC: Uint8Array = new Uint8Array([255, 255, 255, 255, 255, 255]);
