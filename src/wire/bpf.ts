/**
 * An assembler for classic BPF, the little programs by which a socket chooses its packets. Jumps go to labels; how long
 * they are, and that conditional ones reach only 255 instructions far, is its business. Sources: "Linux Socket Filtering
 * aka Berkeley Packet Filter" of the kernel documentation; McCanne and Jacobson, "The BSD Packet Filter", 1993.
 */

/** One instruction as the kernel takes it: opcode, instructions to skip if true and if false, operand. */
export type BpfInstruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

/** The most instructions a kernel takes. */
export const BPF_INSTRUCTIONS_MAX = 4096;

export const BpfCode = {
  LOAD_WORD: 0x20,
  LOAD_HALF: 0x28,
  LOAD_BYTE: 0x30,
  /** The same at X plus the operand. */
  LOAD_WORD_X: 0x40,
  LOAD_HALF_X: 0x48,
  LOAD_BYTE_X: 0x50,
  LOAD_VALUE: 0x00,
  LOAD_LENGTH: 0x80,
  LOAD_MEMORY: 0x60,
  STORE_MEMORY: 0x02,
  /** X becomes four times the low half of a byte: the length of an IPv4 header. */
  LOAD_X_HEADER: 0xb1,
  A_TO_X: 0x07,
  X_TO_A: 0x87,
  ADD: 0x04,
  MULTIPLY: 0x24,
  AND: 0x54,
  SHIFT_LEFT: 0x64,
  SHIFT_RIGHT: 0x74,
  MODULO: 0x94,
  XOR: 0xa4,
  ADD_X: 0x0c,
  SUBTRACT_X: 0x1c,
  XOR_X: 0xac,
  JUMP: 0x05,
  IF_EQUAL: 0x15,
  IF_GREATER: 0x25,
  IF_AT_LEAST: 0x35,
  IF_BITS: 0x45,
  /** The same against X. */
  IF_AT_LEAST_X: 0x3d,
  RETURN: 0x06,
  RETURN_A: 0x16,
} as const;

type Condition =
  | typeof BpfCode.IF_EQUAL
  | typeof BpfCode.IF_GREATER
  | typeof BpfCode.IF_AT_LEAST
  | typeof BpfCode.IF_BITS
  | typeof BpfCode.IF_AT_LEAST_X;

/** A place in the program: made by `label`, given its place once by `place`, jumped to from anywhere before it. */
export interface BpfLabel {
  /** Index of the step it stands before; -1: not placed yet. */
  step: number;
}

interface Step {
  readonly code: number;
  readonly value: number;
  /** `null`: no jump. */
  readonly target: BpfLabel | null;
  /** Of a condition: jump when it does not hold. */
  readonly unless: boolean;
  /** The target is too far for a condition, which then skips a jump. */
  long: boolean;
}

const SHORT_JUMP_MAX = 255;

export class BpfAssembler {
  readonly #steps: Step[] = [];

  label(): BpfLabel {
    return { step: -1 };
  }

  /** The label stands before what comes next. */
  place(label: BpfLabel): void {
    label.step = this.#steps.length;
  }

  /** An instruction that is no jump. */
  add(code: number, value = 0): void {
    this.#steps.push({ code, value: value >>> 0, target: null, unless: false, long: false });
  }

  jump(target: BpfLabel): void {
    this.#steps.push({ code: BpfCode.JUMP, value: 0, target, unless: false, long: false });
  }

  jumpIf(code: Condition, value: number, target: BpfLabel): void {
    this.#steps.push({ code, value: value >>> 0, target, unless: false, long: false });
  }

  jumpUnless(code: Condition, value: number, target: BpfLabel): void {
    this.#steps.push({ code, value: value >>> 0, target, unless: true, long: false });
  }

  /** The program; `null` when it has more instructions than a kernel takes. Throws on a label without a place before it. */
  assemble(): BpfInstruction[] | null {
    const steps = this.#steps;
    for (const [index, { target }] of steps.entries()) {
      if (target !== null && target.step <= index) throw new Error('a BPF jump goes nowhere, or backwards');
    }
    let at = this.#places();
    // Lengthening a jump may push another target out of reach, so until nothing changes.
    for (let changed = true; changed; at = this.#places()) {
      changed = false;
      steps.forEach((step, index) => {
        if (step.target === null || step.code === BpfCode.JUMP || step.long) return;
        if ((at[step.target.step] as number) - (at[index] as number) - 1 <= SHORT_JUMP_MAX) return;
        step.long = true;
        changed = true;
      });
    }
    if ((at[steps.length] as number) > BPF_INSTRUCTIONS_MAX) return null;
    return steps.flatMap((step, index) => instructionsOf(step, at[index] as number, at));
  }

  /** Where each step begins, and where the program ends. */
  #places(): Int32Array {
    const at = new Int32Array(this.#steps.length + 1);
    this.#steps.forEach((step, index) => {
      at[index + 1] = (at[index] as number) + (step.long ? 2 : 1);
    });
    return at;
  }
}

function instructionsOf({ code, value, target, unless, long }: Step, place: number, at: Int32Array): BpfInstruction[] {
  if (target === null) return [[code, 0, 0, value]];
  const to = at[target.step] as number;
  if (code === BpfCode.JUMP) return [[code, 0, 0, to - place - 1]];
  if (long) {
    const jump: BpfInstruction = [BpfCode.JUMP, 0, 0, to - place - 2];
    return [unless ? [code, 1, 0, value] : [code, 0, 1, value], jump];
  }
  const skip = to - place - 1;
  return [unless ? [code, 0, skip, value] : [code, skip, 0, value]];
}
