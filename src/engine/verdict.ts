/** What becomes of a frame, and why. Reasons are counted; their names are what operators read. */

/** Not decided yet: the next step of the pipeline goes on. */
export const CONTINUE = -1;
/** Not ours: the host's stack may have it. */
export const PASS = 0;
export const DROP = 1;
/** Rewritten where it lies; leaves by its egress link. */
export const TRANSMIT = 2;
/** Taken: answered, learned from, or kept until its next hop is known. */
export const CONSUME = 3;
/** Rewritten where it lies, for a server on this host. */
export const DELIVER = 4;

export type Verdict = typeof CONTINUE | typeof PASS | typeof DROP | typeof TRANSMIT | typeof CONSUME | typeof DELIVER;

export const VERDICT_NAMES = ['pass', 'drop', 'transmit', 'consume', 'deliver'] as const;

/** Every reason in the order of its number. `why` is shown by status pages and the documentation. */
const REASONS = [
  ['none', 'no particular reason'],
  ['not-ip', 'neither IPv4 nor ARP'],
  ['other-host', 'sent to another machine at link level'],
  ['own-frame', 'our own frame came back'],
  ['fragment', 'a fragment of a packet that is not whole yet'],
  ['fragment-overlap', 'fragments that overlap or lie about their length'],
  ['fragments-full', 'too many unfinished packets'],
  ['fragment-timeout', 'the rest of a packet never came'],
  ['protocol', 'a protocol that is not balanced'],
  ['icmp', 'ICMP that is no error about a connection'],
  ['no-service', 'no virtual service at this address'],
  ['no-connection', 'a TCP segment that opens nothing and belongs to no connection'],
  ['client-port-20', 'client port 20 is never scheduled'],
  ['truncated', 'headers cut short or lying about their length'],
  ['ip-checksum', 'bad IPv4 header checksum'],
  ['icmp-checksum', 'bad ICMP checksum'],
  ['no-destination', 'the scheduler found no destination'],
  ['destination-gone', 'its destination was deleted'],
  ['no-route', 'no route to the next hop'],
  ['loopback-source', 'source 127.0.0.0/8 must not leave the host'],
  ['ttl', 'time to live used up'],
  ['mtu', 'larger than the link allows and must not be cut'],
  ['no-headroom', 'no room in front of the frame for a tunnel header, or a super-frame'],
  ['local-refused', 'a server on this host cannot be reached without the host link'],
  ['table-full', 'the connection table is full'],
  ['ports-used-up', 'no source port left for full NAT'],
  ['no-source-address', 'full NAT: this host has no address to use towards the server'],
  ['neighbor-unknown', 'the next hop did not answer ARP'],
  ['parking-full', 'too many frames wait for next hops'],
  ['outbox-full', 'too many frames of our own in one turn'],
  ['method', 'no way to send it: its destination is not known here'],
  ['no-engine-data', 'not what the persistence engine of its service asks for'],
  ['defence', 'dropped by the defence drop_packet'],
  ['stray-reply', 'a NAT server spoke without a connection and was told so'],
  ['tracked-connection', 'its connection is tracked and has to end first'],
  ['backup-only', 'a backup does not forward (backup_only)'],
  ['helper', 'a control connection whose packet is damaged or could not be changed'],
  ['sync', 'a message between directors, taken in'],
  ['source-routed', 'IP options that this host refuses'],
  ['other-shard', 'it belongs to another shard, which has it too'],
] as const;

export type Reason = (typeof REASONS)[number][0];

export const REASON_NAMES: readonly Reason[] = REASONS.map((row) => row[0]);
export const REASON_EXPLANATIONS: Readonly<Record<string, string>> = Object.fromEntries(REASONS);

/** Numbers of the reasons, by name: `REASON['no-route']`. */
export const REASON = Object.fromEntries(REASONS.map((row, index) => [row[0], index])) as Readonly<
  Record<Reason, number>
>;
