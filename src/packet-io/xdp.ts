/**
 * The back end `xdp`: an XDP program takes what the balancer serves before the host's stack sees it, and AF_XDP sockets
 * carry it; all else comes and goes as with `packet-ring`. For services of many small packets.
 */
import { Bpf } from '../native/bpf.ts';
import { getLibc, type Libc, LibcError } from '../native/libc.ts';
import { NativeReserve } from '../native/native-reserve.ts';
import { packetRingRefused } from '../native/packet-ring.ts';
import { createXdpSocket, registerUmem } from '../native/xdp-socket.ts';
import { takeOffOrphans } from './orphans.ts';
import type { PacketIoKind, PacketIoOptions } from './packet-io.ts';
import { nativeProvider, openPacketSockets, packetSocketsUnavailable } from './packet-socket-kind.ts';
import type { Reception } from './packet-sockets.ts';
import { RESERVE_BYTES, type RingArena, ringReception } from './ring-source.ts';
import { ClaimMaps } from './xdp/claim-maps.ts';
import { FRAME_MEMORY_BYTES, FrameMemory } from './xdp/frame-memory.ts';
import { xdpProgram } from './xdp/xdp-program.ts';
import { XdpSender } from './xdp/xdp-sender.ts';
import { XdpSource } from './xdp/xdp-source.ts';

export const xdp: PacketIoKind = {
  name: 'xdp',
  summary: 'AF_XDP beside packet-ring, for many small packets; needs CAP_BPF, and koffi or Node 26',
  thread: 'any',
  unavailable: async () => (await packetSocketsUnavailable()) ?? packetRingRefused(getLibc()) ?? xdpRefused(getLibc()),
  provider: nativeProvider,
  open: (options = {}) => openPacketSockets('xdp', options, () => xdpReception(getLibc(), options)),
};

/** Throws a LibcError where the kernel has no BPF maps for us. One at a time in a process. */
function xdpReception(libc: Libc, options: PacketIoOptions): Reception<RingArena> {
  takeOffOrphans(libc);
  const reserve = new NativeReserve(libc, RESERVE_BYTES);
  const ring = ringReception(libc, options, reserve);
  const bpf = new Bpf(libc);
  const maps = new ClaimMaps(libc, bpf);
  const parts = { libc, bpf, memory: new FrameMemory(libc, reserve), maps, options };
  return {
    asksBySystemCall: false,
    createArena: ring.createArena,
    open: (link, counters) => new XdpSource(parts, link, ring.open(link, counters, null)),
    createSender(source, own, counters) {
      const port = source instanceof XdpSource ? source.port : null;
      return port === null ? own : new XdpSender(libc, source as XdpSource, port, own, counters);
    },
    claims: maps,
    close: () => maps.close(),
  };
}

/** `null`, or why the kernel does not give us AF_XDP sockets and programs, with the way out. */
function xdpRefused(libc: Libc): string | null {
  const opened: number[] = [];
  const bpf = new Bpf(libc);
  try {
    const socket = createXdpSocket(libc);
    opened.push(socket);
    tryMemory(libc, socket);
    const maps = new ClaimMaps(libc, bpf);
    opened.push(maps.claims, maps.hostAddresses);
    const sockets = bpf.createMap({ type: 'sockets', keyBytes: 4, valueBytes: 4, entriesMax: 1 });
    opened.push(sockets);
    const options = { mac: new Uint8Array(6), frameBytesMax: 1500, takesAll: false, passesUnfinished: true };
    opened.push(
      bpf.loadProgram(
        'xdp',
        xdpProgram({ claims: maps.claims, hostAddresses: maps.hostAddresses, sockets }, options),
        'uipvs_probe',
      ),
    );
    return null;
  } catch (error) {
    return `${sentence(error as Error)}; packet-ring does without`;
  } finally {
    for (const descriptor of opened) libc.close(descriptor);
  }
}

/** Throws a LibcError where the kernel may not keep that much in memory for us. */
function tryMemory(libc: Libc, socket: number): void {
  const address = libc.mmap(FRAME_MEMORY_BYTES);
  try {
    registerUmem(libc, socket, address, FRAME_MEMORY_BYTES);
  } finally {
    libc.munmap(address, FRAME_MEMORY_BYTES);
  }
}

function sentence(error: Error): string {
  if (!(error instanceof LibcError)) return error.message;
  if (error.code === 'EPERM' || error.code === 'EACCES') {
    return (
      'the right CAP_BPF is missing, or the container forbids bpf(2); run as root, or add it ' +
      '(under systemd: "systemctl edit uipvsd", CapabilityBoundingSet=CAP_BPF CAP_IPC_LOCK and SystemCallFilter=bpf)'
    );
  }
  if (error.code === 'ENOSYS') return 'this kernel has no bpf(2) (CONFIG_BPF_SYSCALL)';
  if (error.code === 'EINVAL') return 'this kernel has no map for AF_XDP sockets (CONFIG_XDP_SOCKETS)';
  if (error.code === 'ENOBUFS') {
    return 'the limit of locked memory is too low; raise it (ulimit -l 65536, LimitMEMLOCK=64M), or add CAP_IPC_LOCK';
  }
  return `the kernel refuses (${error.message})`;
}
