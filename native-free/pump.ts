/**
 * One direction of a TCP conversation: what comes out of one socket goes into the other, no faster than that one
 * takes it.
 */
import type { Socket } from 'node:net';

/** Waiting to be taken by the receiver before the sender is no longer read. One more read may come on top. */
const WAITING_BYTES_MAX = 256 * 1024;

/** `count` hears the size of every piece. */
export function pump(from: Socket, to: Socket, count: (bytes: number) => void): void {
  let paused = false;
  from.on('data', (piece: Buffer) => {
    count(piece.length);
    // The answer of `write` is no use: it is false for a large piece even when the kernel has taken all of it.
    to.write(piece);
    if (to.writableLength > WAITING_BYTES_MAX) {
      paused = true;
      from.pause();
    }
  });
  to.on('drain', () => {
    if (!paused) return;
    paused = false;
    from.resume();
  });
}
