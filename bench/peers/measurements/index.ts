/** The measurements, one a line, in the order they are made. */
import type { Measurement } from '../measurement.ts';
import { eightStreams, oneStream } from './bulk.ts';
import { echo, echoAtHalfLoad } from './echo.ts';
import { memory } from './memory.ts';
import { packetsFromCard, packetsOneWay, packetsTwoWays } from './packets.ts';
import { keptConnections, newConnections20, newConnections50 } from './requests.ts';

export const MEASUREMENTS: readonly Measurement[] = [
  newConnections20,
  newConnections50,
  keptConnections,
  oneStream,
  eightStreams,
  packetsOneWay,
  packetsTwoWays,
  packetsFromCard,
  echo,
  echoAtHalfLoad,
  memory,
];
