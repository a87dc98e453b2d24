/**
 * A process that runs the host's side of a data plane in the network namespace it was started in, told what to
 * do by its parent. argv: the folder with the compiled sources.
 */
import { pathToFileURL } from 'node:url';

const compiled = (path) => import(pathToFileURL(`${process.argv[2]}/${path}`).href);
const { PacketDataPlane } = await compiled('data-plane/packet/packet-data-plane.js');
const { WorkerSession } = await compiled('data-plane/packet/worker-session.js');
const { spawnThread } = await compiled('data-plane/packet/worker-handle.js');
const { startPacketDataPlane } = await compiled('data-plane/packet/host.js');
const { PACKET_ENGINE_CAPABILITIES } = await compiled('data-plane/capabilities.js');

const fakeWorker = new URL('./fake-worker.mjs', import.meta.url);
let plane;

/** Every worker that was told of the network, in the order they were. */
const sessions = [];
const { setNetwork } = WorkerSession.prototype;
WorkerSession.prototype.setNetwork = function remembered(snapshot) {
  if (!sessions.includes(this)) sessions.push(this);
  return setNetwork.call(this, snapshot);
};

const orders = {
  async start({ options }) {
    const log = Object.fromEntries(['info', 'warn', 'error'].map((level) => [level, () => {}]));
    // With the name of an I/O back end the real engine runs, on the links of this namespace.
    if (options.io !== undefined) {
      plane = await startPacketDataPlane({ log, ...options });
      plane.watch((event) => process.send({ event }));
      return null;
    }
    const start = { io: 'fake', ioOptions: {}, seed: 1, connectionsMax: 1, sourceNat: 'none' };
    plane = await PacketDataPlane.start({
      capabilities: PACKET_ENGINE_CAPABILITIES,
      io: 'fake',
      ioPassedOver: [],
      ffi: null,
      startWorker: () => new WorkerSession((begin, listeners) => spawnThread(fakeWorker, begin, listeners), start),
      links: null,
      guard: 'on',
      hostLink: 'on',
      log,
      ...options,
    });
    plane.watch((event) => process.send({ event }));
    return null;
  },
  execute: ({ command }) => plane.execute(command),
  /** Many at once; returns how long they took, in milliseconds. */
  async executeAll({ commands }) {
    const beginMs = performance.now();
    await Promise.all(commands.map((command) => plane.execute(command)));
    return performance.now() - beginMs;
  },
  async executeInTurn({ commands }) {
    const beginMs = performance.now();
    for (const command of commands) await plane.execute(command);
    return performance.now() - beginMs;
  },
  /** Ends a worker from outside, as nothing in it could. */
  strike({ worker }) {
    sessions[worker].kill();
    return null;
  },
  async close() {
    await plane.close();
    // Nothing may keep the process now.
    setImmediate(() => process.disconnect());
    return null;
  },
};

process.on('message', async (message) => {
  try {
    const answer = await orders[message.order](message);
    if (process.connected) process.send({ id: message.id, answer });
  } catch (error) {
    process.send({ id: message.id, error: { code: error.code, message: error.message } });
  }
});
process.send({ event: { type: 'born' } });
