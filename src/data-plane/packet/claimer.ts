/**
 * Tells a back end that takes frames away from the host's stack which ones it may take: of what the guard holds back,
 * that which names services and servers by address and port. All else (marks, fragments, ICMP, FTP's other ports) the
 * engine gets as from every other back end. A service is claimed when the engine has it.
 */
import type { Command } from '../../model/commands.ts';
import type { NetworkSnapshot } from '../../model/network.ts';
import type { Claim, Claims, HostAddresses } from '../../packet-io/claims.ts';
import { parseAddress } from '../../wire/address.ts';
import { AcceptedSpecs, entriesNeededBy } from '../accepted-specs.ts';
import { type GuardEntry, GuardLedger } from '../guard-entries.ts';

const SIDES: Readonly<Record<string, Claim['side']>> = {
  services: 'service',
  services_any_port: 'service',
  servers: 'server',
  servers_any_port: 'server',
};

export class Claimer {
  readonly #claims: Claims;
  readonly #accepted = new AcceptedSpecs();
  readonly #ledger = new GuardLedger();

  constructor(claims: Claims) {
    this.#claims = claims;
  }

  /** After the engine has carried out the command. */
  note(command: Command): void {
    const added = this.#ledger.hold(entriesNeededBy(command));
    const freed = this.#ledger.release(this.#accepted.note(command));
    this.#claims.claim(claimsOf(added));
    this.#claims.unclaim(claimsOf(freed));
  }

  setNetwork({ routes, localPortRange }: NetworkSnapshot): void {
    const prefixes: HostAddresses['prefixes'][number][] = [];
    for (const { type, destination } of routes) {
      if (type !== 'local') continue;
      const [text, length] = destination.split('/') as [string, string | undefined];
      const address = addressBytes(text);
      if (address !== null)
        prefixes.push({ address, bits: length === undefined ? address.length * 8 : Number(length) });
    }
    this.#claims.setHostAddresses({ prefixes, localPortRange });
  }
}

/** Entries of other sets say nothing that a program looks for. */
export function claimsOf(entries: readonly GuardEntry[]): Claim[] {
  const claims: Claim[] = [];
  for (const { set, element } of entries) {
    const side = SIDES[set.replace(/6$/, '')];
    if (side === undefined) continue;
    const [text, protocol, port = '0'] = element.split(' . ') as [string, string, string?];
    const address = addressBytes(text);
    if (address !== null) claims.push({ side, address, protocol: Number(protocol), port: Number(port) });
  }
  return claims;
}

/** Four or sixteen bytes in network order. */
function addressBytes(text: string): Uint8Array | null {
  const parsed = parseAddress(text);
  if (parsed === null) return null;
  const words = parsed.family === 'ipv6' ? [...parsed.words] : [parsed.words[3] as number];
  const view = new DataView(new ArrayBuffer(words.length * 4));
  for (const [i, word] of words.entries()) view.setInt32(i * 4, word);
  return new Uint8Array(view.buffer);
}
