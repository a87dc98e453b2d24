/** ARP for IPv4 over Ethernet, in place. Source: RFC 826; probes RFC 5227. */
import { readInt32, readUint16, writeInt32, writeUint16 } from './bytes.ts';
import { BROADCAST_MAC, ETHERNET_HEADER_BYTES, ETHERTYPE_ARP, setEthernetAddresses, setEtherType } from './ethernet.ts';

export const ARP_BYTES = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

const HARDWARE = 0;
const PROTOCOL = 2;
const LENGTHS = 4;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;

/** True when `bytes[at..end)` is a whole IPv4-over-Ethernet message; after that the readers below are safe. */
export function isArp(bytes: Uint8Array, at: number, end: number): boolean {
  return (
    end - at >= ARP_BYTES &&
    readUint16(bytes, at + HARDWARE) === 1 &&
    readUint16(bytes, at + PROTOCOL) === 0x0800 &&
    readUint16(bytes, at + LENGTHS) === 0x0604
  );
}

export function arpOperation(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + OPERATION);
}

export function arpSenderAddress(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + SENDER_IP);
}

export function arpTargetAddress(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + TARGET_IP);
}

export function copyArpSenderMac(bytes: Uint8Array, at: number, into: Uint8Array): void {
  for (let i = 0; i < 6; i++) into[i] = bytes[at + SENDER_MAC + i] as number;
}

/** Turns the request at `frameAt` (an Ethernet frame) into the answer "`target` is at `mac`", in place. */
export function answerArp(bytes: Uint8Array, frameAt: number, mac: Uint8Array): void {
  const at = frameAt + ETHERNET_HEADER_BYTES;
  const askedFor = readInt32(bytes, at + TARGET_IP);
  bytes.copyWithin(at + TARGET_MAC, at + SENDER_MAC, at + SENDER_MAC + 10);
  writeUint16(bytes, at + OPERATION, ARP_REPLY);
  bytes.set(mac, at + SENDER_MAC);
  writeInt32(bytes, at + SENDER_IP, askedFor);
  bytes.copyWithin(frameAt, at + TARGET_MAC, at + TARGET_MAC + 6);
  bytes.set(mac, frameAt + 6);
}

/** A request frame "who has `target`? tell `sender`", ready to send. `sender` 0 makes it a probe. */
export function writeArpRequest(
  bytes: Uint8Array,
  frameAt: number,
  mac: Uint8Array,
  sender: number,
  target: number,
): number {
  const at = frameAt + ETHERNET_HEADER_BYTES;
  setEthernetAddresses(bytes, frameAt, BROADCAST_MAC, mac);
  setEtherType(bytes, frameAt, ETHERTYPE_ARP);
  writeUint16(bytes, at + HARDWARE, 1);
  writeUint16(bytes, at + PROTOCOL, 0x0800);
  writeUint16(bytes, at + LENGTHS, 0x0604);
  writeUint16(bytes, at + OPERATION, ARP_REQUEST);
  bytes.set(mac, at + SENDER_MAC);
  writeInt32(bytes, at + SENDER_IP, sender);
  bytes.fill(0, at + TARGET_MAC, at + TARGET_IP);
  writeInt32(bytes, at + TARGET_IP, target);
  return ETHERNET_HEADER_BYTES + ARP_BYTES;
}
