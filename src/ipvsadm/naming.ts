/** How endpoints are written: numbers with `-n`, else names of hosts and ports where there are any. */
import type { ServiceProtocol } from '../model/service.ts';
import type { NameService } from './io.ts';

/** Look-ups under way at the same time, and names kept. */
const LOOKUPS_MAX = 16;
const REMEMBERED_MAX = 65_536;

export interface Naming {
  /** Looks the addresses up, so that `endpoint` knows their names. */
  prepare(addresses: Iterable<string>): Promise<void>;
  /** `host:port`, `[v6 host]:port`. `protocol` says whose service names to use; `null`: the port is a number. */
  endpoint(address: string, port: number, protocol: ServiceProtocol | null): string;
}

export function createNaming(names: NameService, numeric: boolean): Naming {
  return numeric ? NUMERIC : new Names(names);
}

function join(address: string, host: string, port: string | number): string {
  return address.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const NUMERIC: Naming = {
  prepare: () => Promise.resolve(),
  endpoint: (address, port) => join(address, address, port),
};

class Names implements Naming {
  readonly #names: NameService;
  readonly #hosts = new Map<string, string>();

  constructor(names: NameService) {
    this.#names = names;
  }

  async prepare(addresses: Iterable<string>): Promise<void> {
    const wanted = [...new Set(addresses)].filter((address) => !this.#hosts.has(address));
    if (this.#hosts.size + wanted.length > REMEMBERED_MAX) {
      this.#hosts.clear();
      return this.prepareAll([...new Set(addresses)]);
    }
    return this.prepareAll(wanted);
  }

  private async prepareAll(addresses: string[]): Promise<void> {
    const worker = async () => {
      for (let address = addresses.pop(); address !== undefined; address = addresses.pop()) {
        this.#hosts.set(address, (await this.#names.findHost(address)) ?? address);
      }
    };
    await Promise.all(Array.from({ length: LOOKUPS_MAX }, worker));
  }

  endpoint(address: string, port: number, protocol: ServiceProtocol | null): string {
    const service = protocol === null ? null : this.#names.findService(port, protocol);
    return join(address, this.#hosts.get(address) ?? address, service ?? port);
  }
}
