/** Which server a new conversation gets: persistence first, then the scheduler, then whoever was not tried yet. */
import type { Destination } from '../src/balance/destination.ts';
import { Flow } from '../src/balance/scheduler.ts';
import type { VirtualService } from '../src/balance/virtual-service.ts';
import type { Endpoint } from '../src/model/connection-status.ts';
import type { Settings } from '../src/model/settings.ts';
import { type Address, parseAddress } from '../src/wire/address.ts';
import type { Membership } from './session.ts';
import { Templates } from './templates.ts';

export interface Choice {
  readonly destination: Destination;
  readonly port: number;
  readonly membership: Membership | null;
}

export class Chooser {
  readonly templates = new Templates();
  readonly #flow = new Flow();
  readonly #settings: Settings;
  readonly #nowTicks: () => number;

  constructor(settings: Settings, nowTicks: () => number) {
    this.#settings = settings;
    this.#nowTicks = nowTicks;
  }

  /** `null`: nobody takes it, or the client's address cannot be read. */
  choose(service: VirtualService, client: Endpoint, nowMs: number): Choice | null {
    const address = parseAddress(client.address);
    if (address === null) return null;
    if (!service.persistent) {
      const destination = this.#schedule(service, address, client.port);
      return destination === null ? null : { destination, port: portOf(service, destination), membership: null };
    }
    const quiescent = this.#settings.expire_quiescent_template !== 0;
    let template = this.templates.find(service, address, quiescent);
    if (template === null) {
      const destination = this.#schedule(service, address, client.port);
      if (destination === null) return null;
      template = this.templates.add(service, address, destination);
    }
    this.templates.touch(template, nowMs);
    template.members++;
    const { destination } = template;
    return { destination, port: portOf(service, destination), membership: template };
  }

  /**
   * Another one than those tried: what the scheduler says next, else the first in the list that may take new
   * conversations. `null`: all were tried.
   */
  chooseAgain(service: VirtualService, client: Endpoint, tried: ReadonlySet<Destination>): Choice | null {
    const address = parseAddress(client.address);
    if (address === null) return null;
    const scheduled = this.#schedule(service, address, client.port);
    const destination =
      scheduled !== null && !tried.has(scheduled)
        ? scheduled
        : service.destinations.find((it) => it.weight > 0 && !it.overloaded && !tried.has(it));
    return destination === undefined ? null : { destination, port: portOf(service, destination), membership: null };
  }

  #schedule(service: VirtualService, { family, words }: Address, clientPort: number): Destination | null {
    const flow = this.#flow;
    flow.ipv6 = family === 'ipv6';
    flow.protocol = service.protocol;
    [flow.client0, flow.client1, flow.client2, flow.client3] = words as unknown as [number, number, number, number];
    flow.clientPort = clientPort;
    flow.virtual0 = service.address0;
    flow.virtual1 = service.address1;
    flow.virtual2 = service.address2;
    flow.virtual3 = service.address3;
    flow.virtualPort = service.port;
    flow.mark = 0;
    return service.scheduler.pick(flow, this.#nowTicks());
  }
}

function portOf(service: VirtualService, destination: Destination): number {
  return destination.port === 0 ? service.port : destination.port;
}
