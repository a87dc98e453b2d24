/**
 * How the guard feeds the tap: what it would drop goes there instead, what both the stack and the engine must hear goes
 * to both, and what the engine writes leaves by the link that its mark says. Source of the statements: nft(8), "fwd",
 * "dup" and raw payload expressions.
 */
import { OWN_LOOPBACK_MAC } from '../../native/packet-socket.ts';
import { ADDRESS_KINDS, type AddressKind, FIRST_BYTES, linkNumber, markOf } from '../../packet-io/tap-marks.ts';
import { ENGINE_LINK_NAME } from './host-link.ts';
import { TAP_NEAR_NAME } from './tap-link.ts';

export interface SteeredLink {
  readonly index: number;
  readonly name: string;
  /** `null`: it is down, and nothing can leave by it. */
  readonly mac: string | null;
  readonly loopback: boolean;
}

/** First two bytes of an address, destination's and source's, as nft writes them. */
const DESTINATION = '@ll,0,16';
const SOURCE = '@ll,48,16';
const TO_TAP = `"${TAP_NEAR_NAME}"`;

/** What is not held back but concerns the engine as well: neighbours, and synchronisation by multicast. */
const HEARD_BY_BOTH: readonly (readonly [match: string, kinds: readonly AddressKind[]])[] = [
  ['ether type arp', ['own', 'broadcast']],
  ['meta protocol ip6 icmpv6 type 133-137', ['own', 'multicast6']],
  ['meta protocol ip ip daddr 224.0.0.0/4 meta l4proto udp', ['multicast']],
  ['meta protocol ip6 ip6 daddr ff00::/8 meta l4proto udp', ['multicast6']],
];

/** Frames whose address is of that kind. */
const KIND_MATCHES: Readonly<Record<AddressKind, string>> = {
  own: 'meta pkttype host',
  broadcast: 'meta pkttype broadcast',
  multicast: `${DESTINATION} ${hex(FIRST_BYTES.multicast)}`,
  multicast6: `${DESTINATION} ${hex(FIRST_BYTES.multicast6)}`,
};

/** Rules of a link's own chain, before those of the guard. */
export function linkRules(link: SteeredLink): string[] {
  const number = linkNumber(link.index);
  const mark = (kind: AddressKind) => `${DESTINATION} set ${hex(markOf(number, kind))}`;
  // The whole cable is the engine's.
  if (link.name === ENGINE_LINK_NAME) return wholeLinkRules(link);
  const own = firstBytes(link);
  return HEARD_BY_BOTH.flatMap(([match, kinds]) =>
    kinds.flatMap((kind) => {
      const before = kind === 'own' ? own : FIRST_BYTES[kind];
      if (before === null) return [];
      const back = `${DESTINATION} set ${hex(before)}`;
      return [`${match} ${KIND_MATCHES[kind]} ${mark(kind)} dup to ${TO_TAP} ${back}`];
    }),
  );
}

/** Rules by which every frame of a link goes to the tap and none to the stack. */
export function wholeLinkRules({ index }: SteeredLink): string[] {
  return ADDRESS_KINDS.map((kind) => {
    const mark = hex(markOf(linkNumber(index), kind));
    return `${KIND_MATCHES[kind]} ${DESTINATION} set ${mark} fwd to ${TO_TAP}`;
  });
}

/** Rules for what the guard holds back. A link without a rule gets its frames dropped. */
export function takeRules(links: readonly SteeredLink[]): string[] {
  const rules = links.flatMap(({ index, name, loopback }) => [
    // The loopback link hands back what the engine has sent there. nft's word for the address wants an Ethernet link.
    ...(loopback ? [`iif "${name}" @ll,48,48 0x${macText(OWN_LOOPBACK_MAC)} drop`] : []),
    `iif "${name}" ${DESTINATION} set ${hex(markOf(linkNumber(index), 'own'))} fwd to ${TO_TAP}`,
  ]);
  return [...rules, 'drop'];
}

/** Rules for what the engine has written; anything else that comes there is nobody's. */
export function outRules(links: readonly SteeredLink[]): string[] {
  const rules = links.flatMap((link) => {
    const own = link.loopback
      ? ((OWN_LOOPBACK_MAC[0] as number) << 8) | (OWN_LOOPBACK_MAC[1] as number)
      : firstBytes(link);
    if (own === null) return [];
    const mark = hex(markOf(linkNumber(link.index), 'own'));
    // The loopback link leaves it at what the frame was to the tap's cable: one for another host.
    const arrived = link.loopback ? ' meta pkttype set host' : '';
    return [`${SOURCE} ${mark} ${SOURCE} set ${hex(own)}${arrived} fwd to "${link.name}"`];
  });
  return [...rules, 'drop'];
}

function firstBytes({ mac }: SteeredLink): number | null {
  return mac === null ? null : Number.parseInt(mac.slice(0, 5).replace(':', ''), 16);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}

function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
