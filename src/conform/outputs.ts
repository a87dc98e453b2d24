/** Packets that left, compared with those the kernel sent: number, order, interface, next hop, bytes. */
import { formatPacket } from '../wire/print.ts';
import type { Difference } from './difference.ts';
import { flawOfHostOutputs, hostWouldAnswer } from './host-reaction.ts';
import { describeOutput, type Maker, type Moment, makerOf } from './makers.ts';
import { differingFields } from './packet-fields.ts';
import { isSamePacket, type PairContext } from './packet-tolerances.ts';
import type { RecordedOutput } from './recording.ts';
import { compareSyncMessages, compareTimes, isSyncMessage } from './sync-messages.ts';

/** What the engine did with one packet, or by itself during a wait. */
export interface Observed {
  readonly sent: readonly RecordedOutput[];
  /** Given on to the host with not a bit changed. */
  readonly passed: boolean;
  /** Given to the host's own protocols in a rewritten form. */
  readonly delivered: boolean;
  readonly verdict: string;
}

export function compareOutputs(
  expected: readonly RecordedOutput[],
  moment: Moment,
  observed: Observed,
  context: PairContext,
): Difference | null {
  const makers = expected.map((output) => makerOf(output, moment));
  const own = expected.filter((_, index) => makers[index] === 'ipvs');
  const byPorts = context.syncPorts > 1 && [...own, ...observed.sent].some(isSyncMessage);
  return (
    (byPorts ? compareByPorts(own, observed.sent, context) : comparePairs(own, observed.sent, context)) ??
    compareHost(expected, makers, moment, observed)
  );
}

function comparePairs(
  own: readonly RecordedOutput[],
  sent: readonly RecordedOutput[],
  context: PairContext,
): Difference | null {
  for (let index = 0; index < Math.max(own.length, sent.length); index++) {
    const kernel = own[index];
    const came = sent[index];
    const field = `output ${index + 1}`;
    if (kernel === undefined) return { field, kernel: 'nothing', came: tell(came), details: bytesOf(kernel, came) };
    if (came === undefined) return { field, kernel: tell(kernel), came: 'nothing', details: bytesOf(kernel, came) };
    const difference = comparePair(kernel, came, field, context);
    if (difference !== null) return difference;
  }
  return null;
}

function comparePair(
  kernel: RecordedOutput,
  came: RecordedOutput,
  place: string,
  context: PairContext,
): Difference | null {
  const details = bytesOf(kernel, came);
  if (kernel.dev !== came.dev) return { field: `${place}, interface`, kernel: kernel.dev, came: came.dev, details };
  if (kernel.to !== came.to) return { field: `${place}, next hop`, kernel: kernel.to, came: came.to, details };
  if (!isSamePacket(kernel.hex, came.hex, context)) {
    const fields = differingFields(Buffer.from(kernel.hex, 'hex'), Buffer.from(came.hex, 'hex'));
    return { field: `${place}, bytes`, kernel: tell(kernel), came: tell(came), details: [...fields, ...details] };
  }
  return isSyncMessage(kernel) ? compareTimes(kernel, came, context) : null;
}

/** Tolerance `sync-ports`. */
function compareByPorts(
  own: readonly RecordedOutput[],
  sent: readonly RecordedOutput[],
  context: PairContext,
): Difference | null {
  const rest = (outputs: readonly RecordedOutput[]) => outputs.filter((output) => !isSyncMessage(output));
  return (
    compareSyncMessages(own.filter(isSyncMessage), sent.filter(isSyncMessage), context) ??
    comparePairs(rest(own), rest(sent), context)
  );
}

/** What the host sends counts as right when it was given the packet, and only then. */
function compareHost(
  expected: readonly RecordedOutput[],
  makers: readonly Maker[],
  moment: Moment,
  observed: Observed,
): Difference | null {
  const hostSent = expected.filter((_, index) => makers[index] !== 'ipvs');
  const flaw = flawOfHostOutputs(hostSent, moment);
  if (flaw !== null) return { field: 'the recording', kernel: describeOutput(hostSent[0]!), came: flaw };
  if (moment.input === null) return null;
  if (hostSent.length > 0) {
    const given = observed.passed || (observed.delivered && moment.hasLocalServer);
    if (given) return null;
    return {
      field: 'verdict',
      kernel: `gave the packet on unchanged, and its host sent ${describeOutput(hostSent[0]!)}`,
      came: observed.verdict,
    };
  }
  const answer = observed.passed || observed.delivered ? hostWouldAnswer(moment) : null;
  if (answer === null || expected.length > 0) return null;
  return { field: 'verdict', kernel: 'kept the packet, nothing was sent', came: `given on, and the host ${answer}` };
}

function tell(output: RecordedOutput | undefined): string {
  return output === undefined ? 'nothing' : describeOutput(output);
}

function bytesOf(kernel: RecordedOutput | undefined, came: RecordedOutput | undefined): string[] {
  const line = (who: string, output: RecordedOutput | undefined): string[] =>
    output === undefined ? [] : [`${who}${formatPacket(Buffer.from(output.hex, 'hex'))}`, `${who}${output.hex}`];
  return [...line('came   ', came), ...line('kernel ', kernel)];
}
