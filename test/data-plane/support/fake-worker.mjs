/**
 * A worker without an engine, for tests of its host: knows which services it has, dies of `stopSyncDaemon`,
 * and refuses destinations of unknown services.
 */
import { parentPort } from 'node:worker_threads';

const services = new Map();

const orders = {
  addService({ service }) {
    const id = JSON.stringify(service.key);
    if (services.has(id)) throw ['EEXIST', 'the service is there already'];
    services.set(id, []);
    return null;
  },
  deleteService({ key }) {
    if (!services.delete(JSON.stringify(key))) throw ['ESRCH', 'no such service'];
    return null;
  },
  addDestination({ service, destination }) {
    const destinations = services.get(JSON.stringify(service));
    if (destinations === undefined) throw ['ESRCH', 'no such service'];
    destinations.push(`${destination.address}:${destination.port}`);
    return null;
  },
  flush() {
    services.clear();
    return null;
  },
  listServices: () => ({ items: [...services], next: null }),
  stopSyncDaemon() {
    setImmediate(() => {
      throw new Error('struck down');
    });
    return new Promise(() => {});
  },
};

parentPort.on('message', (message) => {
  const { id, type } = message;
  if (type === 'stop') process.exit(0);
  if (type === 'network') {
    const attached = message.snapshot.links.map((link) => link.name);
    parentPort.postMessage({ type: 'answer', id, answer: { attached, failed: [] } });
  }
  if (type !== 'command' || message.command.name === 'stopSyncDaemon') {
    if (type === 'command') orders.stopSyncDaemon();
    return;
  }
  try {
    parentPort.postMessage({ type: 'answer', id, answer: orders[message.command.name](message.command) });
  } catch ([code, text]) {
    parentPort.postMessage({ type: 'error', id, code, message: text });
  }
});
parentPort.postMessage({ type: 'ready', wakeFd: null });
