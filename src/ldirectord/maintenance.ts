/** `maintenancedir`: a file named like a server takes that server out of service for as long as it exists. */
import { lookupService } from 'node:dns/promises';
import { readdirSync } from 'node:fs';
import type { RealServer } from './config/types.ts';

/** The directory is read at most this often, however many servers are asked about. */
const READ_EVERY_MS = 500;

/** Looked for are `ADDRESS:PORT`, `ADDRESS`, `NAME:PORT`, `NAME`, `SHORT:PORT`, `SHORT`. */
export class MaintenanceDirectory {
  readonly #directory: string;
  readonly #nowMs: () => number;
  readonly #nameOf: (address: string) => Promise<string | null>;
  /** Names by address; asked once, and not waited for. */
  readonly #names = new Map<string, string | null>();
  #files: ReadonlySet<string> = new Set();
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(
    directory: string,
    nowMs: () => number,
    nameOf: (address: string) => Promise<string | null> = reverseLookup,
  ) {
    this.#directory = directory;
    this.#nowMs = nowMs;
    this.#nameOf = nameOf;
  }

  holds({ address, port }: RealServer): boolean {
    this.#read();
    const shown = address.includes(':') ? `[${address}]` : address;
    const name = this.#name(address);
    const hosts = [shown];
    if (name !== null) hosts.push(name, name.split('.')[0]);
    return hosts.some((host) => this.#files.has(`${host}:${port}`) || this.#files.has(host));
  }

  /** A directory that is not there holds nobody. */
  #read(): void {
    const nowMs = this.#nowMs();
    if (nowMs - this.#readMs < READ_EVERY_MS) return;
    this.#readMs = nowMs;
    try {
      this.#files = new Set(readdirSync(this.#directory));
    } catch {
      this.#files = new Set();
    }
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
