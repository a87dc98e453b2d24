import { packetMmsg } from '../../src/packet-io/packet-mmsg.ts';
import { liveConformance } from './live-conformance.ts';

liveConformance({
  kind: 'packet-mmsg',
  refused: await packetMmsg.unavailable(),
  losesFirstFrame: false,
  linkDownRefused: null,
});
