/** The examples in src/explain/examples: a name, what it shows, and the packets that are typed. */
export const DIRECTOR = '192.168.1.10';

export const EXAMPLES: readonly { readonly name: string; readonly packets: string; readonly exitCode?: number }[] = [
  { name: 'nat', packets: 'tcp 10.0.0.5:40000 > 192.168.1.120:80 S' },
  {
    name: 'nat-reply',
    packets: 'tcp 10.0.0.5:40000 > 192.168.1.120:80 S then tcp 192.168.1.12:8080 > 10.0.0.5:40000 S.',
  },
  { name: 'full-nat', packets: 'tcp 10.0.0.5:40000 > 192.168.1.121:80 S' },
  { name: 'direct', packets: 'tcp 10.0.0.5:40000 > 192.168.1.122:80 S' },
  { name: 'tunnel', packets: 'tcp 10.0.0.5:40000 > 192.168.1.123:80 S' },
  {
    name: 'icmp-error',
    packets:
      'udp 10.0.0.5:5000 > 192.168.1.124:53 len=12 then ' +
      'icmp 192.168.1.31 > 10.0.0.5 unreachable-port about udp 10.0.0.5:5000 > 192.168.1.31:5353 len=12',
  },
  { name: 'persistence', packets: 'tcp 10.0.0.5:1 > 192.168.1.125:80 S then tcp 10.0.0.5:2 > 192.168.1.125:80 S' },
  { name: 'no-server', packets: 'tcp 10.0.0.5:40000 > 192.168.1.126:80 S', exitCode: 3 },
  { name: 'no-connection', packets: 'tcp 10.0.0.5:40000 > 192.168.1.120:80 .' },
  { name: 'ipv6', packets: 'tcp [2001:db8:2::5]:40000 > [2001:db8::120]:80 S' },
];
