/** Whether the answers of a NAT server come back by this host. */
import type { DaemonFacts } from '../facts/daemon.ts';
import type { ReturnProbe } from '../facts/returns.ts';
import { connectionStates, packetsDuringWatch, type Server } from '../services.ts';

/**
 * By what passed during the watch, if anything did; else by connections that stand, or wait for an answer in vain; else
 * by the probe.
 */
export function answersComeBack(
  before: DaemonFacts,
  daemon: DaemonFacts,
  returns: readonly ReturnProbe[],
  server: Server,
): 'yes' | 'no' | 'unknown' {
  const { inPackets, outPackets } = packetsDuringWatch(before, server);
  if (outPackets > 0) return 'yes';
  if (inPackets > 1) return 'no';
  const states = connectionStates(daemon, server);
  const { SYN_RECV: waiting = 0, ...others } = states;
  const answered = Object.values(others).reduce((sum, each) => sum + each, 0);
  const { statistics } = server.destination;
  if (answered > 0 && statistics.outPackets > 0) return 'yes';
  if (waiting > 0 && statistics.outPackets === 0) return 'no';
  const probe = returns.find(({ address, port }) => address === server.address && port === server.port);
  if (probe === undefined || probe.tried.length === 0) return 'unknown';
  return probe.tried.some(({ answered: came }) => came) ? 'yes' : 'no';
}

/** The probe of a server that shows whether it has this host as its gateway. */
export function returnOf(returns: readonly ReturnProbe[], server: Server): 'by-us' | 'elsewhere' | 'unknown' {
  const probe = returns.find(({ address, port }) => address === server.address && port === server.port);
  if (probe === undefined || probe.tried.length === 0) return 'unknown';
  return probe.tried.some(({ answered }) => answered) ? 'by-us' : 'elsewhere';
}
