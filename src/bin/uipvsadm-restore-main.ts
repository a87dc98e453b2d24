/** `uipvsadm-restore`: clears the table of the daemon and fills it with what `uipvsadm-save` wrote. */

import { nodeIpvsadmIo } from '../ipvsadm/node-io.ts';
import { runIpvsadmRestore } from '../ipvsadm/scripts.ts';
import { connectOrStart } from './connect.ts';

export function main(): Promise<number> {
  return runIpvsadmRestore(nodeIpvsadmIo(connectOrStart));
}
