/**
 * The rule of `frame.ts` and `rule.ts` as a program for the kernel: each shard's sockets hear only what is theirs. Pure;
 * the tests run it in an interpreter of their own, against the same rule in TypeScript.
 */
import { BpfAssembler, BpfCode, type BpfInstruction, type BpfLabel } from '../../wire/bpf.ts';
import type { AddressSet } from './address-set.ts';
import type { SteeringFacts } from './facts.ts';
import {
  ETHERNET_BYTES,
  EXTENSION_HEADERS,
  EXTENSIONS_MAX,
  FRAGMENT_HEADER,
  ICMP,
  ICMP_BYTES,
  ICMP_ERRORS,
  ICMPV6,
  ICMPV6_ERROR_MAX,
  IPV4_BYTES,
  IPV6_BYTES,
  NEIGHBOR_MAX,
  NEIGHBOR_MIN,
  PORT_PROTOCOLS,
  TUNNEL_PROTOCOLS,
  TYPE_IPV4,
  TYPE_IPV6,
  UDP,
} from './frame.ts';
import { FRAGMENT_PORT, HASH_FIRST, HASH_FOLD, HASH_SECOND, NO_PORT } from './rule.ts';

const WHOLE_FRAME = 0x40000;
/** Memory words: the four of the source, the four of the destination, its port. IPv4 uses the last of four. */
const SOURCE = 0;
const DESTINATION = 4;
const PORT = 8;
const SCRATCH = 9;
/** Sets of up to so many are asked one by one, larger ones are halved first. */
const ONE_BY_ONE_MAX = 12;

/**
 * Returns instructions that accept exactly the frames that are this shard's or everybody's, or `null` when there are
 * more addresses than a program can hold.
 */
export function steeringProgram(facts: SteeringFacts, shard: number): BpfInstruction[] | null {
  return new Program(facts, shard).assemble();
}

class Program {
  readonly #facts: SteeringFacts;
  readonly #shard: number;
  readonly #asm = new BpfAssembler();
  readonly #accept: BpfLabel = this.#asm.label();
  readonly #reject: BpfLabel = this.#asm.label();
  /** Accepted by the first shard only. */
  readonly #first: BpfLabel;

  constructor(facts: SteeringFacts, shard: number) {
    this.#facts = facts;
    this.#shard = shard;
    this.#first = shard === 0 ? this.#accept : this.#reject;
  }

  assemble(): BpfInstruction[] | null {
    const asm = this.#asm;
    const ipv4 = asm.label();
    const ipv6 = asm.label();
    this.#needs(ETHERNET_BYTES);
    asm.add(BpfCode.LOAD_BYTE, 0);
    asm.jumpIf(BpfCode.IF_BITS, 1, this.#accept);
    asm.add(BpfCode.LOAD_HALF, 12);
    asm.jumpIf(BpfCode.IF_EQUAL, TYPE_IPV4, ipv4);
    asm.jumpIf(BpfCode.IF_EQUAL, TYPE_IPV6, ipv6);
    asm.jump(this.#accept);
    asm.place(ipv4);
    this.#ipv4();
    asm.place(ipv6);
    this.#ipv6();
    asm.place(this.#accept);
    asm.add(BpfCode.RETURN, WHOLE_FRAME);
    asm.place(this.#reject);
    asm.add(BpfCode.RETURN, 0);
    return asm.assemble();
  }

  #ipv4(): void {
    const asm = this.#asm;
    const decide = asm.label();
    const hasPorts = asm.label();
    const icmp = asm.label();
    this.#needs(ETHERNET_BYTES + IPV4_BYTES);
    this.#store(BpfCode.LOAD_WORD, 26, SOURCE + 3);
    this.#store(BpfCode.LOAD_WORD, 30, DESTINATION + 3);
    asm.add(BpfCode.LOAD_HALF, 20);
    this.#fragmentUnless(0x3fff, decide);
    asm.add(BpfCode.LOAD_X_HEADER, ETHERNET_BYTES);
    asm.add(BpfCode.LOAD_BYTE, 23);
    for (const protocol of PORT_PROTOCOLS) asm.jumpIf(BpfCode.IF_EQUAL, protocol, hasPorts);
    asm.jumpIf(BpfCode.IF_EQUAL, ICMP, icmp);
    asm.jump(decide);

    asm.place(hasPorts);
    this.#needsBehindX(ETHERNET_BYTES + 4, this.#first);
    this.#store(BpfCode.LOAD_HALF_X, ETHERNET_BYTES + 2, PORT);
    asm.jump(decide);

    asm.place(icmp);
    const inner = asm.label();
    const innerAt = ETHERNET_BYTES + ICMP_BYTES;
    this.#needsBehindX(innerAt + IPV4_BYTES, decide);
    asm.add(BpfCode.LOAD_BYTE_X, ETHERNET_BYTES);
    for (const type of ICMP_ERRORS) asm.jumpIf(BpfCode.IF_EQUAL, type, inner);
    asm.jump(decide);
    asm.place(inner);
    this.#store(BpfCode.LOAD_WORD_X, innerAt + 12, DESTINATION + 3);
    this.#store(BpfCode.LOAD_WORD_X, innerAt + 16, SOURCE + 3);
    asm.add(BpfCode.LOAD_HALF_X, innerAt + 6);
    asm.jumpIf(BpfCode.IF_BITS, 0x1fff, decide);
    const lookForPorts = this.#innerProtocol(innerAt + 9, decide);
    // X moves on by the length of the inner header.
    const move = () => {
      asm.add(BpfCode.LOAD_BYTE_X, innerAt);
      asm.add(BpfCode.AND, 15);
      asm.add(BpfCode.SHIFT_LEFT, 2);
      asm.add(BpfCode.ADD_X);
      asm.add(BpfCode.A_TO_X);
    };
    this.#innerPorts(lookForPorts, innerAt, move, decide);

    asm.place(decide);
    this.#decide(false);
  }

  #ipv6(): void {
    const asm = this.#asm;
    const decide = asm.label();
    const hasPorts = asm.label();
    const icmp = asm.label();
    const transportAt = ETHERNET_BYTES + IPV6_BYTES;
    this.#needs(transportAt);
    for (let word = 0; word < 4; word++) {
      this.#store(BpfCode.LOAD_WORD, 22 + 4 * word, SOURCE + word);
      this.#store(BpfCode.LOAD_WORD, 38 + 4 * word, DESTINATION + word);
    }
    this.#store(BpfCode.LOAD_VALUE, NO_PORT, PORT);
    // X counts the bytes of extension headers; their number is bounded because programs have no loops.
    asm.add(BpfCode.LOAD_VALUE, 0);
    asm.add(BpfCode.A_TO_X);
    asm.add(BpfCode.LOAD_BYTE, 20);
    const known = asm.label();
    for (let extension = 0; extension < EXTENSIONS_MAX; extension++) {
      const skip = asm.label();
      for (const header of EXTENSION_HEADERS) asm.jumpIf(BpfCode.IF_EQUAL, header, skip);
      asm.jump(known);
      asm.place(skip);
      this.#needsBehindX(transportAt + 8, this.#first);
      this.#store(BpfCode.LOAD_BYTE_X, transportAt, SCRATCH);
      asm.add(BpfCode.LOAD_BYTE_X, transportAt + 1);
      asm.add(BpfCode.ADD, 1);
      asm.add(BpfCode.SHIFT_LEFT, 3);
      asm.add(BpfCode.ADD_X);
      asm.add(BpfCode.A_TO_X);
      asm.add(BpfCode.LOAD_MEMORY, SCRATCH);
    }
    asm.place(known);
    for (const protocol of PORT_PROTOCOLS) asm.jumpIf(BpfCode.IF_EQUAL, protocol, hasPorts);
    asm.jumpIf(BpfCode.IF_EQUAL, ICMPV6, icmp);
    asm.jumpUnless(BpfCode.IF_EQUAL, FRAGMENT_HEADER, decide);
    this.#store(BpfCode.LOAD_VALUE, FRAGMENT_PORT, PORT);
    asm.jump(decide);

    asm.place(hasPorts);
    this.#needsBehindX(transportAt + 4, this.#first);
    this.#store(BpfCode.LOAD_HALF_X, transportAt + 2, PORT);
    asm.jump(decide);

    asm.place(icmp);
    const innerAt = transportAt + ICMP_BYTES;
    const mayBeNeighbor = asm.label();
    this.#needsBehindX(innerAt, this.#first);
    asm.add(BpfCode.LOAD_BYTE_X, transportAt);
    asm.jumpIf(BpfCode.IF_GREATER, ICMPV6_ERROR_MAX, mayBeNeighbor);
    this.#needsBehindX(innerAt + IPV6_BYTES, decide);
    for (let word = 0; word < 4; word++) {
      this.#store(BpfCode.LOAD_WORD_X, innerAt + 8 + 4 * word, DESTINATION + word);
      this.#store(BpfCode.LOAD_WORD_X, innerAt + 24 + 4 * word, SOURCE + word);
    }
    const lookForPorts = this.#innerProtocol(innerAt + 6, decide);
    this.#innerPorts(lookForPorts, innerAt + IPV6_BYTES, null, decide);
    asm.place(mayBeNeighbor);
    asm.jumpIf(BpfCode.IF_GREATER, NEIGHBOR_MAX, decide);
    asm.jumpIf(BpfCode.IF_AT_LEAST, NEIGHBOR_MIN, this.#accept);

    asm.place(decide);
    this.#decide(true);
  }

  /** Of the packet an error is about; returns where the program goes on when it has ports. */
  #innerProtocol(protocolAt: number, decide: BpfLabel): BpfLabel {
    const asm = this.#asm;
    const hasPorts = asm.label();
    asm.add(BpfCode.LOAD_BYTE_X, protocolAt);
    for (const protocol of TUNNEL_PROTOCOLS) asm.jumpIf(BpfCode.IF_EQUAL, protocol, this.#accept);
    for (const protocol of PORT_PROTOCOLS) asm.jumpIf(BpfCode.IF_EQUAL, protocol, hasPorts);
    asm.jump(decide);
    return hasPorts;
  }

  /** Its source port is what an answer would go to. `at`: of the ports, from X on; A holds the protocol. */
  #innerPorts(begin: BpfLabel, at: number, move: (() => void) | null, decide: BpfLabel): void {
    const asm = this.#asm;
    const { tunnelPorts } = this.#facts;
    asm.place(begin);
    asm.add(BpfCode.STORE_MEMORY, SCRATCH);
    move?.();
    this.#needsBehindX(at + 4, decide);
    this.#store(BpfCode.LOAD_HALF_X, at, PORT);
    if (tunnelPorts.size === 0) {
      asm.jump(decide);
      return;
    }
    asm.add(BpfCode.LOAD_MEMORY, SCRATCH);
    asm.jumpUnless(BpfCode.IF_EQUAL, UDP, decide);
    asm.add(BpfCode.LOAD_HALF_X, at + 2);
    this.#ifAmong(sorted(tunnelPorts), this.#accept);
    asm.jump(decide);
  }

  /** Who the client is, from the addresses and the port in memory. Nothing goes on behind it. */
  #decide(ipv6: boolean): void {
    const asm = this.#asm;
    const { virtual, servers, local, localRanges, servicePorts } = this.#facts;
    const toService = asm.label();
    const outbound = asm.label();
    const bySource = asm.label();
    const byPort = asm.label();
    // Asked once, remembered for both branches: it is the largest of the sets.
    const server = asm.label();
    const asked = asm.label();
    this.#ifIn(servers, ipv6, SOURCE, server);
    this.#store(BpfCode.LOAD_VALUE, 0, SCRATCH);
    asm.jump(asked);
    asm.place(server);
    this.#store(BpfCode.LOAD_VALUE, 1, SCRATCH);
    asm.place(asked);
    const ifServer = (target: BpfLabel) => {
      asm.add(BpfCode.LOAD_MEMORY, SCRATCH);
      asm.jumpIf(BpfCode.IF_EQUAL, 1, target);
    };
    this.#ifIn(virtual, ipv6, DESTINATION, toService);
    ifServer(outbound);
    this.#ifIn(virtual, ipv6, SOURCE, outbound);
    asm.jump(bySource);

    const ifLocal = (target: BpfLabel) => {
      this.#ifIn(local, ipv6, DESTINATION, target);
      if (ipv6) return;
      for (const [first, last] of localRanges) {
        const outside = asm.label();
        asm.add(BpfCode.LOAD_MEMORY, DESTINATION + 3);
        asm.jumpIf(BpfCode.IF_GREATER, last, outside);
        asm.jumpIf(BpfCode.IF_AT_LEAST, first, target);
        asm.place(outside);
      }
    };
    asm.place(toService);
    const fromServer = asm.label();
    ifServer(fromServer);
    asm.jump(bySource);
    asm.place(fromServer);
    const toOurs = asm.label();
    ifLocal(toOurs);
    asm.jump(bySource);
    asm.place(toOurs);
    asm.add(BpfCode.LOAD_MEMORY, PORT);
    this.#ifAmong(sorted(servicePorts), bySource);
    asm.jump(byPort);

    asm.place(outbound);
    ifLocal(byPort);
    this.#hash(ipv6, DESTINATION);
    asm.place(bySource);
    this.#hash(ipv6, SOURCE);

    asm.place(byPort);
    asm.add(BpfCode.LOAD_MEMORY, PORT);
    asm.jumpIf(BpfCode.IF_EQUAL, FRAGMENT_PORT, this.#accept);
    asm.jumpIf(BpfCode.IF_EQUAL, NO_PORT, this.#first);
    this.#ifMine();
  }

  #hash(ipv6: boolean, at: number): void {
    const asm = this.#asm;
    const { mask4, mask6 } = this.#facts;
    if (ipv6) {
      for (let word = 0; word < 4; word++) {
        if (word > 0) {
          asm.add(BpfCode.MULTIPLY, HASH_FOLD);
          asm.add(BpfCode.A_TO_X);
        }
        asm.add(BpfCode.LOAD_MEMORY, at + word);
        asm.add(BpfCode.AND, mask6[word]);
        if (word > 0) asm.add(BpfCode.XOR_X);
      }
    } else {
      asm.add(BpfCode.LOAD_MEMORY, at + 3);
      asm.add(BpfCode.AND, mask4[0]);
    }
    this.#mix(16);
    asm.add(BpfCode.MULTIPLY, HASH_FIRST);
    this.#mix(15);
    asm.add(BpfCode.MULTIPLY, HASH_SECOND);
    this.#mix(16);
    this.#ifMine();
  }

  #mix(bits: number): void {
    const asm = this.#asm;
    asm.add(BpfCode.A_TO_X);
    asm.add(BpfCode.SHIFT_RIGHT, bits);
    asm.add(BpfCode.XOR_X);
  }

  #ifMine(): void {
    this.#asm.add(BpfCode.MODULO, this.#facts.shards);
    this.#asm.jumpIf(BpfCode.IF_EQUAL, this.#shard, this.#accept);
    this.#asm.jump(this.#reject);
  }

  #store(load: number, operand: number, memory: number): void {
    this.#asm.add(load, operand);
    this.#asm.add(BpfCode.STORE_MEMORY, memory);
  }

  /** A holds the field: where no bit of the mask is set the packet is whole. Sets the port to "none" either way. */
  #fragmentUnless(mask: number, decide: BpfLabel): void {
    const asm = this.#asm;
    const whole = asm.label();
    asm.jumpUnless(BpfCode.IF_BITS, mask, whole);
    this.#store(BpfCode.LOAD_VALUE, FRAGMENT_PORT, PORT);
    asm.jump(decide);
    asm.place(whole);
    this.#store(BpfCode.LOAD_VALUE, NO_PORT, PORT);
  }

  /** A shorter frame is the first shard's. */
  #needs(bytes: number): void {
    this.#asm.add(BpfCode.LOAD_LENGTH);
    this.#asm.jumpUnless(BpfCode.IF_AT_LEAST, bytes, this.#first);
  }

  /** A frame with less than X and so many bytes goes on elsewhere. */
  #needsBehindX(bytes: number, otherwise: BpfLabel): void {
    this.#asm.add(BpfCode.LOAD_LENGTH);
    this.#asm.jumpUnless(BpfCode.IF_AT_LEAST, bytes, otherwise);
    this.#asm.add(BpfCode.ADD, -bytes);
    this.#asm.jumpUnless(BpfCode.IF_AT_LEAST_X, 0, otherwise);
  }

  #ifIn(set: AddressSet, ipv6: boolean, at: number, target: BpfLabel): void {
    const asm = this.#asm;
    if (!ipv6) {
      const words = set.sortedIpv4();
      if (words.length > 0) asm.add(BpfCode.LOAD_MEMORY, at + 3);
      this.#ifAmong(words, target);
      return;
    }
    const groups = set.sortedIpv6();
    if (groups.length === 0) return;
    const otherwise = asm.label();
    const ends = new Map<number, BpfLabel>(groups.map(([end]) => [end, asm.label()]));
    asm.add(BpfCode.LOAD_MEMORY, at + 3);
    this.#search(
      groups.map(([end]) => end),
      (group) => {
        for (const end of group) asm.jumpIf(BpfCode.IF_EQUAL, end, ends.get(end) as BpfLabel);
        asm.jump(otherwise);
      },
    );
    for (const [end, words] of groups) {
      asm.place(ends.get(end) as BpfLabel);
      for (let n = 0; n < words.length; n += 4) {
        const next = asm.label();
        for (let word = 0; word < 3; word++) {
          asm.add(BpfCode.LOAD_MEMORY, at + word);
          asm.jumpUnless(BpfCode.IF_EQUAL, words[n + word] as number, next);
        }
        asm.jump(target);
        asm.place(next);
      }
      asm.jump(otherwise);
    }
    asm.place(otherwise);
  }

  /** A is compared with all of them, which are in order. */
  #ifAmong(values: readonly number[], target: BpfLabel): void {
    if (values.length === 0) return;
    const asm = this.#asm;
    const otherwise = asm.label();
    // Far conditional jumps take two instructions, so each group of values has a jump of its own that goes far.
    this.#search(values, (group) => {
      const found = asm.label();
      for (const value of group) asm.jumpIf(BpfCode.IF_EQUAL, value, found);
      asm.jump(otherwise);
      asm.place(found);
      asm.jump(target);
    });
    asm.place(otherwise);
  }

  /** Halves the values, which are in order, until `leaf` writes what asks for the few that are left. */
  #search(values: readonly number[], leaf: (group: readonly number[]) => void): void {
    const asm = this.#asm;
    if (values.length <= ONE_BY_ONE_MAX) {
      leaf(values);
      return;
    }
    const middle = values.length >> 1;
    const upper = asm.label();
    asm.jumpIf(BpfCode.IF_AT_LEAST, values[middle] as number, upper);
    this.#search(values.slice(0, middle), leaf);
    asm.place(upper);
    this.#search(values.slice(middle), leaf);
  }
}

function sorted(ports: ReadonlySet<number>): number[] {
  return [...ports].sort((a, b) => a - b);
}
