/** What to do about it: for every reason for which a packet is dropped or passed, the way out. One line each. */
import type { Reason } from '../engine/verdict.ts';

/** Empty: there is nothing to do. */
export const WAYS_OUT: Readonly<Record<Reason, string>> = {
  none: '',
  'not-ip': 'only IPv4, IPv6 and ARP are looked at; everything else is the host’s own business',
  'other-host':
    'the sender resolved the VIP to another machine’s MAC: look at its neighbour table (ip neigh), and whether some server answers ARP for the VIP',
  'own-frame':
    'a loop in the network brings our frames back: look for a second cable or a bridge without spanning tree',
  fragment: 'it waits for the rest of its packet; when that never comes, look for a filter or a small MTU on the way',
  'fragment-overlap': 'an honest sender does not do this; when it happens often, capture it and look at who sends it',
  'fragments-full': 'too many packets are in pieces at once: raise the MTU on the way, or lower what clients send',
  'fragment-timeout': 'pieces get lost on the way: look at the path’s MTU and at filters that drop fragments',
  protocol: 'only TCP, UDP, SCTP and ICMP errors are balanced',
  icmp: 'nothing to do: echo requests and errors about other traffic are answered by the host itself',
  'no-service':
    'add the service (ipvsadm -A -t ADDRESS:PORT -s wlc), or check address, port and protocol with `uipvs services`',
  'no-connection':
    'a TCP segment other than SYN needs a connection: it may have expired (`uipvs connections`), or begun at another director; net.ipv4.vs.sloppy_tcp=1 lets it begin here',
  'client-port-20': 'clients must not come from port 20, which is for FTP data of servers',
  truncated: 'the sender or the capture cut the packet off: capture whole packets (tcpdump -s 0)',
  'ip-checksum': 'something on the way damages headers: look at the link’s error counters (ip -s link)',
  'icmp-checksum': 'something on the way damages packets: look at the link’s error counters (ip -s link)',
  'no-destination':
    'give the service a server that takes connections: one of weight above 0 (ipvsadm -e), below its threshold, that `uipvs health` shows up; or a fallback',
  'destination-gone':
    'net.ipv4.vs.expire_nodest_conn=1 lets clients of a deleted server begin anew; or add the server again',
  'no-route': 'give the director a route to it (ip route get ADDRESS shows what it has)',
  'loopback-source': 'clients on the director itself must use one of its real addresses as their source',
  ttl: 'the packet has come too far: look for a routing loop (traceroute)',
  mtu: 'the sender is told the size that fits and should send less; when it does not, let ICMP through on the way, or clamp the MSS',
  'no-headroom':
    'super-frames do not fit into this tunnel here: switch off the link’s receive offloading (ethtool -K LINK gro off)',
  'local-refused': 'start uipvsd with its host link (the default), or put the server on another machine',
  'table-full': 'start uipvsd with a larger table (--connections), or look at who opens so many (`uipvs connections`)',
  'ports-used-up':
    'give full NAT more source addresses or a smaller net.ipv4.ip_local_port_range; each server has 64 thousand ports an address',
  'no-source-address': 'give the link towards the server an address of its family (ip address add)',
  'neighbor-unknown': 'the next hop does not answer ARP: is it up, and on this link? (ip neigh, arping)',
  'parking-full': 'too much waits for a next hop that does not answer: is it up, and on this link? (ip neigh)',
  'outbox-full': 'more than the engine may say in one turn: a flood of packets that each need an answer',
  method: 'the server of this connection is not known here: add it, or wait for the connection to expire',
  'no-engine-data': 'the persistence engine sip takes only SIP over UDP with a Call-ID',
  defence: 'net.ipv4.vs.drop_packet=0 switches this defence off (uipvs sysctl)',
  'stray-reply':
    'its connection has expired: raise the timeout (ipvsadm --set); net.ipv4.vs.nat_icmp_send=0 makes it silent',
  'tracked-connection':
    'the client should try again in a second; net.ipv4.vs.conn_reuse_mode or conntrack=0 changes it',
  'backup-only': 'this director is a backup: send the traffic to the master, or set net.ipv4.vs.backup_only=0',
  helper:
    'the FTP control connection is damaged on the way; encrypted FTP cannot be helped (use passive mode with fixed ports)',
  sync: '',
  'other-shard': 'nothing to do: the shard it belongs to has it too',
  'source-routed': 'source routing is refused by this host (net.ipv4.conf.all.accept_source_route)',
};
