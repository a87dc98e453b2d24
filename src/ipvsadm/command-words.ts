/** Services and destinations as the words that `ipvsadm` has for them. Addresses are written as `endpoint` says. */
import type { Command, SyncDaemonSpec } from '../model/commands.ts';
import type { DestinationSpec } from '../model/destination.ts';
import type { ForwardingMethod, TunnelChecksum } from '../model/forwarding.ts';
import { familyOfService, formatEndpoint, isMarkKey, type ServiceKey, type ServiceSpec } from '../model/service.ts';
import { formatSchedulerFlags } from './scheduler-flags.ts';

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

type FormatEndpoint = (address: string, port: number) => string;

/** `mark` is how a firewall mark is written: `-S` writes it as a signed number. */
export function serviceWords(
  key: ServiceKey,
  endpoint: FormatEndpoint = formatEndpoint,
  mark: (mark: number) => string = String,
): string[] {
  if (isMarkKey(key)) return ['-f', mark(key.mark), ...(key.family === 'ipv6' ? ['-6'] : [])];
  return [SERVICE_OPTIONS[key.protocol], endpoint(key.address, key.port)];
}

export function settingWords(spec: ServiceSpec): string[] {
  const words = ['-s', spec.scheduler];
  if (spec.persistenceTimeoutSeconds !== null) {
    words.push('-p', String(spec.persistenceTimeoutSeconds));
    if (spec.netmask !== (familyOfService(spec.key) === 'ipv6' ? '128' : '255.255.255.255')) {
      words.push('-M', spec.netmask);
    }
  }
  if (spec.persistenceEngine !== null) words.push('--pe', spec.persistenceEngine);
  if (spec.onePacket) words.push('-o');
  if (spec.schedulerFlags.length > 0) words.push('-b', formatSchedulerFlags(spec.schedulerFlags, spec.scheduler));
  return words;
}

export function destinationWords(spec: DestinationSpec, endpoint: FormatEndpoint = formatEndpoint): string[] {
  const words = ['-r', endpoint(spec.address, spec.port), METHOD_OPTIONS[spec.method], '-w', String(spec.weight)];
  if (spec.method !== 'tunnel') return words;
  words.push('--tun-type', spec.tunnel.type);
  if (spec.tunnel.type === 'gue') words.push('--tun-port', String(spec.tunnel.port));
  if (spec.tunnel.type !== 'ipip') words.push(CHECKSUM_OPTIONS[spec.tunnel.checksum]);
  return words;
}

/** `-S` leaves them out, `-a`, `-e` and `-R` take them. */
export function thresholdWords({ upperThreshold, lowerThreshold }: DestinationSpec): string[] {
  return [
    ...(upperThreshold > 0 ? ['-x', String(upperThreshold)] : []),
    ...(lowerThreshold > 0 ? ['-y', String(lowerThreshold)] : []),
  ];
}

export function syncDaemonWords(daemon: SyncDaemonSpec): string[] {
  const { role, interface: link, syncId, maxLength, group, port, ttl } = daemon;
  return [
    ...['--start-daemon', role, '--mcast-interface', link, '--syncid', String(syncId)],
    ...(maxLength > 0 ? ['--sync-maxlen', String(maxLength)] : []),
    ...['--mcast-group', group, '--mcast-port', String(port), '--mcast-ttl', String(ttl)],
  ];
}

/** A change of the table as a command line without the program's name; `null`: ipvsadm has no words for it. */
export function commandWords(command: Command): string[] | null {
  switch (command.name) {
    case 'addService':
      return ['-A', ...serviceWords(command.service.key), ...settingWords(command.service)];
    case 'editService':
      return ['-E', ...serviceWords(command.service.key), ...settingWords(command.service)];
    case 'deleteService':
      return ['-D', ...serviceWords(command.key)];
    case 'addDestination':
    case 'editDestination': {
      const { destination } = command;
      const word = command.name === 'addDestination' ? '-a' : '-e';
      return [word, ...serviceWords(command.service), ...destinationWords(destination), ...thresholdWords(destination)];
    }
    case 'deleteDestination': {
      const { address, port } = command.destination;
      return ['-d', ...serviceWords(command.service), '-r', formatEndpoint(address, port)];
    }
    case 'setTimeouts': {
      const { tcpSeconds, tcpFinSeconds, udpSeconds } = command.timeouts;
      return ['--set', String(tcpSeconds), String(tcpFinSeconds), String(udpSeconds)];
    }
    case 'startSyncDaemon':
      return syncDaemonWords(command.daemon);
    case 'stopSyncDaemon':
      return ['--stop-daemon', command.role];
    default:
      return null;
  }
}
