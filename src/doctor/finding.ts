/** What an examination says: findings with their evidence and their cure, or why there are none. */

/** Something that was seen, and the command whose output shows it. */
export interface Evidence {
  /** One sentence with numbers, addresses, MACs. */
  readonly says: string;
  /** What to type to see the same: `ip -4 address`. */
  readonly shownBy: string;
}

/** Words of a command, as a shell would split them. */
export type CommandWords = readonly string[];

/** One way to mend it. Of several cures of a finding any one is enough. */
export interface Cure {
  /** `here`: this host. Otherwise the address of the host that the commands are for, or words that name it. */
  readonly on: 'here' | (string & {});
  /** One sentence: what the commands do. */
  readonly does: string;
  readonly commands: readonly CommandWords[];
  /** What takes it back, in the order to type it. Only a cure on this host that has it is carried out by `--fix`. */
  readonly undo: readonly CommandWords[] | null;
}

export interface Finding {
  /** The service it is about, as `formatServiceKey` has it; `null`: the host. */
  readonly service: string | null;
  /** Addresses of the real servers it is about; empty: none in particular. */
  readonly servers: readonly string[];
  /** What is wrong, in one sentence. */
  readonly what: string;
  /** At least one. */
  readonly evidence: readonly Evidence[];
  /** Why it matters. */
  readonly why: string;
  readonly cures: readonly Cure[];
}

/** What a rule says about the facts: exactly one of these. */
export type Examination =
  | { readonly found: readonly Finding[] }
  /** Nothing wrong; the sentence says what was looked at. */
  | { readonly fine: string }
  /** Nothing here that it could be about. */
  | { readonly notApplicable: string }
  /** It could be about something here, but what would prove it either way is not there. */
  | { readonly cannotTell: string };

/** A finding as it is reported. */
export interface Reported extends Finding {
  readonly rule: string;
  /** What other rules found that this one is the reason of. */
  readonly alsoSeen: readonly {
    readonly rule: string;
    readonly what: string;
    readonly evidence: readonly Evidence[];
  }[];
}

/** One line a rule, whatever it said. */
export interface RuleResult {
  readonly rule: string;
  readonly summary: string;
  readonly outcome: 'found' | 'fine' | 'not-applicable' | 'cannot-tell';
  /** One sentence; empty when there are findings. */
  readonly says: string;
}
