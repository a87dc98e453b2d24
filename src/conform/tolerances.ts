/**
 * Every way in which a recording is compared loosely. Each names what the recordings' own description calls not
 * deterministic; nothing else is forgiven.
 */
export interface Tolerance {
  readonly name: string;
  readonly why: string;
}

export const TOLERANCES = {
  'connections-as-a-set': {
    name: 'connections-as-a-set',
    why: 'ipvsadm -Lnc and ip_vs_conn list a hash table with a random seed: rows compare as a set',
  },
  'one-second': {
    name: 'one-second',
    why: 'remaining times are whole seconds cut off: one second either way',
  },
  'overdue-entries': {
    name: 'overdue-entries',
    why: 'the kernel expires by a timer wheel: an entry with 0 seconds left may be listed or not',
  },
  'services-as-a-set': {
    name: 'services-as-a-set',
    why: '/proc/net/ip_vs and --nosort list services by hash bucket, permuted per namespace: they compare as a set',
  },
  'own-ip-id': {
    name: 'own-ip-id',
    why: 'the IP id of packets that the director makes itself is random',
  },
} as const satisfies Record<string, Tolerance>;
