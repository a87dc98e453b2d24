/** Classic programs and what becomes of them in eBPF, each in an interpreter of its own, give the same answers. */
import { describe, expect, test } from 'vitest';
import { steeringProgram } from '../../src/data-plane/steering/program.ts';
import type { Command } from '../../src/model/commands.ts';
import { NOTE_BYTES, socketFilter } from '../../src/packet-io/fast-path/flow-programs.ts';
import { BpfCode, type BpfInstruction } from '../../src/wire/bpf.ts';
import { appendBpf } from '../../src/wire/bpf-to-ebpf.ts';
import { EbpfAssembler } from '../../src/wire/ebpf.ts';
import { destination, key } from '../data-plane/support/specs.ts';
import { client, facts, frame, randomFrames, VIP } from '../data-plane/support/steering-frames.ts';
import { type FrameMetadata, type Maps, runSocketFilter } from '../packet-io/support/bpf-interpreter.ts';
import { runBpf } from '../support/bpf-interpreter.ts';
import { Random } from '../support/random.ts';
import {
  ALU_OPCODES,
  ALU_X_OPCODES,
  EDGES,
  FRAME_OPCODES,
  FRAME_X_OPCODES,
  JUMP_OPCODES,
  JUMP_X_OPCODES,
  randomBpf,
  randomBytes,
} from '../support/random-bpf.ts';

const NO_FLOWS: Maps = {
  lookUp: () => null,
  keyBytes: (map) => (map === 1 ? 16 : map === 2 ? 40 : 4),
  redirect: () => 0,
};
const MAPS = { flows4: 1, flows6: 2, records: 3, countAt: 64, notes: 4 };

function translated(program: readonly BpfInstruction[]): Uint8Array {
  const code = new EbpfAssembler().register('move', 6, 1);
  appendBpf(code, program, { labels: 'program ', memoryAt: -64 });
  return code.finish();
}

function sameAnswer(program: readonly BpfInstruction[], bytes: Uint8Array, about: FrameMetadata = {}): number {
  const metadata = { 4: about.packetType ?? 0, 20: about.mark ?? 0, 48: about.vlanPresent ?? 0 };
  const classic = runBpf(program, bytes, metadata);
  const answer = runSocketFilter(translated(program), bytes, NO_FLOWS, about);
  if (answer !== classic) expect.fail(`${answer} and not ${classic}: ${JSON.stringify(program)} of ${bytes}`);
  return answer;
}

function words(...values: number[]): Uint8Array {
  return Uint8Array.from(
    values.flatMap((value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]),
  );
}

/** Pairs of A and another number, with the edges of both. */
const pairs = EDGES.flatMap((a) => [...EDGES, 0x12345678].map((b) => [a, b] as const));

describe('each instruction says the same', () => {
  test('arithmetic with a value, except what no kernel takes', () => {
    for (const code of ALU_OPCODES) {
      for (const [a, b] of pairs) {
        const program: BpfInstruction[] = [
          [BpfCode.LOAD_WORD, 0, 0, 0],
          [code, 0, 0, b],
          [BpfCode.RETURN_A, 0, 0, 0],
        ];
        const shift = code === 0x64 || code === 0x74;
        const division = code === 0x34 || code === 0x94;
        if ((shift && b > 31) || (division && b === 0)) expect(() => translated(program)).toThrow(/no BPF instruction/);
        else sameAnswer(program, words(a));
      }
    }
    const known = (code: number, value: number) =>
      sameAnswer(
        [
          [BpfCode.LOAD_WORD, 0, 0, 0],
          [code, 0, 0, value],
          [BpfCode.RETURN_A, 0, 0, 0],
        ],
        words(0x80000001),
      );
    expect(known(BpfCode.ADD, 0xffffffff)).toBe(0x80000000);
    expect(known(BpfCode.MULTIPLY, 3)).toBe(0x80000003);
    expect(known(BpfCode.MODULO, 0xffffffff)).toBe(0x80000001);
    expect(known(BpfCode.SHIFT_RIGHT, 31)).toBe(1);
  });

  test('arithmetic with X, and a division by 0 ends with 0', () => {
    for (const code of ALU_X_OPCODES) {
      for (const [a, x] of pairs) {
        const program: BpfInstruction[] = [
          [BpfCode.LOAD_WORD, 0, 0, 4],
          [BpfCode.A_TO_X, 0, 0, 0],
          [BpfCode.LOAD_WORD, 0, 0, 0],
          [code, 0, 0, 0],
          [BpfCode.RETURN_A, 0, 0, 0],
        ];
        const answer = sameAnswer(program, words(a, x));
        if ((code === 0x3c || code === 0x9c) && x === 0) expect(answer).toBe(0);
      }
    }
  });

  test('jumps, whether either or both ways are long', () => {
    const seen = new Set<number>();
    for (const [codes, withX] of [
      [JUMP_OPCODES, false],
      [JUMP_X_OPCODES, true],
    ] as const) {
      for (const code of codes) {
        for (const [a, b] of pairs) {
          for (const [yes, no] of [
            [0, 1],
            [1, 0],
            [1, 2],
            [2, 1],
            [1, 1],
            [0, 0],
          ] as const) {
            const load: BpfInstruction[] = [
              [BpfCode.LOAD_WORD, 0, 0, 4],
              [BpfCode.A_TO_X, 0, 0, 0],
              [BpfCode.LOAD_WORD, 0, 0, 0],
            ];
            const ends = [1, 2, 3].map((answer): BpfInstruction => [BpfCode.RETURN, 0, 0, answer]);
            seen.add(sameAnswer([...load, [code, yes, no, withX ? 0 : b], ...ends], words(a, b)));
          }
        }
      }
    }
    expect([...seen].sort()).toEqual([1, 2, 3]);
    expect(
      sameAnswer(
        [
          [BpfCode.JUMP, 0, 0, 1],
          [BpfCode.RETURN, 0, 0, 1],
          [BpfCode.RETURN, 0, 0, 2],
        ],
        words(),
      ),
    ).toBe(2);
  });

  test('loads of the frame up to its last byte, and beyond it the program ends with 0', () => {
    const bytes = Uint8Array.from({ length: 70 }, (_, i) => 255 - i);
    for (const code of [...FRAME_OPCODES, ...FRAME_X_OPCODES, BpfCode.LOAD_X_HEADER]) {
      for (const x of [0, 1, 60, 69, 0x7fffffff, 0x80000000, 0xffffffff]) {
        for (const at of [0, 1, 12, 65, 66, 67, 68, 69, 70, 71, 1000, 0x7fffffff]) {
          const program: BpfInstruction[] = [
            [BpfCode.LOAD_VALUE, 0, 0, x],
            [BpfCode.A_TO_X, 0, 0, 0],
            [BpfCode.LOAD_VALUE, 0, 0, 77],
            [code, 0, 0, at],
            // Both registers count, also those that were to be left alone.
            [BpfCode.MULTIPLY, 0, 0, 31],
            [BpfCode.ADD_X, 0, 0, 0],
            [BpfCode.RETURN_A, 0, 0, 0],
          ];
          sameAnswer(program, bytes);
        }
      }
    }
    expect(
      sameAnswer(
        [
          [BpfCode.LOAD_HALF, 0, 0, 68],
          [BpfCode.RETURN_A, 0, 0, 0],
        ],
        bytes,
      ),
    ).toBe(0xbbba);
    expect(
      sameAnswer(
        [
          [BpfCode.LOAD_HALF, 0, 0, 69],
          [BpfCode.RETURN, 0, 0, 9],
        ],
        bytes,
      ),
    ).toBe(0);
  });

  test('memory, the length, what is known of the frame besides, and registers that nobody has set', () => {
    for (let word = 0; word < 16; word++) {
      const program: BpfInstruction[] = [
        [BpfCode.LOAD_VALUE, 0, 0, 0xfedcba98],
        [BpfCode.STORE_MEMORY, 0, 0, word],
        [BpfCode.LOAD_LENGTH, 0, 0, 0],
        [0x61, 0, 0, word],
        [0x03, 0, 0, 15 - word],
        [BpfCode.ADD_X, 0, 0, 0],
        [BpfCode.LOAD_MEMORY, 0, 0, 15 - word],
        [BpfCode.RETURN_A, 0, 0, 0],
      ];
      expect(sameAnswer(program, words(1))).toBe(0xfedcba98);
    }
    for (const code of [BpfCode.LOAD_LENGTH, 0x81]) {
      const program: BpfInstruction[] = [
        [code, 0, 0, 0],
        ...(code === 0x81 ? [[BpfCode.X_TO_A, 0, 0, 0] as const] : []),
        [BpfCode.RETURN_A, 0, 0, 0],
      ];
      expect(sameAnswer(program, new Uint8Array(1514))).toBe(1514);
    }
    const about = { packetType: 3, mark: 0x89abcdef, vlanPresent: 1 };
    const ask = (at: number) =>
      sameAnswer(
        [
          [BpfCode.LOAD_WORD, 0, 0, 0xfffff000 + at],
          [BpfCode.RETURN_A, 0, 0, 0],
        ],
        words(),
        about,
      );
    expect([4, 20, 48].map(ask)).toEqual([3, 0x89abcdef, 1]);
    expect(
      sameAnswer(
        [
          [BpfCode.ADD_X, 0, 0, 0],
          [BpfCode.RETURN_A, 0, 0, 0],
        ],
        words(5),
      ),
    ).toBe(0);
  });
});

test('hundreds of random programs say the same of random frames', () => {
  const answers = new Set<number>();
  for (let seed = 1; seed <= 600; seed++) {
    const random = new Random(seed);
    const program = randomBpf(random, 64);
    for (let n = 0; n < 12; n++) answers.add(sameAnswer(program, randomBytes(random, n === 0 ? 20 : 64)));
  }
  expect(answers.size).toBeGreaterThan(800);
});

describe('what no kernel takes is a mistake of the caller', () => {
  test.each([
    ['no instruction', [], /without instructions/],
    ['no end', [[BpfCode.LOAD_LENGTH, 0, 0, 0]], /leads out/],
    [
      'a jump too far',
      [
        [BpfCode.IF_EQUAL, 0, 1, 0],
        [BpfCode.RETURN, 0, 0, 0],
      ],
      /leads out/,
    ],
    [
      'a seventeenth word',
      [
        [BpfCode.STORE_MEMORY, 0, 0, 16],
        [BpfCode.RETURN, 0, 0, 0],
      ],
      /no word 16/,
    ],
    [
      'an opcode that is none',
      [
        [0xf4, 0, 0, 0],
        [BpfCode.RETURN, 0, 0, 0],
      ],
      /opcode 0xf4/,
    ],
    [
      'metadata that is not known',
      [
        [BpfCode.LOAD_WORD, 0, 0, 0xfffff008],
        [BpfCode.RETURN, 0, 0, 0],
      ],
      /value 4294963208/,
    ],
  ] as [string, BpfInstruction[], RegExp][])('%s', (_what, program, says) => {
    expect(() => translated(program)).toThrow(says);
  });

  test('but instructions that nothing leads to are left out, for eBPF has none', () => {
    const program: BpfInstruction[] = [
      [BpfCode.RETURN, 0, 0, 7],
      [0xf4, 0, 0, 0],
      [BpfCode.RETURN, 0, 0, 0],
    ];
    expect(translated(program).length).toBe(translated(program.slice(0, 1)).length);
    expect(runSocketFilter(translated(program), words(), NO_FLOWS)).toBe(7);
  });
});

test('the steering program says of random frames what it says behind the question for flows', () => {
  const random = new Random(20261129);
  const next = randomFrames(random);
  const seen = { accepted: 0, rejected: 0 };
  for (const shards of [2, 3, 7]) {
    const many = [...Array(40).keys()].map(
      (n): Command => ({
        name: 'addDestination',
        service: key(VIP, 80),
        destination: {
          ...destination(n % 2 === 0 ? `10.9.${n}.1` : `fd09::${n}:1`, 80),
          tunnel: { type: 'gue', port: 6080, checksum: 'none' },
        },
      }),
    );
    const asked = facts(shards, ...(shards === 3 ? many : []));
    const programs = [...Array(shards).keys()].map((index) => {
      const program = steeringProgram(asked, index) ?? [];
      return { program, alone: translated(program), behindFlows: socketFilter(MAPS, program) };
    });
    for (let n = 0; n < 2500; n++) {
      const bytes = next();
      const { program, alone, behindFlows } = programs[random.below(shards)] as (typeof programs)[number];
      const classic = runBpf(program, bytes);
      seen[classic === 0 ? 'rejected' : 'accepted']++;
      const answers = [alone, behindFlows].map((each) => runSocketFilter(each, bytes, NO_FLOWS));
      if (answers.some((answer) => answer !== classic)) {
        expect.fail(`frame ${Buffer.from(bytes).toString('hex')}: ${answers} and not ${classic}`);
      }
      // A tag that is in metadata only would be lost.
      if (n % 50 === 0) expect(runSocketFilter(behindFlows, bytes, NO_FLOWS, { vlanPresent: 1 })).toBe(0);
    }
  }
  expect(seen.accepted).toBeGreaterThan(1500);
  expect(seen.rejected).toBeGreaterThan(1500);
});

test('a frame that a flow has is not heard, whatever the steering program says', () => {
  const bytes = frame({ from: client(1), to: VIP });
  // ACK, a length that fits, a header that is intact.
  const whole = Uint8Array.of(...bytes, ...new Uint8Array(8));
  whole.set([0, whole.length - 14], 16);
  whole.set([0x50, 0x10], 14 + 20 + 12);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += (whole[at] as number) * 256 + (whole[at + 1] as number);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  whole.set([(~sum >> 8) & 255, ~sum & 255], 24);
  const accepts: BpfInstruction[] = [[BpfCode.RETURN, 0, 0, 0x40000]];
  const asked: string[] = [];
  const record = new Uint8Array(128);
  new DataView(record.buffer).setUint32(28, 1500, true);
  const count = Uint8Array.of(1, 0, 0, 0);
  const note = new Uint8Array(NOTE_BYTES);
  const flows: Maps = {
    ...NO_FLOWS,
    writable: (map) => map === MAPS.notes,
    lookUp(map, wanted) {
      if (map === MAPS.records)
        return new DataView(wanted.buffer, wanted.byteOffset).getUint32(0, true) === MAPS.countAt ? count : record;
      if (map === MAPS.notes) return note;
      asked.push(Buffer.from(wanted).toString('hex'));
      return Uint8Array.of(0, 0, 0, 0);
    },
  };
  for (const program of [accepts, null]) {
    expect(runSocketFilter(socketFilter(MAPS, program), whole, flows)).toBe(0);
    expect(runSocketFilter(socketFilter(MAPS, program), whole, NO_FLOWS)).toBe(0x40000);
    // To another host's MAC it is nobody's flow.
    expect(runSocketFilter(socketFilter(MAPS, program), whole, flows, { packetType: 3 })).toBe(0x40000);
  }
  expect(asked).toEqual(Array(2).fill('0b000001c000020a9c40005006000000'));
  // While there are none nobody asks.
  count[0] = 0;
  expect(runSocketFilter(socketFilter(MAPS, null), whole, flows)).toBe(0x40000);
  expect(asked).toHaveLength(2);
});
