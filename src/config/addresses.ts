/** Addresses, ports and services as the native file has them. Names of hosts are not looked up: a file means one thing. */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import type { ForwardingMethod } from '../model/forwarding.ts';
import { formatEndpoint, isMarkKey, type ServiceKey, type ServiceProtocol } from '../model/service.ts';

const MARK_MAX = 0xffff_ffff;
const RANGE_MAX = 4_096;

export interface WrittenEndpoint {
  /** Canonical. */
  readonly address: string;
  /** `null`: not written. */
  readonly port: number | null;
}

/** Canonical text of either family, or `null`. IPv6 without brackets. */
export function parseAddress(text: string): string | null {
  if (isIPv4(text)) return text;
  return isIPv6(text) && !text.includes('%') ? new SocketAddress({ address: text, family: 'ipv6' }).address : null;
}

export function parsePort(text: string): number | null {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : null;
}

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; else `null`. */
export function parseEndpoint(text: string): WrittenEndpoint | null {
  const whole = parseAddress(text);
  if (whole !== null) return { address: whole, port: null };
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text);
  if (parts === null) return null;
  const address = parseAddress(parts[1] ?? parts[2] ?? '');
  const isBracketed = parts[1] !== undefined;
  if (address === null || address.includes(':') !== isBracketed) return null;
  if (parts[3] === undefined) return { address, port: null };
  const port = parsePort(parts[3]);
  return port === null ? null : { address, port };
}

/** One endpoint, or each of a range of IPv4 addresses: `10.0.0.1-10.0.0.9:80`, `10.0.0.1-9:80`. */
export function parseEndpoints(text: string): readonly WrittenEndpoint[] | null {
  const range = /^(\d+\.\d+\.\d+\.)(\d+)-(?:\1)?(\d+)(:\d+)?$/.exec(text);
  if (range === null) {
    const wide = /^([\d.]+)-([\d.]+)(:\d+)?$/.exec(text);
    if (wide !== null) return spread(wide[1]!, wide[2]!, wide[3] ?? '');
    const one = parseEndpoint(text);
    return one === null ? null : [one];
  }
  return spread(`${range[1]}${range[2]}`, `${range[1]}${range[3]}`, range[4] ?? '');
}

function spread(first: string, last: string, port: string): readonly WrittenEndpoint[] | null {
  if (!isIPv4(first) || !isIPv4(last)) return null;
  const from = toNumber(first);
  const count = toNumber(last) - from + 1;
  if (count < 1 || count > RANGE_MAX) return null;
  const endpoints = Array.from({ length: count }, (_, index) => parseEndpoint(`${toText(from + index)}${port}`));
  return endpoints.includes(null) ? null : (endpoints as WrittenEndpoint[]);
}

export function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function toText(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}

/** `192.0.2.1:80`, `192.0.2.1:53/udp`, `[2001:db8::1]:80`, `mark 7`, `mark 7 ipv6`; else `null`. */
export function parseServiceKey(text: string): ServiceKey | null {
  const mark = /^(?:fw)?mark +(\d+)(?: +(ipv4|ipv6))?$/.exec(text);
  if (mark !== null) {
    const number = Number(mark[1]);
    return number < 1 || number > MARK_MAX ? null : { mark: number, family: mark[2] === 'ipv6' ? 'ipv6' : 'ipv4' };
  }
  const parts = /^(.*?)(?:\/(tcp|udp|sctp))?$/.exec(text);
  const endpoint = parseEndpoint(parts?.[1] ?? '');
  if (endpoint === null || endpoint.port === null) return null;
  return { protocol: (parts?.[2] as ServiceProtocol) ?? 'tcp', address: endpoint.address, port: endpoint.port };
}

export function formatListen(key: ServiceKey): string {
  if (isMarkKey(key)) return `mark ${key.mark}${key.family === 'ipv6' ? ' ipv6' : ''}`;
  const endpoint = formatEndpoint(key.address, key.port);
  return key.protocol === 'tcp' ? endpoint : `${endpoint}/${key.protocol}`;
}

/** The port a server without one in the file gets: that of the service, or 0 where the client's port stays. */
export function defaultPort(key: ServiceKey): number {
  return isMarkKey(key) ? 0 : key.port;
}

/** Only masquerading can change a port; without a mark the other methods keep that of the service. */
export function portInTable(key: ServiceKey, method: ForwardingMethod, port: number): number {
  return isMarkKey(key) || method === 'masquerade' ? port : key.port;
}
