import { macvtap } from '../../src/packet-io/macvtap.ts';
import { packetMmsg } from '../../src/packet-io/packet-mmsg.ts';
import { liveConformance } from './live-conformance.ts';

liveConformance({
  kind: 'macvtap',
  // The far ends of the test's links are packet sockets.
  refused: (await macvtap.unavailable()) ?? (await packetMmsg.unavailable()),
  losesFirstFrame: false,
  waits: false,
  linkDownRefused: 'a rule drops what is sent on a link that is down, and nobody is told',
});
