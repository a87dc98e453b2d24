/** The back ends that carry live traffic, by name. A new one is one file and one line here. */
import { macvtap } from './macvtap.ts';
import type { PacketIoKind } from './packet-io.ts';
import { packetMmsg } from './packet-mmsg.ts';
import { packetRing } from './packet-ring.ts';
import { pcap } from './pcap.ts';
import { xdp } from './xdp.ts';

export const LIVE_KINDS: Readonly<Record<string, PacketIoKind>> = {
  [packetRing.name]: packetRing,
  [packetMmsg.name]: packetMmsg,
  [pcap.name]: pcap,
  [xdp.name]: xdp,
  [macvtap.name]: macvtap,
};
