/** Starts the generator of small packets on a host of a place and waits until it sends. */
import type { ChildProcess } from 'node:child_process';
import { LabError } from '../../../src/lab/host.ts';
import { CLIENT, MACS, PORTS, SERVERS } from '../network.ts';
import type { Peer } from '../peer.ts';
import type { Place } from '../place.ts';

const FLOWS = 64;
const FIRST_PORT = 20_000;

export interface Flood {
  /** Resolves with what it sent. */
  readonly done: Promise<{ readonly sent: number; readonly refused: number; readonly seconds: number }>;
  /** Ends it before its time; resolves when it is gone. */
  readonly stop: () => Promise<void>;
}

export interface FloodOptions {
  readonly from: 'client' | 'server';
  readonly seconds: number;
  /** Packets a second; 0: as many as go. */
  readonly rate: number;
  /** The director's interface is made to believe that its card delivers the packets; without pace, from the client only. */
  readonly asCard?: boolean;
  /** Processor that the generator keeps to. */
  readonly pinTo: number | null;
}

export async function startFlood(peer: Peer, place: Place, options: FloodOptions): Promise<Flood> {
  const { from, seconds, rate, pinTo, asCard = false } = options;
  const atServer = from === 'server';
  const straight = peer.cabling === 'straight';
  const serverMac = straight ? MACS.directorClientSide : MACS.server;
  const ends = atServer
    ? [serverMac, straight ? MACS.client : MACS.directorServerSide, SERVERS[0], CLIENT, PORTS.discard, FIRST_PORT]
    : [MACS.client, MACS.directorClientSide, CLIENT, peer.target, FIRST_PORT, PORTS.discard];
  const words = [seconds, rate, ...ends, FLOWS, from].map(String);
  // Of the straight cable the receiver is the server itself.
  const receiver = straight ? place.server : place.director;
  const host = asCard ? receiver : atServer ? place.server : place.client;
  const child = place.lab.start(host, place.program(asCard ? 'card-flood' : 'packet-flood', words, pinTo));
  return new Promise((resolve, reject) => {
    let text = '';
    let complaint = '';
    const done = new Promise<Awaited<Flood['done']>>((resolveDone, rejectDone) => {
      child.on('close', () => {
        const last = text.trim().split('\n')[1];
        const error = new LabError(
          `the generator ended without a result: ${complaint.trim().split('\n').at(-1) ?? ''}`,
        );
        if (last !== undefined) return resolveDone(JSON.parse(last));
        rejectDone(error);
        reject(error);
      });
    });
    // Whoever never asks for it has been told by the other promise.
    done.catch(() => {});
    child.on('error', (error) => reject(new LabError(`the generator cannot be started: ${error.message}`)));
    child.stderr?.setEncoding('utf8').on('data', (part: string) => (complaint += part));
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.startsWith('{}\n')) resolve({ done, stop: () => stop(child, done) });
    });
  });
}

async function stop(child: ChildProcess, done: Promise<unknown>): Promise<void> {
  child.kill();
  await done.catch(() => {});
}
