/**
 * Runs eBPF instructions as a kernel would, written from RFC 9669 alone. Every access outside the stack, the frame, its
 * context and map values is an error, as are reads of registers and stack bytes that nobody has written: what the
 * verifier checks for all ways through a program is checked here for the way that is taken.
 */

export interface Maps {
  /** The value under `key` of that map, or `null`. */
  lookUp(map: number, key: Uint8Array): Uint8Array | null;
  /** Whether programs may write its values; absent: none. */
  writable?(map: number): boolean;
  /** Bytes of a key of that map. */
  keyBytes(map: number): number;
  redirect(map: number, index: number, otherwise: number): number;
}

const CONTEXT_AT = 0x1000n;
const FRAME_AT = 0x10000n;
const STACK_END = 0x20000n;
const VALUES_AT = 0x30000n;
const STACK_BYTES = 512;
const STEPS_MAX = 32_768;
/** Helper 26, bpf_skb_load_bytes, where the frame is too short. */
const EFAULT = -14n;

interface Region {
  readonly at: bigint;
  readonly bytes: Uint8Array;
  readonly writable: boolean;
  readonly written: Uint8Array | null;
}

/** What a socket filter knows of a frame besides its bytes. */
export interface FrameMetadata {
  readonly packetType?: number;
  readonly mark?: number;
  readonly vlanPresent?: number;
  readonly segmentBytes?: number;
}

/** The program's result. `queue`: the receive queue the frame came by. */
export function runXdp(program: Uint8Array, frame: Uint8Array, queue: number, maps: Maps): number {
  const context = new Uint8Array(24);
  const contextView = new DataView(context.buffer);
  contextView.setUint32(0, Number(FRAME_AT), true);
  contextView.setUint32(4, Number(FRAME_AT) + frame.length, true);
  contextView.setUint32(16, queue, true);
  return Number(run(program, context, [{ at: FRAME_AT, bytes: frame, writable: false, written: null }], null, maps));
}

/** The same for a program that looks at a socket buffer: the frame is reached by instructions and helpers alone. */
export function runSocketFilter(program: Uint8Array, frame: Uint8Array, maps: Maps, about: FrameMetadata = {}): number {
  const context = new Uint8Array(192);
  const view = new DataView(context.buffer);
  view.setUint32(0, frame.length, true);
  view.setUint32(4, about.packetType ?? 0, true);
  view.setUint32(8, about.mark ?? 0, true);
  view.setUint32(20, about.vlanPresent ?? 0, true);
  view.setUint32(176, about.segmentBytes ?? 0, true);
  return Number(BigInt.asUintN(32, run(program, context, [], frame, maps)));
}

/** `frame`: what instructions and helpers read, `null` where there are none of that kind. */
function run(program: Uint8Array, context: Uint8Array, more: Region[], frame: Uint8Array | null, maps: Maps): bigint {
  const code = new DataView(program.buffer, program.byteOffset, program.length);
  const stack = new Uint8Array(STACK_BYTES);
  const regions: Region[] = [
    { at: CONTEXT_AT, bytes: context, writable: false, written: null },
    ...more,
    { at: STACK_END - BigInt(STACK_BYTES), bytes: stack, writable: true, written: new Uint8Array(STACK_BYTES) },
  ];
  const registers: (bigint | null)[] = Array(11).fill(null);
  registers[1] = CONTEXT_AT;
  registers[10] = STACK_END;

  const read = (index: number): bigint => {
    const value = registers[index];
    if (value === null || value === undefined) throw new Error(`r${index} was never written`);
    return value;
  };
  const place = (address: bigint, length: number): [Region, number] => {
    for (const region of regions) {
      const at = Number(address - region.at);
      if (at >= 0 && at + length <= region.bytes.length) return [region, at];
    }
    throw new Error(`access to ${length} bytes at 0x${address.toString(16)}`);
  };
  const bytesAt = (address: bigint, length: number): Uint8Array => {
    const [{ bytes, written }, at] = place(address, length);
    if (written?.subarray(at, at + length).includes(0)) throw new Error('stack that was never written is read');
    return bytes.subarray(at, at + length);
  };
  const little = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

  for (let at = 0, steps = 0; steps < STEPS_MAX; steps++) {
    const op = code.getUint8(at * 8);
    const to = code.getUint8(at * 8 + 1) & 15;
    const from = code.getUint8(at * 8 + 1) >> 4;
    const offset = code.getInt16(at * 8 + 2, true);
    const value = code.getInt32(at * 8 + 4, true);
    at++;
    const size = { 0: 4, 8: 2, 16: 1, 24: 8 }[op & 0x18] as number;
    const operand = () => ((op & 8) !== 0 ? read(from) : BigInt.asUintN(64, BigInt(value)));
    switch (op & 7) {
      case 0: {
        // Wide load, of which only maps are known here.
        if (op === 0x18 && from === 1) {
          registers[to] = BigInt(value);
          at++;
          break;
        }
        const behindRegister = (op & 0xe0) === 0x40;
        if (frame === null || size === 8 || (!behindRegister && (op & 0xe0) !== 0x20)) {
          throw new Error(`unknown instruction 0x${op.toString(16)}`);
        }
        if (read(6) !== CONTEXT_AT) throw new Error('r6 is not the context');
        const place = Number(BigInt.asIntN(32, (behindRegister ? read(from) : 0n) + BigInt(value)));
        for (let i = 1; i <= 5; i++) registers[i] = null;
        // Negative: counted from other headers, of which nothing is known here.
        if (place < 0 || place + size > frame.length) return 0n;
        registers[0] = frame.subarray(place, place + size).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
        break;
      }
      case 1:
        registers[to] = little(bytesAt(read(from) + BigInt(offset), size));
        break;
      case 2:
      case 3: {
        const [{ bytes, writable, written }, where] = place(read(to) + BigInt(offset), size);
        if (!writable) throw new Error('a store outside the stack');
        let rest = (op & 7) === 3 ? read(from) : BigInt.asUintN(64, BigInt(value));
        for (let i = 0; i < size; i++, rest >>= 8n) bytes[where + i] = Number(rest & 0xffn);
        written?.fill(1, where, where + size);
        break;
      }
      case 4:
      case 7: {
        if (op === 0xdc && value === 16) {
          registers[to] = ((read(to) & 0xffn) << 8n) | ((read(to) >> 8n) & 0xffn);
          break;
        }
        const bits = (op & 7) === 7 ? 64 : 32;
        const left = (op & 0xf0) === 0xb0 ? 0n : BigInt.asUintN(bits, read(to));
        registers[to] = BigInt.asUintN(bits, calculate(op & 0xf0, left, BigInt.asUintN(bits, operand()), bits));
        break;
      }
      case 5:
      case 6: {
        if (op === 0x95) return read(0);
        if (op === 0x85) {
          registers[0] = call(value);
          for (let i = 1; i <= 5; i++) registers[i] = null;
          break;
        }
        if (op === 0x05) {
          at += offset;
          break;
        }
        const width = (op & 7) === 6 ? 32 : 64;
        if (holds(op & 0xf0, BigInt.asUintN(width, read(to)), BigInt.asUintN(width, operand()))) at += offset;
        break;
      }
      default:
        throw new Error(`unknown instruction 0x${op.toString(16)}`);
    }
  }
  throw new Error('the program does not end');

  function call(helper: number): bigint {
    if (helper === 51) return BigInt(maps.redirect(Number(read(1)), Number(read(2)), Number(read(3))));
    if (helper === 26 && frame !== null) return loadBytes(frame);
    if (helper !== 1) throw new Error(`unknown helper ${helper}`);
    const map = Number(read(1));
    const found = maps.lookUp(map, bytesAt(read(2), maps.keyBytes(map)).slice());
    if (found === null) return 0n;
    const valueAt = VALUES_AT + BigInt(regions.length) * 0x100n;
    regions.push({ at: valueAt, bytes: found, writable: maps.writable?.(map) ?? false, written: null });
    return valueAt;
  }

  function loadBytes(from: Uint8Array): bigint {
    if (read(1) !== CONTEXT_AT) throw new Error('r1 is not the context');
    const [at, length] = [Number(read(2)), Number(read(4))];
    const [{ bytes, writable, written }, where] = place(read(3), length);
    if (!writable) throw new Error('a store outside the stack');
    const there = at + length <= from.length;
    // The kernel writes zeros where it fails.
    bytes.set(there ? from.subarray(at, at + length) : new Uint8Array(length), where);
    written?.fill(1, where, where + length);
    return there ? 0n : BigInt.asUintN(64, EFAULT);
  }
}

function calculate(operation: number, a: bigint, b: bigint, bits: number): bigint {
  switch (operation) {
    case 0x00:
      return a + b;
    case 0x10:
      return a - b;
    case 0x20:
      return a * b;
    case 0x30:
      return b === 0n ? 0n : a / b;
    case 0x40:
      return a | b;
    case 0x50:
      return a & b;
    case 0x60:
      return a << (b & BigInt(bits - 1));
    case 0x70:
      return a >> (b & BigInt(bits - 1));
    case 0x80:
      return -a;
    case 0x90:
      return b === 0n ? a : a % b;
    case 0xa0:
      return a ^ b;
    case 0xb0:
      return b;
    default:
      throw new Error(`unknown operation 0x${operation.toString(16)}`);
  }
}

function holds(condition: number, a: bigint, b: bigint): boolean {
  switch (condition) {
    case 0x10:
      return a === b;
    case 0x20:
      return a > b;
    case 0x30:
      return a >= b;
    case 0x40:
      return (a & b) !== 0n;
    case 0x50:
      return a !== b;
    case 0xa0:
      return a < b;
    case 0xb0:
      return a <= b;
    default:
      throw new Error(`unknown condition 0x${condition.toString(16)}`);
  }
}
