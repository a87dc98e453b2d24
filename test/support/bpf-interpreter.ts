/** Runs a classic BPF program as "Linux Socket Filtering" of the kernel documentation says; one instruction, one line. */
import type { BpfInstruction } from '../../src/wire/bpf.ts';

const METADATA_AT = 0xfffff000;

/**
 * What the program returns. Throws where the kernel would refuse the program; a read beyond the frame returns 0.
 * `metadata`: by how far behind METADATA_AT it is asked for; what is not there is 0.
 */
export function runBpf(
  program: readonly BpfInstruction[],
  frame: Uint8Array,
  metadata: Readonly<Record<number, number>> = {},
): number {
  const memory = new Array<number | undefined>(16);
  let a = 0;
  let x = 0;
  for (let at = 0; ; at++) {
    const instruction = program[at];
    if (instruction === undefined) throw new Error(`the program leaves its end at ${at}`);
    const [code, ifTrue, ifFalse, value] = instruction;
    if (ifTrue > 255 || ifFalse > 255) throw new Error(`a jump at ${at} is too long`);
    const load = (place: number, bytes: number): number | null => {
      if (place + bytes > frame.length) return null;
      let word = 0;
      for (let n = 0; n < bytes; n++) word = word * 256 + (frame[place + n] as number);
      return word;
    };
    const jump = (condition: boolean) => {
      at += condition ? ifTrue : ifFalse;
    };
    const loaded = ((): number | null => {
      if ([0x20, 0x28, 0x30].includes(code) && value >= METADATA_AT) return metadata[value - METADATA_AT] ?? 0;
      if (code === 0x20) return load(value, 4);
      if (code === 0x28) return load(value, 2);
      if (code === 0x30) return load(value, 1);
      if (code === 0x40) return load((x + value) >>> 0, 4);
      if (code === 0x48) return load((x + value) >>> 0, 2);
      if (code === 0x50) return load((x + value) >>> 0, 1);
      if (code === 0x00) return value;
      if (code === 0x80) return frame.length;
      return a;
    })();
    if (loaded === null) return 0;
    a = loaded;
    switch (code) {
      case 0x60: {
        const word = memory[value];
        if (word === undefined) throw new Error(`memory ${value} is read before it is written, at ${at}`);
        a = word;
        break;
      }
      case 0x61: {
        const word = memory[value];
        if (word === undefined) throw new Error(`memory ${value} is read before it is written, at ${at}`);
        x = word;
        break;
      }
      case 0x02:
        memory[value] = a;
        break;
      case 0x03:
        memory[value] = x;
        break;
      case 0x01:
        x = value;
        break;
      case 0x81:
        x = frame.length;
        break;
      case 0xb1: {
        const byte = load(value, 1);
        if (byte === null) return 0;
        x = (byte & 15) * 4;
        break;
      }
      case 0x07:
        x = a;
        break;
      case 0x87:
        a = x;
        break;
      case 0x04:
        a = (a + value) >>> 0;
        break;
      case 0x0c:
        a = (a + x) >>> 0;
        break;
      case 0x14:
        a = (a - value) >>> 0;
        break;
      case 0x1c:
        a = (a - x) >>> 0;
        break;
      case 0x24:
        a = Number((BigInt(a) * BigInt(value)) & 0xffffffffn);
        break;
      case 0x2c:
        a = Number((BigInt(a) * BigInt(x)) & 0xffffffffn);
        break;
      case 0x34:
      case 0x94:
        if (value === 0) throw new Error(`a division by 0 at ${at}`);
        a = code === 0x34 ? Math.floor(a / value) : a % value;
        break;
      case 0x3c:
      case 0x9c:
        if (x === 0) return 0;
        a = code === 0x3c ? Math.floor(a / x) : a % x;
        break;
      case 0x44:
        a = (a | value) >>> 0;
        break;
      case 0x4c:
        a = (a | x) >>> 0;
        break;
      case 0x54:
        a = (a & value) >>> 0;
        break;
      case 0x5c:
        a = (a & x) >>> 0;
        break;
      case 0x64:
      case 0x74:
        if (value > 31) throw new Error(`a shift by ${value} at ${at}`);
        a = code === 0x64 ? (a << value) >>> 0 : a >>> value;
        break;
      // Of a register five bits count, here as there.
      case 0x6c:
        a = (a << x) >>> 0;
        break;
      case 0x7c:
        a = a >>> x;
        break;
      case 0x84:
        a = -a >>> 0;
        break;
      case 0xa4:
        a = (a ^ value) >>> 0;
        break;
      case 0xac:
        a = (a ^ x) >>> 0;
        break;
      case 0x05:
        at += value;
        break;
      case 0x15:
        jump(a === value);
        break;
      case 0x25:
        jump(a > value);
        break;
      case 0x35:
        jump(a >= value);
        break;
      case 0x1d:
        jump(a === x);
        break;
      case 0x2d:
        jump(a > x);
        break;
      case 0x3d:
        jump(a >= x);
        break;
      case 0x4d:
        jump((a & x) !== 0);
        break;
      case 0x45:
        jump((a & value) !== 0);
        break;
      case 0x06:
        return value;
      case 0x16:
        return a;
      case 0x20:
      case 0x28:
      case 0x30:
      case 0x40:
      case 0x48:
      case 0x50:
      case 0x00:
      case 0x80:
        break;
      default:
        throw new Error(`opcode ${code} at ${at} is none`);
    }
  }
}
