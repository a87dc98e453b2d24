/**
 * A back end that reads a tap, with the tap and its rules: as the guard feeds it, but with every frame of a link, for the
 * suite wants to see them all, also those for other hosts, whose addresses begin as the link's does. Frames of a VLAN
 * belong to the VLAN's own link, as in the guard.
 */
import { execFileSync } from 'node:child_process';
import { outRules, type SteeredLink, takeRules, wholeLinkRules } from '../../../src/data-plane/packet/steering.ts';
import { createTap, TAP_NEAR_NAME } from '../../../src/data-plane/packet/tap-link.ts';
import {
  type Link,
  type PacketIo,
  PacketIoError,
  type PacketIoKind,
  type PacketIoOptions,
} from '../../../src/packet-io/packet-io.ts';

const TABLE = 'netdev uipvs';
const ingress = (device: string) => `type filter hook ingress device "${device}" priority -500;`;

export async function openSteered(kind: PacketIoKind, options?: PacketIoOptions): Promise<PacketIo> {
  const reason = await createTap();
  if (reason !== null) throw new PacketIoError(reason);
  nft([`add table ${TABLE}`, `add chain ${TABLE} tap_out { ${ingress(TAP_NEAR_NAME)} policy drop; }`]);
  const io = await kind.open(options);
  const served = new Map<number, SteeredLink>();
  const rewrite = () =>
    nft([
      `flush chain ${TABLE} tap_out`,
      ...outRules([...served.values()]).map((r) => `add rule ${TABLE} tap_out ${r}`),
    ]);

  const attach = io.attach.bind(io);
  const detach = io.detach.bind(io);
  return Object.assign(io, {
    attach(link: Link) {
      // It detaches the link first, which ends the steering of before.
      attach(link);
      const mac = [...link.mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
      const steered = { index: link.index, name: link.name, mac, loopback: link.loopback };
      const chain = `link_${link.index}`;
      const ownOnes = takeRules([steered]).filter((rule) => rule.includes('@ll,48,48'));
      const rules = ['ether type { 8021q, 8021ad } return', ...ownOnes.map((rule) => rule.replace(' drop', ' return'))];
      try {
        nft([
          `add chain ${TABLE} ${chain} { ${ingress(link.name)} policy accept; }`,
          ...[...rules, ...wholeLinkRules(steered).map(link.loopback ? forBoth : forAnyHost)].map(
            (rule) => `add rule ${TABLE} ${chain} ${rule}`,
          ),
        ]);
        served.set(link.index, steered);
        rewrite();
      } catch (cause) {
        detach(link.index);
        served.delete(link.index);
        throw new PacketIoError(`cannot serve link ${link.name}: ${(cause as Error).message}`, { cause });
      }
    },
    detach(linkIndex: number) {
      detach(linkIndex);
      if (!served.delete(linkIndex)) return;
      rewrite();
      nft([`flush chain ${TABLE} link_${linkIndex}`, `delete chain ${TABLE} link_${linkIndex}`]);
    },
  });
}

function forAnyHost(rule: string): string {
  return rule.replace('meta pkttype host', 'meta pkttype { host, other }');
}

/** What is sent on the loopback link is heard by the stack as well. */
function forBoth(rule: string): string {
  return `${rule.replace(' fwd to ', ' dup to ')} @ll,0,16 set 0x0000`;
}

function nft(lines: readonly string[]): void {
  execFileSync('nft', ['-f', '-'], { input: lines.join('\n'), stdio: ['pipe', 'ignore', 'pipe'] });
}
