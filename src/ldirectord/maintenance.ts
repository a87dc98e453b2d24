/** `maintenancedir`: a file named like a server takes that server out of service for as long as it exists. */
import { lookupService } from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { RealServer } from './config/types.ts';

/** Looked for are `ADDRESS:PORT`, `ADDRESS`, `NAME:PORT`, `NAME`, `SHORT:PORT`, `SHORT`. */
export class MaintenanceDirectory {
  readonly #directory: string;
  readonly #nameOf: (address: string) => Promise<string | null>;
  /** Names by address; asked once, and not waited for. */
  readonly #names = new Map<string, string | null>();

  constructor(directory: string, nameOf: (address: string) => Promise<string | null> = reverseLookup) {
    this.#directory = directory;
    this.#nameOf = nameOf;
  }

  holds({ address, port }: RealServer): boolean {
    const shown = address.includes(':') ? `[${address}]` : address;
    const name = this.#name(address);
    const hosts = [shown];
    if (name !== null) hosts.push(name, name.split('.')[0]);
    return hosts.some((host) => this.#exists(`${host}:${port}`) || this.#exists(host));
  }

  #exists(file: string): boolean {
    return !file.includes('/') && existsSync(join(this.#directory, file));
  }

  #name(address: string): string | null {
    const known = this.#names.get(address);
    if (known !== undefined) return known;
    this.#names.set(address, null);
    void this.#nameOf(address).then((name) => this.#names.set(address, name));
    return null;
  }
}

async function reverseLookup(address: string): Promise<string | null> {
  try {
    const { hostname } = await lookupService(address, 0);
    return hostname === address ? null : hostname;
  } catch {
    return null;
  }
}
