/** Who listens on which port of this host, as `ss` tells it. */
import { type Known, known } from '../facts.ts';
import { runTool } from './tool.ts';

export interface Listener {
  readonly protocol: 'tcp' | 'udp';
  /** `0.0.0.0`, `::`, `*` (both families) or an address. */
  readonly address: string;
  readonly port: number;
  /** Programs with their pids, as far as this user may see them: `nginx (pid 12)`. */
  readonly programs: readonly { readonly name: string; readonly pid: number }[];
}

export async function listListeners(): Promise<Known<readonly Listener[]>> {
  const printed = await runTool('ss', ['-H', '-l', '-n', '-t', '-u', '-p']);
  return printed.known ? known(parseListeners(printed.value)) : printed;
}

/** `tcp LISTEN 0 511 192.168.1.120%eth0:80 0.0.0.0:* users:(("nginx",pid=12,fd=6))` */
export function parseListeners(text: string): Listener[] {
  return text.split('\n').flatMap((line) => {
    const [protocol, , , , local, , users = ''] = line.trim().split(/\s+/, 7);
    const place = /^\[?([0-9a-f:.*]+?)\]?(?:%[^:]+)?:(\d+)$/i.exec(local ?? '');
    if ((protocol !== 'tcp' && protocol !== 'udp') || place === null) return [];
    const programs = [...users.matchAll(/\("([^"]*)",pid=(\d+)/g)].map(([, name, pid]) => ({ name, pid: Number(pid) }));
    return [{ protocol, address: place[1], port: Number(place[2]), programs }];
  });
}
