/** The entry of a worker thread, and of the worker process of back ends that need a main thread. */
import { Engine } from '../../engine/engine.ts';
import { LIVE_KINDS } from '../../packet-io/index.ts';
import { PacketIoError } from '../../packet-io/packet-io.ts';
import { openMailbox } from './mailbox.ts';
import { runWorker } from './worker-loop.ts';

const mailbox = openMailbox();
const start = await mailbox.start();
try {
  await runWorker(start, mailbox, {
    openIo({ io, ioOptions }) {
      const kind = LIVE_KINDS[io];
      if (kind === undefined) throw new PacketIoError(`no I/O back end is called ${io}`);
      return kind.open(ioOptions);
    },
    createEngine: ({ seed, connectionsMax, sourceNat }, nowMs, shard, fastPath) =>
      new Engine({
        seed,
        connectionsMax,
        defaultSourceNat: sourceNat,
        nowMs,
        ...(shard === null ? {} : { shard }),
        ...(fastPath === null ? {} : { fastPath }),
      }),
  });
} catch {
  // It has said why.
  process.exitCode = 1;
} finally {
  mailbox.close();
}
