/** What a lab that stays up is, what a fault in it is, and how either is graded. */
import type { LabTopology } from '../topology.ts';
import type { Visit } from './visit.ts';

/** A line that is typed on a host of the lab, as a shell reads it; `ipvsadm` and the like are ours. */
export interface Step {
  /** Name of the host. */
  readonly on: string;
  readonly line: string;
  /** It goes on running; what it says is in `log/NAME.log` of the lab's folder under this name. */
  readonly background?: string;
}

export interface Evidence {
  readonly passed: boolean;
  /** What was seen, in one line. */
  readonly evidence: string;
}

/** One question that real traffic, or the state of a host, answers. */
export interface Check {
  /** What ought to hold, as a sentence without full stop. */
  readonly item: string;
  readonly test: (visit: Visit) => Promise<Evidence>;
}

export interface Graded extends Evidence {
  readonly item: string;
}

/** Who fills the table of the director. */
export type TablePlan =
  /** uldirectord, from this ldirectord.cf. */
  | { readonly by: 'uldirectord'; readonly configuration: string }
  /** Words for `ipvsadm`, typed one after the other. */
  | { readonly by: 'ipvsadm'; readonly commands: readonly (readonly string[])[] };

/** A network with programs in it that stays up until it is taken down. */
export interface StandingKind {
  readonly name: string;
  /** One line for `uipvs lab list`. */
  readonly summary: string;
  readonly topology: LabTopology;
  /** The program at every server's place: a web server, one that answers datagrams, or none. */
  readonly servers: 'web' | 'udp' | 'none';
  /** Words for every web server: `--keep-alive`. */
  readonly serverWords?: readonly string[];
  /** Words for uipvsd; `null`: the steps start what is needed. */
  readonly daemon: readonly string[] | null;
  readonly table: TablePlan | null;
  /** Typed before uipvsd starts, and after the table is filled. */
  readonly before?: readonly Step[];
  readonly after?: readonly Step[];
  /** Programs of the system beyond `ip`, `nft` and `sysctl`; `host.ts` knows their packages. */
  readonly programs?: readonly string[];
  readonly checks: readonly Check[];
  /** What a learner may try, the easiest first; `uipvs lab hint` tells one after the other. */
  readonly hints: readonly string[];
}

/** A working lab with one thing wrong in it. */
export interface Fault {
  /** `return-path`; the lab is called `broken-return-path`. */
  readonly name: string;
  /** The lab that it breaks. */
  readonly lab: StandingKind;
  /** What a learner is told: what users see, not why. */
  readonly symptom: string;
  /** What breaks it, typed once the lab works. */
  readonly breaks: readonly Step[];
  /** Not passed while it is broken, passed when it is mended. */
  readonly checks: readonly Check[];
  /** Each clearer than the one before. */
  readonly hints: readonly string[];
  /** One way to mend it, for tests and for those who give up. */
  readonly cure: readonly Step[];
}

/** A lab as it is found by its name, broken or not. */
export interface LabChoice {
  readonly name: string;
  readonly summary: string;
  readonly kind: StandingKind;
  readonly fault: Fault | null;
}
