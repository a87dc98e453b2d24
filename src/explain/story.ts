/** Everything there is to say about one packet: the steps, the verdict with its way out, and the packet before and after. */
import type { Reason } from '../engine/verdict.ts';
import type { PacketTrace, TracedOutput } from '../model/packet-trace.ts';
import { formatFrame } from '../wire/print.ts';
import { type ChecksumRepair, checksumRepairs } from './checksum-repair.ts';
import { compareFrames, type FrameDifference } from './difference.ts';
import { bytesOfHex } from './hex.ts';
import type { Layer } from './layers.ts';
import { describePacket, endpoint, summariseChoice, type ToldStep, tellSteps } from './steps.ts';
import { WAYS_OUT } from './ways-out.ts';

export interface ToldOutput {
  readonly kind: TracedOutput['kind'];
  /** Link, or `null`: the host's own stack. */
  readonly link: string | null;
  /** The frame in one line. */
  readonly summary: string;
  readonly frame: string;
  /** Against the packet as it came; `null` for what the engine itself says, and what is not here whole. */
  readonly difference: FrameDifference | null;
  readonly checksums: readonly ChecksumRepair[];
}

export interface Story {
  /** `TCP 10.0.0.5:40000 > 192.168.1.120:80` */
  readonly packet: string;
  readonly verdict: PacketTrace['verdict'];
  /** What became of it, in one sentence. */
  readonly ending: string;
  readonly reason: string;
  /** What to do about it; empty: nothing. */
  readonly wayOut: string;
  /** The scheduler's arithmetic in one line, or `null`. */
  readonly choice: string | null;
  readonly steps: readonly ToldStep[];
  readonly outputs: readonly ToldOutput[];
  readonly trace: PacketTrace;
}

export function tellStory(trace: PacketTrace): Story {
  return {
    packet: describePacket(trace),
    verdict: trace.verdict,
    ending: endingOf(trace),
    reason: trace.reason,
    wayOut: WAYS_OUT[trace.reason as Reason] ?? '',
    choice: trace.choice === null ? null : summariseChoice(trace.choice),
    steps: tellSteps(trace),
    outputs: trace.outputs.map((output) => tellOutput(trace, output)),
    trace,
  };
}

function endingOf(trace: PacketTrace): string {
  const { verdict, outputs, why, connection, egress } = trace;
  const because = why === '' ? '' : `: ${why}`;
  switch (verdict) {
    case 'drop':
      return `dropped${because}`;
    case 'pass':
      return `given on to the host’s own stack${because}`;
    case 'deliver':
      return 'rewritten and handed to a server on this host';
    case 'consume':
      if (egress !== null && egress.mac === null) return `kept until ${egress.nextHop} says its MAC`;
      if (outputs.length > 0)
        return `taken in; ${outputs.length} frame${outputs.length === 1 ? '' : 's'} of our own went out`;
      return `taken in${because}`;
    case 'transmit': {
      const to =
        connection === null
          ? ''
          : ` to ${connection.direction === 'inbound' ? serverOf(trace) : endpoint(connection.after.client)}`;
      return `sent${to} by ${outputs[0]?.link ?? egress?.link ?? 'its link'}`;
    }
  }
}

function serverOf({ connection }: PacketTrace): string {
  return connection === null ? '' : endpoint(connection.after.destination);
}

function tellOutput(trace: PacketTrace, output: TracedOutput): ToldOutput {
  const bytes = bytesOfHex(output.frame);
  const told = { kind: output.kind, link: output.link, summary: formatFrame(bytes), frame: output.frame };
  const isWhole = trace.frame.length === 2 * trace.bytes && bytes.length === output.bytes;
  if (!isWhole || !isThePacket(trace, output)) return { ...told, difference: null, checksums: [] };
  const before = bytesOfHex(trace.frame);
  const tunnel = trace.connection?.tunnel ?? null;
  const guePort = tunnel?.type === 'gue' ? tunnel.port : null;
  const difference = compareFrames(before, bytes, { guePort }, (layer, field) => whyChanged(trace, layer, field));
  const checksums = checksumRepairs(difference.headers, before, bytes, { partial: trace.partialChecksum });
  return { ...told, difference, checksums };
}

/** The pieces of a packet that had to be cut are the engine's own frames, and so is its answer to a packet. */
function isThePacket(_trace: PacketTrace, { kind }: TracedOutput): boolean {
  return kind === 'packet';
}

function whyChanged({ connection, egress }: PacketTrace, layer: Layer, field: string): string {
  if (layer.kind === 'ethernet') {
    if (field === 'destination MAC') return egress === null ? 'the host’s own stack' : `the next hop ${egress.nextHop}`;
    if (field === 'source MAC') return 'the link it leaves by';
    return '';
  }
  if (field === 'time to live' || field === 'hop limit') return 'one hop less';
  if (field.includes('checksum')) return 'repaired, see below';
  const isNat = connection !== null && connection.method === 'masquerade';
  if (!isNat) return '';
  const inbound = connection.direction === 'inbound';
  // A quote is a packet that went the other way, so its ends are exchanged.
  const isSource = field.startsWith('source') !== layer.quoted;
  if (!/^(source|destination) (address|port)$/.test(field)) return '';
  if (inbound) return isSource ? 'the director (full NAT)' : 'the real server';
  return isSource ? 'the virtual service' : 'the client (full NAT)';
}
