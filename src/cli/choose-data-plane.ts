/** Which data plane `uipvsd` starts: the one that was named, or the first that works here. */
import type { Logger } from '../control/logger.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { DaemonCommandLine } from './daemon-options.ts';

export interface OpenedDataPlane {
  readonly dataPlane: DataPlane;
  /** Name of what carries the traffic: the I/O back end of the packet engine. */
  readonly io: string;
  /** Better ones that do not work here, each with its reason. */
  readonly ioPassedOver?: readonly string[];
  /** What its system calls go through, or `null` when that does not matter. */
  readonly ffi?: string | null;
  /** `on`, or why no fast path carries packets of established connections. Absent: it knows no such thing. */
  readonly fastPath?: string;
  /** Names of the links it serves. */
  readonly links: readonly string[];
  /** Settings of net.ipv4.vs that it starts with, and where each comes from. */
  readonly sysctl: readonly string[];
}

export interface DataPlaneKind {
  readonly name: string;
  readonly summary: string;
  /** Several may run in one network namespace, each with a socket of its own. */
  readonly sharesNamespace?: true;
  /** Whether it knows what these options ask for; absent: it knows all. */
  fits?(options: DaemonCommandLine): boolean;
  /**
   * One that `auto` takes only where it has a reason to, in one sentence; `null`: none. Absent: it is taken wherever it
   * works.
   */
  volunteers?(options: DaemonCommandLine): Promise<string | null>;
  /**
   * `null`: it works here, with these options. Otherwise one sentence: what is missing, with the way out. `words`
   * are those after `uipvsd`.
   */
  unavailable(options: DaemonCommandLine, words: readonly string[]): Promise<string | null>;
  /** Called when the lock of the namespace is ours. Rejects with an IpvsError; then nothing is left on the host. */
  open(options: DaemonCommandLine, logger: Logger): Promise<OpenedDataPlane>;
}

export interface ChosenDataPlane {
  readonly kind: DataPlaneKind;
  /** Why this one, in one sentence. */
  readonly why: string;
  /** It is not the best one, and somebody should know. */
  readonly secondBest: boolean;
}

/** `kinds`: best first. Throws EOPNOTSUPP with the reason when the named one, or all of them, do not work here. */
export async function chooseDataPlane(
  kinds: readonly DataPlaneKind[],
  options: DaemonCommandLine,
  words: readonly string[],
): Promise<ChosenDataPlane> {
  const fitting = kinds.filter((kind) => kind.fits?.(options) ?? true);
  if (options.dataPlane !== 'auto' || fitting.length === 1) {
    const named = kinds.find(({ name }) => name === options.dataPlane);
    const kind = options.dataPlane === 'auto' ? fitting[0] : named;
    if (kind === undefined) throw new IpvsError('EOPNOTSUPP', `there is no data plane ${options.dataPlane} here`);
    const reason = await kind.unavailable(options, words);
    if (reason !== null) throw new IpvsError('EOPNOTSUPP', reason);
    const why = kind === named ? 'asked for by --data-plane' : 'the only one with these options';
    return { kind, why, secondBest: false };
  }
  const reasons: string[] = [];
  const plain = new Set<string>();
  for (const kind of fitting) {
    const offer = kind.volunteers === undefined ? undefined : await kind.volunteers(options);
    if (offer === null) continue;
    const reason = await kind.unavailable(options, words);
    if (reason !== null) {
      reasons.push(`${kind.name}: ${reason}`);
      plain.add(reason);
      continue;
    }
    if (offer !== undefined) return { kind, why: offer, secondBest: false };
    const why =
      reasons.length === 0 ? 'the best that works here' : `better ones do not work here: ${reasons.join('; ')}`;
    return { kind, why, secondBest: reasons.length > 0 };
  }
  // What stops all of them needs no names.
  const [only, ...others] = plain;
  const message = only !== undefined && others.length === 0 ? only : `no data plane works here: ${reasons.join('; ')}`;
  throw new IpvsError('EOPNOTSUPP', message);
}
