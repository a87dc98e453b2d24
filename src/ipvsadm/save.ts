/** `ipvsadm -S`: the table as commands that `-R` reads. Thresholds, timeouts and sync daemons have no place in it. */
import type { DestinationStatus } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import type { ForwardingMethod, TunnelChecksum } from '../model/forwarding.ts';
import { isMarkKey, type ServiceStatus } from '../model/service.ts';
import type { IpvsadmIo, IpvsadmTable } from './io.ts';
import { LineWriter } from './line-writer.ts';
import { addressesOf, portProtocol, servicePages } from './listing.ts';
import { refusalText } from './messages.ts';
import { createNaming, type Naming } from './naming.ts';
import { formatSchedulerFlags } from './scheduler-flags.ts';
import { sortDestinations, sortServices } from './sort.ts';
import { hasDefaultMask, signedMark } from './views.ts';

const SERVICE_OPTIONS = { tcp: '-t', udp: '-u', sctp: '--sctp-service' };
const METHOD_OPTIONS: Readonly<Record<ForwardingMethod, string>> = {
  masquerade: '-m',
  tunnel: '-i',
  direct: '-g',
  local: '-g',
  bypass: '-g',
};
const CHECKSUM_OPTIONS: Readonly<Record<TunnelChecksum, string>> = {
  none: '--tun-nocsum',
  full: '--tun-csum',
  remote: '--tun-remcsum',
};

/** Prints and returns the exit status. */
export async function save(numeric: boolean, table: IpvsadmTable, io: IpvsadmIo): Promise<number> {
  const out = new LineWriter(io);
  const naming = createNaming(io.names, numeric);
  const services: ServiceStatus[] = [];
  try {
    for await (const page of servicePages(table)) services.push(...page);
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    await io.stderr(refusalText('save', error));
    return 1;
  }
  await naming.prepare(addressesOf(services));
  for (const status of sortServices(services)) {
    const service = serviceWords(status, naming);
    out.line(['-A', ...service, ...settingWords(status)].join(' '));
    for (const destination of sortDestinations(status.destinations)) {
      out.line(['-a', ...service, ...destinationWords(destination, status, naming)].join(' '));
    }
    await out.breathe();
  }
  await out.end();
  return 0;
}

function serviceWords({ spec }: ServiceStatus, naming: Naming): string[] {
  const { key } = spec;
  if (isMarkKey(key)) return ['-f', String(signedMark(spec)), ...(key.family === 'ipv6' ? ['-6'] : [])];
  return [SERVICE_OPTIONS[key.protocol], naming.endpoint(key.address, key.port, key.protocol)];
}

function settingWords({ spec }: ServiceStatus): string[] {
  const words = ['-s', spec.scheduler];
  if (spec.persistenceTimeoutSeconds !== null) {
    words.push('-p', String(spec.persistenceTimeoutSeconds));
    if (!hasDefaultMask(spec)) words.push('-M', spec.netmask);
  }
  if (spec.persistenceEngine !== null) words.push('--pe', spec.persistenceEngine);
  if (spec.onePacket) words.push('-o');
  if (spec.schedulerFlags.length > 0) words.push('-b', formatSchedulerFlags(spec.schedulerFlags, spec.scheduler));
  return words;
}

function destinationWords({ spec }: DestinationStatus, service: ServiceStatus, naming: Naming): string[] {
  const endpoint = naming.endpoint(spec.address, spec.port, portProtocol(service));
  const words = ['-r', endpoint, METHOD_OPTIONS[spec.method], '-w', String(spec.weight)];
  if (spec.method !== 'tunnel') return words;
  words.push('--tun-type', spec.tunnel.type);
  if (spec.tunnel.type === 'gue') words.push('--tun-port', String(spec.tunnel.port));
  if (spec.tunnel.type !== 'ipip') words.push(CHECKSUM_OPTIONS[spec.tunnel.checksum]);
  return words;
}
