/** The back end `packet-ring`: packet sockets whose frames come in memory shared with the kernel. The fastest. */
import { getLibc } from '../native/libc.ts';
import { packetRingRefused } from '../native/packet-ring.ts';
import { fastPathRefused } from './fast-path/kernel-fast-path.ts';
import type { PacketIoKind } from './packet-io.ts';
import { nativeProvider, openPacketSockets, packetSocketsUnavailable } from './packet-socket-kind.ts';
import { ringReception } from './ring-source.ts';

export const packetRing: PacketIoKind = {
  name: 'packet-ring',
  summary: 'packet sockets, frames in memory shared with the kernel; needs CAP_NET_RAW, and koffi or Node 26',
  thread: 'any',
  sharable: true,
  unavailable: async () => (await packetSocketsUnavailable()) ?? packetRingRefused(getLibc()),
  provider: nativeProvider,
  fastPathRefused: () => fastPathRefused(getLibc()),
  open: (options = {}) => openPacketSockets('packet-ring', options, () => ringReception(getLibc(), options)),
};
