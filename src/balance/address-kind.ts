/** Which addresses can be a real server's. */

/** `other`: broadcast, multicast, unspecified, unreachable; `link-local` only for IPv6. */
export type AddressKind = 'local' | 'unicast' | 'link-local' | 'other';

/** Told from the routes of the host, where somebody knows them. */
export type AddressKindOf = (ipv6: boolean, w0: number, w1: number, w2: number, w3: number) => AddressKind;

/**
 * What the address alone says. Routes are not asked: an address that none leads to is accepted, as in the kernel;
 * the broadcast address of a subnet is not recognised.
 */
export const addressKindByForm: AddressKindOf = (ipv6, w0, w1, w2, w3) => {
  if (ipv6) {
    if ((w0 | w1 | w2 | w3) === 0) return 'other';
    if (w0 >>> 24 === 0xff) return 'other';
    if ((w0 | w1 | w2) === 0 && w3 === 1) return 'local';
    return w0 >>> 22 === 0xfe80 >>> 6 ? 'link-local' : 'unicast';
  }
  if (w3 === 0 || w3 === -1 || w3 >>> 28 === 0xe) return 'other';
  return w3 >>> 24 === 127 ? 'local' : 'unicast';
};
