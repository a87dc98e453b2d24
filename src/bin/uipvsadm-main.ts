/** `uipvsadm`: ipvsadm over the daemon of this network namespace. Every health check pays for what is loaded here. */

import { runIpvsadm } from '../ipvsadm/ipvsadm.ts';
import { nodeIpvsadmIo } from '../ipvsadm/node-io.ts';
import { connectOrStart } from './connect.ts';

export function main(words: readonly string[]): Promise<number> {
  return runIpvsadm(words, nodeIpvsadmIo(connectOrStart));
}
