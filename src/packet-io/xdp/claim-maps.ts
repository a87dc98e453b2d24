/** The maps that all programs of the back end read, and who may change them. */
import type { Bpf } from '../../native/bpf.ts';
import { type Libc, LibcError } from '../../native/libc.ts';
import type { Claim, Claims, HostAddresses } from '../claims.ts';
import { CLAIM_KEY, claimKey, PREFIX_KEY, portRangeValue, prefixKey } from './claim-keys.ts';

const CLAIMS_MAX = 262_144;
const PREFIXES_MAX = 16_384;
const ANYTHING = Uint8Array.of(1, 0, 0, 0);

export class ClaimMaps implements Claims {
  readonly claims: number;
  readonly hostAddresses: number;
  readonly #libc: Libc;
  readonly #bpf: Bpf;
  #prefixes = new Map<string, Uint8Array>();

  /** Throws a LibcError: EPERM, ENOMEM. */
  constructor(libc: Libc, bpf: Bpf) {
    this.#libc = libc;
    this.#bpf = bpf;
    this.claims = bpf.createMap({ type: 'hash', keyBytes: CLAIM_KEY.bytes, valueBytes: 4, entriesMax: CLAIMS_MAX });
    this.hostAddresses = bpf.createMap({
      type: 'trie',
      keyBytes: PREFIX_KEY.bytes,
      valueBytes: 4,
      entriesMax: PREFIXES_MAX,
    });
  }

  claim(claims: readonly Claim[]): void {
    for (const claim of claims) {
      try {
        this.#bpf.setEntry(this.claims, claimKey(claim), ANYTHING);
      } catch (error) {
        // No room: these frames pass, and are taken by the packet socket.
        if (!(error instanceof LibcError) || error.code !== 'E2BIG') throw error;
      }
    }
  }

  unclaim(claims: readonly Claim[]): void {
    for (const claim of claims) this.#bpf.deleteEntry(this.claims, claimKey(claim));
  }

  setHostAddresses({ prefixes, localPortRange }: HostAddresses): void {
    const value = portRangeValue(localPortRange);
    const wanted = new Map<string, Uint8Array>();
    for (const { address, bits } of prefixes) {
      const key = prefixKey(address, bits);
      wanted.set(Buffer.from(key).toString('hex'), key);
    }
    for (const key of wanted.values()) this.#bpf.setEntry(this.hostAddresses, key, value);
    for (const [text, key] of this.#prefixes) {
      if (!wanted.has(text)) this.#bpf.deleteEntry(this.hostAddresses, key);
    }
    this.#prefixes = wanted;
  }

  /** Programs that are attached keep the maps. */
  close(): void {
    this.#libc.close(this.claims);
    this.#libc.close(this.hostAddresses);
  }
}
