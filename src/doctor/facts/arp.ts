/**
 * Who answers when the network is asked for a virtual address. This host does not answer itself, so whoever does is
 * somebody else. Sources: RFC 826, RFC 5227 (probes), RFC 4861.
 */
import { isMarkKey, type ServiceStatus } from '../../model/service.ts';
import { arpProbe, neighborQuestion } from '../probe/frames.ts';
import { linksBeside } from '../probe/reach.ts';
import type { WireSession } from '../probe/wire-session.ts';
import type { HostFacts, HostLink } from './host.ts';
import { pause } from './pause.ts';

export interface ArpAnswer {
  readonly mac: string;
  /** To our question, or unasked: it calls others from that address. */
  readonly how: 'answered' | 'announced';
  readonly count: number;
}

export interface ArpProbe {
  readonly address: string;
  readonly link: string;
  /** Questions sent. */
  readonly asked: number;
  readonly answers: readonly ArpAnswer[];
}

export interface ArpFacts {
  readonly probes: readonly ArpProbe[];
  /** Virtual addresses in no network of this host: nobody can be asked. */
  readonly elsewhere: readonly string[];
}

const QUESTIONS = 3;
const BETWEEN_MS = 250;
const PROBES_MAX = 64;

export function virtualAddresses(services: readonly ServiceStatus[]): string[] {
  const addresses = services.flatMap(({ spec }) => (isMarkKey(spec.key) ? [] : [spec.key.address]));
  return [...new Set(addresses)].filter((address) => address !== '0.0.0.0' && address !== '::');
}

/** Asks three times on every link beside each address, and listens until `untilMs` of `performance.now()`. */
export async function askForAddresses(
  wire: WireSession,
  host: HostFacts,
  addresses: readonly string[],
  untilMs: number,
): Promise<ArpFacts> {
  const places = addresses
    .flatMap((address) => linksBeside(host, address).map((link) => ({ address, link })))
    .slice(0, PROBES_MAX);
  const own = new Set(host.links.map(({ mac }) => mac));
  const heard = new Map<string, Map<string, number>>();
  const note = (address: string, linkIndex: number, mac: string, how: ArpAnswer['how']): void => {
    if (own.has(mac)) return;
    const place = `${address} ${linkIndex}`;
    const counts = heard.get(place) ?? new Map<string, number>();
    counts.set(`${mac} ${how}`, (counts.get(`${mac} ${how}`) ?? 0) + 1);
    heard.set(place, counts);
  };
  const stop = wire.hear((frame, linkIndex) => {
    if (frame.kind === 'neighbor') note(frame.target, linkIndex, frame.targetMac, 'answered');
    if (frame.kind !== 'arp' || !addresses.includes(frame.sender)) return;
    note(frame.sender, linkIndex, frame.senderMac, frame.reply ? 'answered' : 'announced');
  });
  let asked = 0;
  for (; asked < QUESTIONS; asked++) {
    for (const { address, link } of places) {
      const frame = question(link, address);
      if (frame !== null) wire.send(frame, link.index);
    }
    await pause(BETWEEN_MS);
  }
  await pause(untilMs - performance.now());
  stop();
  return {
    probes: places.map(({ address, link }) => ({
      address,
      link: link.name,
      asked,
      answers: [...(heard.get(`${address} ${link.index}`) ?? new Map<string, number>())].map(([what, count]) => {
        const [mac, how] = what.split(' ') as [string, ArpAnswer['how']];
        return { mac, how, count };
      }),
    })),
    elsewhere: addresses.filter((address) => !places.some((place) => place.address === address)),
  };
}

/** `null`: IPv6, and this host has no address on the link to ask from. */
function question(link: HostLink, address: string): Uint8Array | null {
  if (!address.includes(':')) return arpProbe(link.mac, address);
  const sender = link.addresses.find((own) => own.address.startsWith('fe80:'))?.address;
  return sender === undefined ? null : neighborQuestion(link.mac, sender, address);
}
