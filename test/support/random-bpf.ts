/** Classic BPF programs at random that every kernel takes: jumps stay inside, memory is written before it is read. */
import type { BpfInstruction } from '../../src/wire/bpf.ts';
import type { Random } from './random.ts';

export const ALU_OPCODES = [0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0x84, 0x94, 0xa4] as const;
export const ALU_X_OPCODES = [0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0x9c, 0xac] as const;
export const JUMP_OPCODES = [0x15, 0x25, 0x35, 0x45] as const;
export const JUMP_X_OPCODES = [0x1d, 0x2d, 0x3d, 0x4d] as const;
export const FRAME_OPCODES = [0x20, 0x28, 0x30] as const;
export const FRAME_X_OPCODES = [0x40, 0x48, 0x50] as const;
/** Numbers where signs, carries and widths show. */
export const EDGES = [0, 1, 2, 31, 32, 255, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff] as const;

const WORDS = 16;
const DIVISIONS: readonly number[] = [0x34, 0x94];
const SHIFTS: readonly number[] = [0x64, 0x74];

export function randomBpf(random: Random, frameBytes: number): BpfInstruction[] {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)] as T;
  const number = () => (random.below(2) === 0 ? pick(EDGES) : random.next());
  // A few programs read beyond the frame, most do not.
  const place = () => random.below(frameBytes + (random.below(20) === 0 ? 4 : -3));
  const operand = (code: number) => {
    if (SHIFTS.includes(code)) return random.below(32);
    return DIVISIONS.includes(code) ? 1 + random.below(1000) : number();
  };
  const kinds: (() => BpfInstruction[])[] = [
    () => [[pick(FRAME_OPCODES), 0, 0, place()]],
    () => [[0x50, 0, 0, random.below(8)]],
    // X becomes small enough to read behind it.
    () => [
      [0x54, 0, 0, 15],
      [0x07, 0, 0, 0],
      [pick(FRAME_X_OPCODES), 0, 0, random.below(Math.max(1, frameBytes - 18))],
    ],
    () => [[0xb1, 0, 0, place()]],
    () => [[pick([0x00, 0x01]), 0, 0, number()]],
    () => [[pick([0x80, 0x81, 0x07, 0x87]), 0, 0, 0]],
    () => [[pick([0x60, 0x61, 0x02, 0x03]), 0, 0, random.below(WORDS)]],
    () => {
      const code = pick(ALU_OPCODES);
      return [[code, 0, 0, operand(code)]];
    },
    () => [[pick(ALU_X_OPCODES), 0, 0, 0]],
  ];
  const body: BpfInstruction[] = [...Array(WORDS).keys()].map((word) => [pick([0x02, 0x03]), 0, 0, word]);
  const wanted = WORDS + random.between(4, 60);
  while (body.length < wanted) {
    const left = wanted - body.length;
    if (random.below(4) > 0) body.push(...pick(kinds)());
    else if (random.below(6) === 0) body.push([0x05, 0, 0, random.below(left)]);
    else {
      const code = random.below(2) === 0 ? pick(JUMP_OPCODES) : pick(JUMP_X_OPCODES);
      body.push([code, random.below(left), random.below(left), number()]);
    }
    if (random.below(30) === 0) body.push([0x06, 0, 0, number()]);
  }
  return [...body, random.below(3) === 0 ? [0x06, 0, 0, number()] : [0x16, 0, 0, 0]];
}

export function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(random.below(3) === 0 ? 4 : 256));
}
