/** A small recording of one NAT connection, for tests that change it. */
import type { PacketStep, RecordedStep, Recording } from '../../src/conform/recording.ts';

const SYN = '450000281001400040065e62c00002090a0000644e210050000003e8000000005002faf0962b0000';
const SYN_TO_SERVER = '45000028100140003f065fbac00002090a01000b4e210050000003e8000000005002faf096830000';

export const PACKET: PacketStep = {
  t: 0.02,
  do: 'packet',
  dev: 'c0',
  hex: SYN,
  out: [{ dev: 's0', to: '10.1.0.11', hex: SYN_TO_SERVER }],
};

export function command(t: number, argv: string, stdout = '', stderr = '', exit = 0): RecordedStep {
  return { t, do: 'cmd', argv: argv.split(' '), stdout, stderr, exit };
}

export function recordingOf(steps: readonly RecordedStep[], changes: Partial<Recording> = {}): Recording {
  return {
    format: 1,
    id: 'one-connection',
    category: 'packets',
    title: 'a connection by NAT',
    env: {
      ifaces: [
        {
          name: 'c0',
          mac: '02:00:00:00:00:01',
          mtu: 1500,
          addrs: ['10.0.0.1/24', '10.0.0.100/32'],
          neigh: { '10.0.0.254': '02:00:00:00:00:fe' },
          gateways: ['10.0.0.254'],
        },
        {
          name: 's0',
          mac: '02:00:00:01:00:01',
          mtu: 1500,
          addrs: ['10.1.0.1/24'],
          neigh: { '10.1.0.11': '02:00:00:01:00:0b', '10.1.0.12': '02:00:00:01:00:0c' },
        },
      ],
      sysctl: {},
    },
    steps,
    ...changes,
  };
}

export const SET_UP: readonly RecordedStep[] = [
  command(0.001, 'ipvsadm -A -t 10.0.0.100:80 -s rr'),
  command(0.01, 'ipvsadm -a -t 10.0.0.100:80 -r 10.1.0.11 -m'),
];
