/** Sends synchronisation datagrams to a group, out of the interface that has an address of this host. */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';

/** A receiver on the same machine gets a moment after so many. */
const BURST = 16;
const PAUSE_MS = 2;

export interface GroupAddress {
  /** IPv4, of an interface of this host. */
  readonly from: string;
  readonly group: string;
  readonly port: number;
}

/** Rejects with an Error of the socket. */
export async function sendToGroup(
  datagrams: readonly Uint8Array[],
  { from, group, port }: GroupAddress,
): Promise<void> {
  const socket = createSocket('udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(0, from, resolve);
    });
    socket.setMulticastInterface(from);
    socket.setMulticastTTL(1);
    socket.setMulticastLoopback(true);
    for (const [index, datagram] of datagrams.entries()) {
      await new Promise<void>((resolve, reject) => {
        socket.send(datagram, port, group, (error) => (error === null ? resolve() : reject(error)));
      });
      if (index % BURST === BURST - 1) await sleep(PAUSE_MS);
    }
  } finally {
    socket.close();
  }
}
