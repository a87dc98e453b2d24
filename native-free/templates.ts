/**
 * Persistence: a template ties a client network to a destination for a while; conversations made under it go there,
 * whatever the scheduler thinks. Behaviour: ipvsadm(8), option -p.
 */
import type { Destination } from '../src/balance/destination.ts';
import type { VirtualService } from '../src/balance/virtual-service.ts';
import type { ConnectionStatus } from '../src/model/connection-status.ts';
import { TICKS_PER_SECOND } from '../src/model/settings.ts';
import { type Address, formatAddress } from '../src/wire/address.ts';
import type { Membership } from './session.ts';

/** A template that still has members is postponed by this. */
const POSTPONE_MS = 60_000;

class Template implements Membership {
  readonly serial: number;
  readonly service: VirtualService;
  /** The client's network, as text. */
  readonly network: string;
  readonly destination: Destination;
  members = 0;
  expiresMs = 0;

  constructor(serial: number, service: VirtualService, network: string, destination: Destination) {
    this.serial = serial;
    this.service = service;
    this.network = network;
    this.destination = destination;
    destination.bind(true, true);
  }
}

export type { Template };

export class Templates {
  readonly #byNetwork = new Map<VirtualService, Map<string, Template>>();
  #serials = 0;

  /** The template that holds for this client, or `null`. */
  find(service: VirtualService, client: Address, expireQuiescent: boolean): Template | null {
    const template = this.#byNetwork.get(service)?.get(networkOf(service, client));
    if (template === undefined) return null;
    const { destination } = template;
    if (destination.available && (!expireQuiescent || destination.weight !== 0)) return template;
    this.#remove(template);
    return null;
  }

  add(service: VirtualService, client: Address, destination: Destination): Template {
    const network = networkOf(service, client);
    const template = new Template(this.#serials++, service, network, destination);
    let networks = this.#byNetwork.get(service);
    if (networks === undefined) {
      networks = new Map();
      this.#byNetwork.set(service, networks);
    }
    networks.set(network, template);
    return template;
  }

  /** A new member keeps the template alive; the traffic of members does not. */
  touch(template: Template, nowMs: number): void {
    template.expiresMs = nowMs + (template.service.persistenceTimeoutTicks / TICKS_PER_SECOND) * 1_000;
  }

  /** Removes what is over. */
  advance(nowMs: number): void {
    for (const template of this.#all()) {
      if (template.expiresMs > nowMs) continue;
      if (template.members > 0) template.expiresMs = nowMs + POSTPONE_MS;
      else this.#remove(template);
    }
  }

  list(nowMs: number): ConnectionStatus[] {
    return [...this.#all()].map((template) => {
      const { service, destination, network } = template;
      const { address, port, protocol } = service.key as { address: string; port: number; protocol: string };
      return {
        protocol: protocol.toUpperCase(),
        client: { address: network, port: 0 },
        virtual: { address, port },
        destination: { address: destination.address, port: destination.port },
        state: 'NONE',
        expiresSeconds: Math.max(0, Math.floor((template.expiresMs - nowMs) / 1_000)),
        template: true,
        origin: 'LOCAL' as const,
      };
    });
  }

  *#all(): Iterable<Template> {
    for (const networks of this.#byNetwork.values()) yield* networks.values();
  }

  #remove(template: Template): void {
    const networks = this.#byNetwork.get(template.service);
    if (networks?.get(template.network) !== template) return;
    networks.delete(template.network);
    if (networks.size === 0) this.#byNetwork.delete(template.service);
    template.destination.unbind(true, true);
  }
}

function networkOf(service: VirtualService, { family, words }: Address): string {
  const masked = Int32Array.of(
    (words[0] as number) & service.netmask0,
    (words[1] as number) & service.netmask1,
    (words[2] as number) & service.netmask2,
    (words[3] as number) & service.netmask3,
  );
  return formatAddress(family, masked);
}
