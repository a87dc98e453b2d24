/** `uipvsadm-save`: the table of the daemon as commands that `uipvsadm-restore` reads. */

import { nodeIpvsadmIo } from '../ipvsadm/node-io.ts';
import { runIpvsadmSave } from '../ipvsadm/scripts.ts';
import { connectOrStart } from './connect.ts';

export function main(words: readonly string[]): Promise<number> {
  return runIpvsadmSave(words, nodeIpvsadmIo(connectOrStart));
}
