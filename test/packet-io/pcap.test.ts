import { captureAbortsOnLinkDown } from '../../src/native/cap.ts';
import { packetMmsg } from '../../src/packet-io/packet-mmsg.ts';
import { pcap } from '../../src/packet-io/pcap.ts';
import { liveConformance } from './live-conformance.ts';

liveConformance({
  kind: 'pcap',
  // The far ends of the test's links are packet sockets.
  refused: (await pcap.unavailable()) ?? (await packetMmsg.unavailable()),
  losesFirstFrame: true,
  linkDownRefused: captureAbortsOnLinkDown() ? 'this build of the package cap ends the process there' : null,
});
