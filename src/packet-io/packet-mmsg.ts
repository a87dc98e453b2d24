/** The back end `packet-mmsg`: packet sockets read with recvmmsg(2). */
import { getLibc } from '../native/libc.ts';
import { fastPathRefused } from './fast-path/kernel-fast-path.ts';
import { mmsgReception } from './mmsg-source.ts';
import type { PacketIoKind } from './packet-io.ts';
import { nativeProvider, openPacketSockets, packetSocketsUnavailable } from './packet-socket-kind.ts';

export const packetMmsg: PacketIoKind = {
  name: 'packet-mmsg',
  summary: 'packet sockets, many frames in one system call; needs CAP_NET_RAW, and koffi or Node 26',
  thread: 'any',
  sharable: true,
  unavailable: packetSocketsUnavailable,
  provider: nativeProvider,
  fastPathRefused: () => fastPathRefused(getLibc()),
  open: (options = {}) => openPacketSockets('packet-mmsg', options, () => mmsgReception(getLibc(), options)),
};
