/**
 * Which outputs of a recording are IPVS's work, and which the host's (its routing, its own TCP, UDP and ICMP). The
 * rules are those that come with the recordings; the first that fits decides.
 */
import { formatPacket } from '../wire/print.ts';
import {
  ICMP,
  ICMPV6,
  isIcmpError,
  isPortUnreachable,
  type PacketFacts,
  packetFacts,
  TCP,
  UDP,
} from './packet-facts.ts';
import { isForwardedCopy } from './plain-forwarding.ts';
import type { RecordedOutput } from './recording.ts';

/** `route`: plain forwarding; `stack`: the host's own protocols. */
export type Maker = 'ipvs' | 'route' | 'stack';

/** The moment at which a packet arrived, as far as the rules ask. */
export interface Moment {
  /** The packet that arrived; `null` during a wait. */
  readonly input: Buffer | null;
  /** Its destination is an address of the director, or counts as one by its mark. */
  readonly isOwn: boolean;
  readonly isOwnAddress: (address: string) => boolean;
  /** Whether an address (hexadecimal) is one of the director's own in a network: no VIP. */
  readonly isInterfaceAddress: (address: string) => boolean;
  /** Its destination is an address of an interface, so the director's own protocols answer there. */
  readonly isAnswered: boolean;
  /** A service covers the input's protocol, address, port or mark. */
  readonly isCovered: boolean;
  /** Where the host's routes lead, or `null` when nowhere: for what the host itself sends. */
  readonly hopTo: (address: string) => { readonly dev: string; readonly to: string } | null;
  /** That service has a server on the director itself, whose stack answers. */
  readonly hasLocalServer: boolean;
}

interface Situation {
  readonly moment: Moment;
  readonly input: PacketFacts | null;
  readonly output: PacketFacts;
  readonly inputBytes: Buffer | null;
  readonly outputBytes: Buffer;
  readonly dev: string;
}

interface MakerRule {
  readonly when: string;
  readonly holds: (situation: Situation) => boolean;
  readonly maker: Maker;
}

/** The interface that only the sync daemon uses. */
const SYNC_INTERFACE = 'y0';

const EVERYWHERE: readonly MakerRule[] = [
  {
    when: 'multicast UDP on y0: the sync daemon',
    holds: ({ dev, output }) => dev === SYNC_INTERFACE && output.protocol === UDP && output.multicast,
    maker: 'ipvs',
  },
];

const DURING_A_WAIT: readonly MakerRule[] = [
  { when: 'time exceeded in reassembly', holds: ({ output }) => isReassemblyTimeout(output), maker: 'stack' },
];

const NOT_OWN: readonly MakerRule[] = [
  {
    when: 'source address as in the input, only TTL and checksums differ, or a fragment of that',
    holds: ({ inputBytes, outputBytes }) => inputBytes !== null && isForwardedCopy(inputBytes, outputBytes),
    maker: 'route',
  },
  {
    when: 'ICMP error from an interface address, not port unreachable',
    holds: ({ moment, output }) =>
      isIcmpError(output) && moment.isInterfaceAddress(output.source) && !isPortUnreachable(output),
    maker: 'stack',
  },
];

const OWN: readonly MakerRule[] = [
  {
    when: 'source address as in the input: NAT, DR, bypass, fragments',
    holds: ({ input, output }) => output.source === input?.source,
    maker: 'ipvs',
  },
  {
    when: 'an outer tunnel header around the input',
    holds: ({ moment, output }) =>
      moment.isInterfaceAddress(output.source) && [4, 41, 47, UDP].includes(output.protocol) && !output.multicast,
    maker: 'ipvs',
  },
  {
    when: 'a TCP reset back to the client',
    holds: ({ input, output, outputBytes }) =>
      output.protocol === TCP &&
      output.destination === input?.source &&
      output.source === input.destination &&
      (outputBytes[output.transportAt + 13]! & 4) !== 0,
    maker: 'stack',
  },
  {
    when: 'echo reply, timestamp reply, protocol unreachable, parameter problem of an unknown header',
    holds: ({ input, output }) => isAnswerOfTheStack(output) && !isAboutAnError(input),
    maker: 'stack',
  },
  { when: 'time exceeded in reassembly', holds: ({ output }) => isReassemblyTimeout(output), maker: 'stack' },
  {
    when: 'port unreachable, and no service covers the input',
    holds: ({ input, output, moment }) => isPortUnreachable(output) && !moment.isCovered && !isAboutAnError(input),
    maker: 'stack',
  },
  {
    when: 'port unreachable of a server on the director itself',
    holds: ({ output, moment }) => isPortUnreachable(output) && moment.hasLocalServer,
    maker: 'stack',
  },
];

/** Whose work an output is. What no rule names is IPVS's. */
export function makerOf(output: RecordedOutput, moment: Moment): Maker {
  const outputBytes = Buffer.from(output.hex, 'hex');
  const situation: Situation = {
    moment,
    input: moment.input === null ? null : packetFacts(moment.input),
    inputBytes: moment.input,
    output: packetFacts(outputBytes),
    outputBytes,
    dev: output.dev,
  };
  const rules = moment.input === null ? DURING_A_WAIT : moment.isOwn ? OWN : NOT_OWN;
  return [...EVERYWHERE, ...rules].find((rule) => rule.holds(situation))?.maker ?? 'ipvs';
}

/** A host never answers an ICMP error: what goes out then is an error about a tunnel that IPVS passes on. */
function isAboutAnError(input: PacketFacts | null): boolean {
  return input !== null && isIcmpError(input);
}

function isAnswerOfTheStack({ protocol, type, code }: PacketFacts): boolean {
  if (protocol === ICMP) return type === 0 || type === 14 || (type === 3 && code === 2);
  return protocol === ICMPV6 && (type === 129 || (type === 4 && code === 1));
}

function isReassemblyTimeout({ protocol, type, code }: PacketFacts): boolean {
  return (protocol === ICMP && type === 11 && code === 1) || (protocol === ICMPV6 && type === 3 && code === 1);
}

export function describeOutput(output: RecordedOutput): string {
  return `${output.dev} to ${output.to}: ${formatPacket(Buffer.from(output.hex, 'hex'))}`;
}
