/** Packets that left, compared with those the kernel sent: interface, next hop, order, bytes. */
import type { RecordedOutput } from './recording.ts';

/** Who made a recorded output, by the rule that comes with the recordings. */
export type Maker = 'ipvs' | 'route' | 'stack';

/** What the engine did with one packet. */
export interface Observed {
  readonly sent: readonly RecordedOutput[];
  /** Given on to the host's stack with not a bit changed. */
  readonly passed: boolean;
  /** Given to the host's stack in a rewritten form. */
  readonly delivered: boolean;
}

export interface Difference {
  readonly field: string;
  readonly expected: string;
  readonly actual: string;
}

/** Compares what IPVS itself sent; `same` decides about the bytes of one packet and names the first difference. */
export function compareOutputs(
  expected: readonly RecordedOutput[],
  makers: readonly Maker[],
  observed: Observed,
  same: (expected: RecordedOutput, actual: RecordedOutput) => Difference | null,
): Difference | null {
  const own = expected.filter((_, index) => makers[index] === 'ipvs');
  const byHost = expected.filter((_, index) => makers[index] !== 'ipvs');
  for (let i = 0; i < Math.max(own.length, observed.sent.length); i++) {
    const wanted = own[i];
    const actual = observed.sent[i];
    if (wanted === undefined) return { field: `packet ${i + 1}`, expected: 'none', actual: describe(actual) };
    if (actual === undefined) return { field: `packet ${i + 1}`, expected: describe(wanted), actual: 'none' };
    if (wanted.dev !== actual.dev) return { field: 'interface', expected: wanted.dev, actual: actual.dev };
    if (wanted.to !== actual.to) return { field: 'next hop', expected: wanted.to, actual: actual.to };
    const difference = same(wanted, actual);
    if (difference !== null) return difference;
  }
  if (byHost.length > 0 && !observed.passed && !observed.delivered) {
    return { field: 'verdict', expected: `given on to the host, which sent ${describe(byHost[0])}`, actual: 'kept' };
  }
  return null;
}

function describe(output: RecordedOutput | undefined): string {
  return output === undefined ? 'none' : `${output.dev} to ${output.to}: ${output.sum ?? ''} ${output.hex}`;
}
