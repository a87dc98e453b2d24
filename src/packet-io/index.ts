/** The back ends that carry live traffic, by name. A new one is one file and one line here. */
import type { PacketIoKind } from './packet-io.ts';
import { packetMmsg } from './packet-mmsg.ts';
import { pcap } from './pcap.ts';

export const LIVE_KINDS: Readonly<Record<string, PacketIoKind>> = {
  [packetMmsg.name]: packetMmsg,
  [pcap.name]: pcap,
};
