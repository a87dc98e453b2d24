/**
 * Recordings with one expectation changed, for proving that the player notices. Each kind changes one thing in one
 * place, chosen by the given random numbers, and never a place that a named tolerance leaves open.
 */
import { ICMPV6, isIcmpError, packetFacts, UDP } from '../../src/conform/packet-facts.ts';
import type { CommandStep, FileStep, RecordedOutput, RecordedStep, Recording } from '../../src/conform/recording.ts';

/** Whole numbers below `limit`. */
export type Below = (limit: number) => number;

export interface Alteration {
  readonly recording: Recording;
  /** Where and what, for the message of a failing test. */
  readonly what: string;
}

export interface AlterationKind {
  readonly name: string;
  /** `null`: nothing in this recording can be changed that way. */
  readonly alter: (recording: Recording, below: Below) => Alteration | null;
}

export const ALTERATION_KINDS: readonly AlterationKind[] = [
  outputKind('packet: one bit', flipBit),
  outputKind('packet: interface', (output) => ({ ...output, dev: output.dev === 'c0' ? 's0' : 'c0' })),
  outputKind('packet: next hop', (output) => ({
    ...output,
    to: output.to === '10.1.0.22' ? '10.1.0.21' : '10.1.0.22',
  })),
  outputListKind('packet: one is missing', (outputs, index) =>
    isOnlyForTheHostToTell(outputs[index] as RecordedOutput) ? null : outputs.filter((_, place) => place !== index),
  ),
  outputListKind('packet: one comes twice', (outputs, index) => [...outputs, outputs[index] as RecordedOutput]),
  outputListKind('packet: two change places', swapWithNext),
  addToSilence(),
  outputKind('packet: its time in a wait', (output) =>
    output.dt === undefined || output.dev !== 'y0' ? null : { ...output, dt: output.dt + 1.5 },
  ),
  stepKind('stdout: a digit', 'cmd', (step, below) => withText(step, 'stdout', changeDigit(step, below))),
  stepKind('stdout: a letter', 'cmd', (step, below) => withText(step, 'stdout', changeLetter(step.stdout, below))),
  stepKind('stdout: a line is missing', 'cmd', (step, below) => withText(step, 'stdout', dropLine(step, below))),
  stepKind('stdout: a line comes twice', 'cmd', (step, below) => withText(step, 'stdout', repeatLine(step, below))),
  stepKind('stderr: a letter', 'cmd', (step, below) => withText(step, 'stderr', changeLetter(step.stderr, below))),
  stepKind('stderr: a word out of nowhere', 'cmd', (step) => withText(step, 'stderr', `${step.stderr}Sorry\n`)),
  stepKind('exit status', 'cmd', (step, below) => ({ ...step, exit: step.exit === 0 ? 1 + below(255) : 0 })),
  stepKind('file: a digit', 'file', (step, below) => withFileText(step, changeDigit(asListing(step), below))),
  stepKind('file: a letter', 'file', (step, below) => withFileText(step, changeLetter(step.text ?? '', below))),
  stepKind('file: a line is missing', 'file', (step, below) =>
    // Whether the FTP helper was loaded is left open.
    step.path.endsWith('/ip_vs_app') ? null : withFileText(step, dropLine(asListing(step), below)),
  ),
  stepKind('file: it is not there', 'file', (step) => ({ ...step, text: null })),
  stepKind('sysctl: taken or refused', 'sysctl', (step) => {
    const { error, ...taken } = step;
    return error === undefined ? { ...taken, error: 'Invalid argument' } : taken;
  }),
];

/** Changes one output of one step. */
function outputKind(
  name: string,
  change: (output: RecordedOutput, below: Below) => RecordedOutput | null,
): AlterationKind {
  return outputListKind(name, (outputs, index, below) => {
    const changed = change(outputs[index] as RecordedOutput, below);
    return changed === null ? null : outputs.map((output, place) => (place === index ? changed : output));
  });
}

function outputListKind(
  name: string,
  change: (outputs: readonly RecordedOutput[], index: number, below: Below) => readonly RecordedOutput[] | null,
): AlterationKind {
  return {
    name,
    alter: (recording, below) =>
      alterStep(recording, below, (step) => {
        if (step.out === undefined || step.out.length === 0) return null;
        const out = change(step.out, below(step.out.length), below);
        return out === null ? null : ({ ...step, out } as RecordedStep);
      }),
  };
}

/** The kernel kept a packet; now it is said to have sent what it sent for another one. */
function addToSilence(): AlterationKind {
  return {
    name: 'packet: one out of nowhere',
    alter: (recording, below) => {
      const sent = recording.steps.flatMap((step) => (step.do === 'packet' ? (step.out ?? []) : []));
      if (sent.length === 0) return null;
      return alterStep(recording, below, (step) => {
        const silent = (step.do === 'packet' || step.do === 'wait') && (step.out ?? []).length === 0;
        return silent ? { ...step, out: [sent[below(sent.length)] as RecordedOutput] } : null;
      });
    },
  };
}

function stepKind<K extends RecordedStep['do']>(
  name: string,
  kind: K,
  change: (step: Extract<RecordedStep, { do: K }>, below: Below) => RecordedStep | null,
): AlterationKind {
  return {
    name,
    alter: (recording, below) =>
      alterStep(recording, below, (step) =>
        step.do === kind ? change(step as Extract<RecordedStep, { do: K }>, below) : null,
      ),
  };
}

/** Tries steps in random order until one can be changed. */
function alterStep(
  recording: Recording,
  below: Below,
  change: (step: RecordedStep) => RecordedStep | null,
): Alteration | null {
  const { steps } = recording;
  const order = steps.map((_, index) => index);
  for (let left = order.length; left > 0; left--) {
    const pick = below(left);
    const index = order[pick] as number;
    order[pick] = order[left - 1] as number;
    const changed = change(steps[index] as RecordedStep);
    if (changed === null) continue;
    return {
      recording: { ...recording, steps: steps.map((step, place) => (place === index ? changed : step)) },
      what: `${recording.id}, step ${index}: ${JSON.stringify(changed).slice(0, 400)}`,
    };
  }
  return null;
}

/** Any bit, but those that are random and that no checksum protects. */
function flipBit(output: RecordedOutput, below: Below): RecordedOutput {
  const packet = Buffer.from(output.hex, 'hex');
  let bit = below(packet.length * 8);
  while (isLeftOpen(packet, bit >>> 3)) bit = below(packet.length * 8);
  packet[bit >>> 3]! ^= 1 << (bit & 7);
  return { ...output, hex: packet.toString('hex') };
}

function isLeftOpen(packet: Buffer, at: number): boolean {
  const facts = packetFacts(packet);
  const { ipv6, protocol, transportAt, multicast } = facts;
  // What the host itself sends over IPv6 is looked at only from the source address on.
  const ofTheHost = ipv6 && packet[7] === 64 && (isIcmpError(facts) || [6, ICMPV6].includes(protocol));
  if (ofTheHost && at < 8) return true;
  const ownLabel = ipv6 && (multicast || isIcmpError(facts));
  if (ownLabel && at >= 1 && at < 4) return true;
  const fragmentId = ipv6 && packet[6] === 44;
  if (fragmentId && at >= 44 && at < 48) return true;
  const gueWithoutChecksum =
    protocol === UDP && packet.length > transportAt + 8 && packet.readUInt16BE(transportAt + 6) === 0;
  return gueWithoutChecksum && at >= transportAt && at < transportAt + 2;
}

/**
 * That it knows no such protocol, or waited for fragments in vain. Whether IPVS dropped the packet or the host had
 * nothing to say looks the same.
 */
function isOnlyForTheHostToTell(output: RecordedOutput): boolean {
  const { ipv6, protocol, type, code } = packetFacts(Buffer.from(output.hex, 'hex'));
  if (ipv6) return protocol === ICMPV6 && (type === 4 || (type === 3 && code === 1));
  return protocol === 1 && ((type === 3 && code === 2) || (type === 11 && code === 1));
}

function swapWithNext(outputs: readonly RecordedOutput[], index: number): readonly RecordedOutput[] | null {
  const one = outputs[index] as RecordedOutput;
  const other = outputs[index + 1];
  // Sync messages with the same connections differ by a random id only; with several ports their order is left open.
  if (other === undefined || other.hex.slice(56) === one.hex.slice(56)) return null;
  const [port, otherPort] = [one, other].map(({ hex }) => packetFacts(Buffer.from(hex, 'hex')).destinationPort);
  if (one.dev === 'y0' && port !== otherPort) return null;
  return outputs.map((output, place) => (place === index ? other : place === index + 1 ? one : output));
}

function withText(step: CommandStep, stream: 'stdout' | 'stderr', text: string | null): RecordedStep | null {
  // Of the help text only the first line counts.
  if (stream === 'stdout' && step.stdout.includes('\nUsage:\n')) return null;
  return text === null || text === step[stream] ? null : { ...step, [stream]: text };
}

function withFileText(step: FileStep, text: string | null): RecordedStep | null {
  return text === null || text === step.text ? null : { ...step, text };
}

/** A text whose lines may be connections, of which the last seconds are left open. */
interface Listing {
  readonly stdout: string;
}

function asListing(step: FileStep): Listing {
  return { stdout: step.text ?? '' };
}

const LISTING_TIME = /^(?:TCP|UDP|SCTP|IP) +(\d+:\d\d) /;
const PROC_TIME = /^(?:TCP|UDP|SCTP|IP )(?: +\S+){6} \S+ +(?:LOCAL +|SYNC +)?(\d+)(?: |$)/;

/** The seconds that a row of a connection has left, and where they stand in it; `null` for other lines. */
function timeOf(line: string): { readonly at: number; readonly text: string; readonly seconds: number } | null {
  const listed = LISTING_TIME.exec(line);
  const match = listed ?? PROC_TIME.exec(line);
  if (match === null) return null;
  const text = match[1] as string;
  const at = listed === null ? match[0].lastIndexOf(text) : match[0].indexOf(text);
  const parts = text.split(':').map(Number);
  return { at, text, seconds: parts.reduce((sum, part) => sum * 60 + part, 0) };
}

/** An entry without seconds left may be listed or not. */
function isOverdue(line: string): boolean {
  return timeOf(line)?.seconds === 0;
}

function changeDigit({ stdout }: Listing, below: Below): string | null {
  const lines = stdout.split('\n');
  const places = lines.flatMap((line, row) =>
    isOverdue(line)
      ? []
      : [...line].flatMap((letter, at) => (/\d/.test(letter) && !isLastSecond(line, at) ? [{ row, at }] : [])),
  );
  const place = places[below(places.length)];
  if (place === undefined) return null;
  const line = lines[place.row] as string;
  const digit = (Number(line[place.at]) + 2 + below(7)) % 10;
  lines[place.row] = line.slice(0, place.at) + digit + line.slice(place.at + 1);
  return lines.join('\n');
}

/** One second more or less is forgiven, so the last digit of the time is left alone. */
function isLastSecond(line: string, at: number): boolean {
  const time = timeOf(line);
  return time !== null && at === time.at + time.text.length - 1;
}

function changeLetter(text: string, below: Below): string | null {
  const lines = text.split('\n');
  const places = lines.flatMap((line, row) =>
    isOverdue(line) ? [] : [...line].flatMap((letter, at) => (/[A-Za-z]/.test(letter) ? [{ row, at }] : [])),
  );
  const place = places[below(places.length)];
  if (place === undefined) return null;
  const line = lines[place.row] as string;
  const other = line[place.at] === 'x' ? 'y' : 'x';
  lines[place.row] = line.slice(0, place.at) + other + line.slice(place.at + 1);
  return lines.join('\n');
}

/** What the recorded ipvsadm shows of a line that is too long for it. */
const LEFTOVER_ROW = /^(?!TCP|UDP|SCTP|IP )\S+ +\d+:\d\d /;

function dropLine({ stdout }: Listing, below: Below): string | null {
  const lines = stdout.split('\n');
  const rows = lines.flatMap((line, row) => (line === '' || isOverdue(line) || LEFTOVER_ROW.test(line) ? [] : [row]));
  const row = rows[below(rows.length)];
  return row === undefined ? null : lines.filter((_, place) => place !== row).join('\n');
}

function repeatLine({ stdout }: Listing, below: Below): string | null {
  const lines = stdout.split('\n');
  const rows = lines.flatMap((line, row) => (line === '' || isOverdue(line) || LEFTOVER_ROW.test(line) ? [] : [row]));
  const row = rows[below(rows.length)];
  return row === undefined ? null : lines.flatMap((line, place) => (place === row ? [line, line] : [line])).join('\n');
}
