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
  ['ipv6', 'IPv6: not supported yet'],
  ['fragment', 'IP fragment: not supported yet'],
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
  ['needs-fragmenting', 'larger than the link allows: cutting is not supported yet'],
  ['local-refused', 'a server on this host cannot be reached without the host link'],
  ['table-full', 'the connection table is full'],
  ['ports-used-up', 'no source port left for full NAT'],
  ['no-source-address', 'full NAT: this host has no address to use towards the server'],
  ['neighbor-unknown', 'the next hop did not answer ARP'],
  ['parking-full', 'too many frames wait for next hops'],
  ['outbox-full', 'too many frames of our own in one turn'],
  ['method', 'a forwarding method that is not supported yet'],
] as const;

export type Reason = (typeof REASONS)[number][0];

export const REASON_NAMES: readonly Reason[] = REASONS.map((row) => row[0]);
export const REASON_EXPLANATIONS: Readonly<Record<string, string>> = Object.fromEntries(REASONS);

/** Numbers of the reasons, by name: `REASON['no-route']`. */
export const REASON = Object.fromEntries(REASONS.map((row, index) => [row[0], index])) as Readonly<
  Record<Reason, number>
>;
