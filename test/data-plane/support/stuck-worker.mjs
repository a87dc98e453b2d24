/** A worker thread that makes turns as an idle one does, and stops making them when it gets a command. */
import { parentPort, workerData } from 'node:worker_threads';

const gauges = new Float64Array(workerData.scoreboard);
const turns = setInterval(() => {
  gauges[0] += 1;
}, 50);
parentPort.on('message', ({ type }) => {
  if (type === 'stop') {
    clearInterval(turns);
    parentPort.close();
  }
  // As blocked as a thread can be.
  if (type === 'command') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
parentPort.postMessage({ type: 'ready', wakeFd: null });
