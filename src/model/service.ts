/** A virtual service: what the operator asks for (`Spec`) and what the data plane reports (`Status`). */
import type { DestinationStatus } from './destination.ts';
import type { Rates, Statistics } from './statistics.ts';

export type AddressFamily = 'ipv4' | 'ipv6';
export type ServiceProtocol = 'tcp' | 'udp' | 'sctp';

/** Identity by protocol, address and port; the address's form tells the family. Port 0 means any port. */
export interface AddressServiceKey {
  readonly protocol: ServiceProtocol;
  /** Canonical text: `192.0.2.1`, `2001:db8::1`. */
  readonly address: string;
  readonly port: number;
}

/** Identity by firewall mark (1..4294967295) and family. */
export interface MarkServiceKey {
  readonly mark: number;
  readonly family: AddressFamily;
}

export type ServiceKey = AddressServiceKey | MarkServiceKey;

/** Scheduler flags by number; `sh` and `mh` call 1 `fallback` and 2 `port`. */
export type SchedulerFlag = 1 | 2 | 3;

/** Source rewriting (full NAT): none, an address of the director chosen per route, or this address. */
export type SourceNat = 'none' | 'masquerade' | (string & {});

export interface ServiceSpec {
  readonly key: ServiceKey;
  readonly scheduler: string;
  readonly schedulerFlags: readonly SchedulerFlag[];
  /** Seconds a client network stays with its destination, or `null`: not persistent. */
  readonly persistenceTimeoutSeconds: number | null;
  /** IPv4: dotted mask (`255.255.255.255`); IPv6: prefix length as text (`128`). Stored even when not persistent. */
  readonly netmask: string;
  readonly persistenceEngine: string | null;
  /** One-packet scheduling (UDP). */
  readonly onePacket: boolean;
  /** Absent: on add the data plane's default, on edit unchanged. Not part of IPVS; ipvsadm never sends it. */
  readonly sourceNat?: SourceNat;
}

export interface ServiceStatus {
  readonly spec: ServiceSpec;
  readonly statistics: Statistics;
  readonly rates: Rates;
  /** In list order: the newest first. */
  readonly destinations: readonly DestinationStatus[];
}

export function isMarkKey(key: ServiceKey): key is MarkServiceKey {
  return 'mark' in key;
}

export function familyOfAddress(address: string): AddressFamily {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

export function familyOfService(key: ServiceKey): AddressFamily {
  return isMarkKey(key) ? key.family : familyOfAddress(key.address);
}

/** `192.0.2.1:80`, `[2001:db8::1]:80`. */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `tcp 192.0.2.1:80`, `fwmark 5`, `fwmark 5 ipv6`: for messages and logs. */
export function formatServiceKey(key: ServiceKey): string {
  if (isMarkKey(key)) return `fwmark ${key.mark}${key.family === 'ipv6' ? ' ipv6' : ''}`;
  return `${key.protocol} ${formatEndpoint(key.address, key.port)}`;
}
