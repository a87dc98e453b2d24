/**
 * How frames of many links share one tap: the first two bytes of a MAC address say which link a frame came by, or shall
 * leave by. Those two bytes can be spared: of an address of the link itself, of broadcast and of multicast they are
 * known. nft rules write and read the marks on the other side (`data-plane/packet/steering.ts`).
 *
 *     high byte: the number's upper four bits, two bits for the kind of address, 1 (local), 0 (not multicast)
 *     low byte:  the number's lower eight bits
 */
export const ADDRESS_KINDS = ['own', 'broadcast', 'multicast', 'multicast6'] as const;
export type AddressKind = (typeof ADDRESS_KINDS)[number];

/** The two bytes that a mark stands for; those of `own` are the link's. RFC 1112, section 6.4, and RFC 2464, section 7. */
export const FIRST_BYTES: Readonly<Record<Exclude<AddressKind, 'own'>, number>> = {
  broadcast: 0xffff,
  multicast: 0x0100,
  multicast6: 0x3333,
};

const NUMBERS = 4096;
const LOCAL = 0x0200;

/** The number of a link in marks. Two links may have the same one: then only one of them can be served. */
export function linkNumber(linkIndex: number): number {
  return linkIndex % NUMBERS;
}

export function markOf(number: number, kind: AddressKind): number {
  return ((number & 0xf00) << 4) | (ADDRESS_KINDS.indexOf(kind) << 10) | LOCAL | (number & 0xff);
}

/** What a mark says, or `null` when it is none. */
export function numberOfMark(mark: number): number | null {
  return (mark & 0x0300) === LOCAL ? ((mark >>> 4) & 0xf00) | (mark & 0xff) : null;
}

export function kindOfMark(mark: number): AddressKind {
  return ADDRESS_KINDS[(mark >>> 10) & 3] as AddressKind;
}
