/** Network namespaces for a test: made here, joined by veth pairs, and removed whatever happens. */
import { execFileSync } from 'node:child_process';
import type { Link } from '../../../src/packet-io/packet-io.ts';

let made = 0;

/** `null` when namespaces can be made, otherwise why the test is skipped. */
export function namespacesRefused(): string | null {
  if (process.getuid?.() !== 0) return 'needs root to make network namespaces';
  const probe = new Namespaces();
  try {
    probe.add('p');
    return null;
  } catch (error) {
    return `cannot make network namespaces: ${(error as Error).message.split('\n')[0]}`;
  } finally {
    probe.remove();
  }
}

export class Namespaces {
  readonly #prefix = `pio${process.pid.toString(36)}${(made++).toString(36)}`;
  readonly #names: string[] = [];
  #macs = 0;

  /** A namespace with `lo` up and without IPv6, so that nothing talks by itself. Returns its full name. */
  add(name: string): string {
    const full = `${this.#prefix}${name}`;
    ip('netns', 'add', full);
    this.#names.push(full);
    this.exec(full, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1');
    ip('-n', full, 'link', 'set', 'lo', 'up');
    return full;
  }

  /** A veth pair, both ends up. All addresses begin with 02:00, like those of the suite's frames. */
  cable(from: string, fromLink: string, to: string, toLink: string, mtu = 1500): void {
    const words = ['link', 'add', fromLink, 'address', this.#mac(), 'mtu', `${mtu}`, 'type', 'veth'];
    ip('-n', from, ...words, 'peer', 'name', toLink, 'address', this.#mac(), 'netns', to);
    ip('-n', to, 'link', 'set', toLink, 'mtu', `${mtu}`, 'up');
    ip('-n', from, 'link', 'set', fromLink, 'up');
  }

  #mac(): string {
    this.#macs += 1;
    return `02:00:00:76:${(this.#macs >> 8).toString(16).padStart(2, '0')}:${(this.#macs & 255).toString(16).padStart(2, '0')}`;
  }

  link(namespace: string, name: string): Link {
    const [found] = JSON.parse(ip('-n', namespace, '-j', 'link', 'show', name));
    return {
      index: found.ifindex,
      name,
      mac: Uint8Array.from(found.address.split(':').map((byte: string) => Number.parseInt(byte, 16))),
      mtu: found.mtu,
      loopback: name === 'lo',
    };
  }

  exec(namespace: string, ...command: string[]): string {
    return ip('netns', 'exec', namespace, ...command);
  }

  remove(): void {
    for (const name of this.#names.splice(0)) {
      try {
        ip('netns', 'del', name);
      } catch {
        // Nothing more can be done about it here.
      }
    }
  }
}

export function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
