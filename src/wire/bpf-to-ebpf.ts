/**
 * Writes a classic BPF program in eBPF, so that a socket which has room for one filter can have both kinds in one. The
 * same frames get the same answer: A and X have 32 bits, a read beyond the frame and a division by 0 end the program with
 * 0. Every opcode of classic BPF is known, of its metadata only what `METADATA` lists.
 * Sources: "Linux Socket Filtering aka Berkeley Packet Filter" of the kernel documentation; RFC 9669.
 */
import type { BpfInstruction } from './bpf.ts';
import { type Arithmetic, type EbpfAssembler, type FrameSize, type Jump32, type Register, STACK } from './ebpf.ts';

/** Words that a program can remember. */
export const BPF_MEMORY_WORDS = 16;
export const BPF_MEMORY_BYTES = 4 * BPF_MEMORY_WORDS;

export interface BpfPlace {
  /** That no other label of the caller begins with. */
  readonly labels: string;
  /** Where on the stack there are BPF_MEMORY_BYTES for it: what is added to the stack's end. */
  readonly memoryAt: number;
}

/** Where loads of the frame leave their result, as the assembler says. */
const A: Register = 0;

/** As loads of the frame want it. */
const CONTEXT: Register = 6;
const X: Register = 7;
const KEPT: Register = 8;

/** The lowest three bits of an opcode. */
const CLASS = { load: 0, loadX: 1, store: 2, storeX: 3, arithmetic: 4, jump: 5, end: 6, move: 7 } as const;
/** How a load finds its operand. */
const MODE = { value: 0x00, frame: 0x20, frameX: 0x40, memory: 0x60, length: 0x80, header: 0xa0 } as const;
const SIZES: Readonly<Record<number, FrameSize>> = { 0: 'word', 8: 'half', 16: 'byte' };
const OPERATIONS: Readonly<Record<number, Arithmetic>> = {
  0: 'add',
  16: 'subtract',
  32: 'multiply',
  48: 'divide',
  64: 'or',
  80: 'and',
  96: 'shiftLeft',
  112: 'shiftRight',
  128: 'negate',
  144: 'modulo',
  160: 'xor',
};
const ALWAYS = 0x00;
const CONDITIONS: Readonly<Record<number, { readonly is: Jump32; readonly isNot: Jump32 | null }>> = {
  16: { is: 'equal', isNot: 'notEqual' },
  32: { is: 'above', isNot: 'atMost' },
  48: { is: 'atLeast', isNot: 'below' },
  64: { is: 'anyBit', isNot: null },
};
const WITH_X = 0x08;
const RESULT_IN_A = 0x10;
const X_TO_A = 0x80;

/** struct __sk_buff */
const LENGTH = 0;
/** What classic BPF knows of a frame besides its bytes, by how far behind METADATA_AT it is: where struct __sk_buff has it. */
const METADATA_AT = 0xffff_f000;
const METADATA: Readonly<Record<number, number>> = { 4: 4, 20: 8, 48: 20 };

/**
 * Appends the program, which ends whatever way it goes: nothing the caller appends is reached from it. Register 6 holds the
 * context. Throws on what no kernel takes, and on other metadata.
 */
export function appendBpf(code: EbpfAssembler, program: readonly BpfInstruction[], place: BpfPlace): void {
  new Translation(code, program, place).append();
}

class Translation {
  readonly #code: EbpfAssembler;
  readonly #program: readonly BpfInstruction[];
  readonly #place: BpfPlace;
  #divides = false;

  constructor(code: EbpfAssembler, program: readonly BpfInstruction[], place: BpfPlace) {
    this.#code = code;
    this.#program = program;
    this.#place = place;
  }

  append(): void {
    if (this.#program.length === 0) throw new Error('a BPF program without instructions');
    this.#code.value32('move', A, 0).value32('move', X, 0);
    // The kernel takes no eBPF program with instructions that nothing leads to.
    const reached = this.#reached();
    this.#program.forEach((instruction, at) => {
      if (!reached.has(at)) return;
      this.#code.label(this.#label(at));
      this.#instruction(instruction, at);
    });
    if (this.#divides) this.#code.label(this.#reject).value32('move', A, 0).exit();
  }

  /** Jumps go forward only, so one way through is enough. */
  #reached(): Set<number> {
    const reached = new Set([0]);
    this.#program.forEach((instruction, at) => {
      if (!reached.has(at)) return;
      for (const next of followers(instruction, at)) {
        if (next >= this.#program.length) throw new Error(`BPF instruction ${at} leads out of the program`);
        reached.add(next);
      }
    });
    return reached;
  }

  #instruction([opcode, ifTrue, ifFalse, value]: BpfInstruction, at: number): EbpfAssembler {
    const code = this.#code;
    switch (opcode & 7) {
      case CLASS.load:
        return this.#load(opcode, value);
      case CLASS.loadX:
        return this.#loadX(opcode, value);
      case CLASS.store:
        return code.store('word', STACK, this.#memory(value), A);
      case CLASS.storeX:
        return code.store('word', STACK, this.#memory(value), X);
      case CLASS.arithmetic:
        return this.#calculate(opcode, value);
      case CLASS.jump:
        if ((opcode & 0xf0) === ALWAYS) return this.#jump(at, at + 1 + value);
        return this.#jumpIf(opcode, value, at, at + 1 + ifTrue, at + 1 + ifFalse);
      case CLASS.end:
        if ((opcode & RESULT_IN_A) === 0) code.value32('move', A, value);
        return code.exit();
      default:
        return (opcode & X_TO_A) !== 0 ? code.register('move', A, X) : code.register('move', X, A);
    }
  }

  #load(opcode: number, value: number): EbpfAssembler {
    const code = this.#code;
    const size = SIZES[opcode & 0x18];
    switch (opcode & 0xe0) {
      case MODE.value:
        return code.value32('move', A, value);
      case MODE.memory:
        return code.load('word', A, STACK, this.#memory(value));
      case MODE.length:
        return code.load('word', A, CONTEXT, LENGTH);
      case MODE.frame: {
        if (value < METADATA_AT && size !== undefined) return code.loadFrame(size, value);
        const at = METADATA[value - METADATA_AT];
        if (at !== undefined) return code.load('word', A, CONTEXT, at);
        break;
      }
      case MODE.frameX:
        if (size !== undefined) return code.loadFrameBehind(size, X, value);
    }
    throw unknown(opcode, value);
  }

  #loadX(opcode: number, value: number): EbpfAssembler {
    const code = this.#code;
    switch (opcode & 0xe0) {
      case MODE.value:
        return code.value32('move', X, value);
      case MODE.memory:
        return code.load('word', X, STACK, this.#memory(value));
      case MODE.length:
        return code.load('word', X, CONTEXT, LENGTH);
      case MODE.header:
        return code
          .register('move', KEPT, A)
          .loadFrame('byte', value)
          .value32('and', A, 15)
          .value32('shiftLeft', A, 2)
          .register('move', X, A)
          .register('move', A, KEPT);
    }
    throw unknown(opcode, value);
  }

  #calculate(opcode: number, value: number): EbpfAssembler {
    const code = this.#code;
    const operation = OPERATIONS[opcode & 0xf0];
    if (operation === undefined) throw unknown(opcode, value);
    const divides = operation === 'divide' || operation === 'modulo';
    if (operation === 'negate') return code.value32(operation, A, 0);
    if ((opcode & WITH_X) !== 0) {
      if (divides) code.jumpIf32('equal', X, 0, this.#reject);
      this.#divides ||= divides;
      return code.register32(operation, A, X);
    }
    const shifts = operation === 'shiftLeft' || operation === 'shiftRight';
    if ((divides && value === 0) || (shifts && value > 31)) throw unknown(opcode, value);
    return code.value32(operation, A, value);
  }

  #jumpIf(opcode: number, value: number, at: number, yes: number, no: number): EbpfAssembler {
    const condition = CONDITIONS[opcode & 0xf0];
    if (condition === undefined) throw unknown(opcode, value);
    if (yes === no) return this.#jump(at, yes);
    const test = (jump: Jump32, target: number) =>
      (opcode & WITH_X) !== 0
        ? this.#code.jumpIfRegister32(jump, A, X, this.#label(target))
        : this.#code.jumpIf32(jump, A, value, this.#label(target));
    if (yes === at + 1 && condition.isNot !== null) return test(condition.isNot, no);
    test(condition.is, yes);
    return this.#jump(at, no);
  }

  #jump(at: number, target: number): EbpfAssembler {
    return target === at + 1 ? this.#code : this.#code.jump(this.#label(target));
  }

  #memory(word: number): number {
    if (word >= BPF_MEMORY_WORDS) throw new Error(`BPF has no word ${word} to remember`);
    return this.#place.memoryAt + 4 * word;
  }

  #label(at: number): string {
    return `${this.#place.labels}${at}`;
  }

  get #reject(): string {
    return `${this.#place.labels}reject`;
  }
}

/** Where a program may go from an instruction. */
function followers([opcode, ifTrue, ifFalse, value]: BpfInstruction, at: number): readonly number[] {
  if ((opcode & 7) === CLASS.end) return [];
  if ((opcode & 7) !== CLASS.jump) return [at + 1];
  return (opcode & 0xf0) === ALWAYS ? [at + 1 + value] : [at + 1 + ifTrue, at + 1 + ifFalse];
}

function unknown(opcode: number, value: number): Error {
  return new Error(`no BPF instruction: opcode 0x${opcode.toString(16)}, value ${value}`);
}
