/** `uipvsd`: a data plane, kept alive and reachable in the network namespace it is started in. */
import { chooseDataPlane } from '../cli/choose-data-plane.ts';
import { runDaemon } from '../cli/run-daemon.ts';
import { takeServiceManager } from '../control/service-manager.ts';
import { PacketIoError } from '../packet-io/packet-io.ts';
import { DATA_PLANES } from './data-planes/index.ts';
import { notify } from './datagram.ts';
import { processOutput } from './output.ts';

export async function main(words: readonly string[]): Promise<number> {
  const exitCode = await runDaemon(words, {
    ...processOutput,
    choose: (options) => chooseDataPlane(DATA_PLANES, options, words),
    serviceManager: takeServiceManager(process.env, notify, (text) => process.stderr.write(`uipvsd: ${text}\n`)),
    isRefusal: (error) => error instanceof PacketIoError,
  });
  // Worker threads and child processes must not keep a daemon alive that has ended.
  process.exit(exitCode);
}
