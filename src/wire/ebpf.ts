/**
 * An assembler for eBPF: instructions with named labels in, the bytes that bpf(2) takes out. Pure; knows nothing of what
 * a program is for. Source: RFC 9669 (BPF Instruction Set Architecture).
 */

export const INSTRUCTION_BYTES = 8;

/** Registers: the result and first five arguments of calls are 0 to 5, 6 to 9 survive calls, 10 is the stack's end. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
export const STACK: Register = 10;

const SIZE = { word: 0x00, half: 0x08, byte: 0x10, double: 0x18 } as const;
export type Size = keyof typeof SIZE;
export type FrameSize = Exclude<Size, 'double'>;

const LOAD = 0x61;
const STORE_VALUE = 0x62;
const STORE_REGISTER = 0x63;
const LOAD_WIDE = 0x18;
const LOAD_FRAME = 0x20;
const LOAD_FRAME_BEHIND = 0x40;
const CALL = 0x85;
const EXIT = 0x95;
const TO_BIG_ENDIAN = 0xdc;
const ATOMIC = 0xdb;
/** In the source field of a wide load: the value is the descriptor of a map. */
const MAP_DESCRIPTOR = 1;

/** On 64 bits, with a value; with a register instead these are 8 more, on 32 bits 3 less. */
const ARITHMETIC = {
  add: 0x07,
  subtract: 0x17,
  multiply: 0x27,
  divide: 0x37,
  or: 0x47,
  and: 0x57,
  shiftLeft: 0x67,
  shiftRight: 0x77,
  negate: 0x87,
  modulo: 0x97,
  xor: 0xa7,
  move: 0xb7,
} as const;
export type Arithmetic = keyof typeof ARITHMETIC;
const WITH_REGISTER = 0x08;
const ON_32_BITS = -3;

/** `32`: only the lower halves are compared. `anyBit`: of the right one is set in the left one. */
const JUMP = {
  always: 0x05,
  equal: 0x15,
  above: 0x25,
  atLeast: 0x35,
  anyBit: 0x45,
  notEqual: 0x55,
  notEqual32: 0x56,
  below: 0xa5,
  atMost: 0xb5,
} as const;
export type Jump = Exclude<keyof typeof JUMP, 'always'>;
/** What turns a jump into that of the lower halves. */
const JUMP_ON_32_BITS = 1;
export type Jump32 = Exclude<Jump, 'notEqual32'>;

interface Instruction {
  readonly code: number;
  readonly to: Register;
  readonly from: number;
  readonly offset: number;
  readonly value: number;
  /** Where a jump goes. */
  readonly label?: string;
}

export class EbpfAssembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  /** `to = memory[from + offset]`, zero-extended. */
  load(size: Size, to: Register, from: Register, offset: number): this {
    return this.#add(LOAD | SIZE[size], to, from, offset, 0);
  }

  /** `memory[to + offset] = from` */
  store(size: Size, to: Register, offset: number, from: Register): this {
    return this.#add(STORE_REGISTER | SIZE[size], to, from, offset, 0);
  }

  /** `memory[to + offset] = value`, sign-extended where the size is `double`. */
  storeValue(size: Size, to: Register, offset: number, value: number): this {
    return this.#add(STORE_VALUE | SIZE[size], to, 0, offset, value);
  }

  /** `memory[to + offset] += from`, of 64 bits, at once for all processors. */
  atomicAdd(to: Register, offset: number, from: Register): this {
    return this.#add(ATOMIC, to, from, offset, 0);
  }

  /** `to = to operation from` */
  register(operation: Arithmetic, to: Register, from: Register): this {
    return this.#add(ARITHMETIC[operation] | WITH_REGISTER, to, from, 0, 0);
  }

  /** `to = to operation value` */
  value(operation: Arithmetic, to: Register, value: number): this {
    return this.#add(ARITHMETIC[operation], to, 0, 0, value);
  }

  /** The same on the lower halves; the upper one of `to` becomes 0. */
  register32(operation: Arithmetic, to: Register, from: Register): this {
    return this.#add((ARITHMETIC[operation] | WITH_REGISTER) + ON_32_BITS, to, from, 0, 0);
  }

  value32(operation: Arithmetic, to: Register, value: number): this {
    return this.#add(ARITHMETIC[operation] + ON_32_BITS, to, 0, 0, value);
  }

  /**
   * Register 0 becomes what the frame has at `at`, as a number of this machine; where it has nothing the program ends
   * with 0. Register 6 holds the context, 1 to 5 are lost. Only in programs that look at a socket buffer.
   */
  loadFrame(size: FrameSize, at: number): this {
    return this.#add(LOAD_FRAME | SIZE[size], 0, 0, 0, at);
  }

  /** The same at `behind + at`. */
  loadFrameBehind(size: FrameSize, behind: Register, at: number): this {
    return this.#add(LOAD_FRAME_BEHIND | SIZE[size], 0, behind, 0, at);
  }

  /** Turns a 16-bit number of the network into one of this machine, or back. */
  networkHalf(to: Register): this {
    return this.#add(TO_BIG_ENDIAN, to, 0, 0, 16);
  }

  /** `to =` the map with that descriptor. */
  map(to: Register, descriptor: number): this {
    this.#add(LOAD_WIDE, to, MAP_DESCRIPTOR, 0, descriptor);
    return this.#add(0, 0, 0, 0, 0);
  }

  jumpIf(condition: Jump, left: Register, value: number, label: string): this {
    return this.#jump(JUMP[condition], left, 0, value, label);
  }

  jumpIfRegister(condition: Jump, left: Register, right: Register, label: string): this {
    return this.#jump(JUMP[condition] | WITH_REGISTER, left, right, 0, label);
  }

  jumpIf32(condition: Jump32, left: Register, value: number, label: string): this {
    return this.#jump(JUMP[condition] + JUMP_ON_32_BITS, left, 0, value, label);
  }

  jumpIfRegister32(condition: Jump32, left: Register, right: Register, label: string): this {
    return this.#jump((JUMP[condition] | WITH_REGISTER) + JUMP_ON_32_BITS, left, right, 0, label);
  }

  jump(label: string): this {
    return this.#jump(JUMP.always, 0, 0, 0, label);
  }

  /** Calls a helper of the kernel by its number. */
  call(helper: number): this {
    return this.#add(CALL, 0, 0, 0, helper);
  }

  exit(): this {
    return this.#add(EXIT, 0, 0, 0, 0);
  }

  /** The next instruction is where jumps to `name` go. */
  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`label ${name} is there already`);
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  /** Throws when a jump goes to a label that is not there, or to one behind it: the kernel wants no loops. */
  finish(): Uint8Array {
    const bytes = new Uint8Array(this.#instructions.length * INSTRUCTION_BYTES);
    const view = new DataView(bytes.buffer);
    this.#instructions.forEach((instruction, i) => {
      const at = i * INSTRUCTION_BYTES;
      view.setUint8(at, instruction.code);
      view.setUint8(at + 1, instruction.to | (instruction.from << 4));
      view.setInt16(at + 2, this.#offsetOf(instruction, i), true);
      view.setInt32(at + 4, instruction.value | 0, true);
    });
    return bytes;
  }

  #offsetOf({ label, offset }: Instruction, i: number): number {
    if (label === undefined) return offset;
    const target = this.#labels.get(label);
    if (target === undefined) throw new Error(`nobody has put the label ${label}`);
    if (target <= i) throw new Error(`the jump to ${label} goes back`);
    return target - i - 1;
  }

  #jump(code: number, to: Register, from: Register, value: number, label: string): this {
    this.#instructions.push({ code, to, from, offset: 0, value, label });
    return this;
  }

  #add(code: number, to: Register, from: number, offset: number, value: number): this {
    this.#instructions.push({ code, to, from, offset, value });
    return this;
  }
}
