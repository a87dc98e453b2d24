/** Runs a classic BPF program as "Linux Socket Filtering" of the kernel documentation says; one instruction, one line. */
import type { BpfInstruction } from '../../src/wire/bpf.ts';

const METADATA_AT = 0xfffff000;

/** What the program returns. Throws where the kernel would refuse the program; a read beyond the frame returns 0. */
export function runBpf(program: readonly BpfInstruction[], frame: Uint8Array): number {
  const memory = new Array<number | undefined>(16);
  let a = 0;
  let x = 0;
  for (let at = 0; ; at++) {
    const instruction = program[at];
    if (instruction === undefined) throw new Error(`the program leaves its end at ${at}`);
    const [code, ifTrue, ifFalse, value] = instruction;
    if (ifTrue > 255 || ifFalse > 255) throw new Error(`a jump at ${at} is too long`);
    const load = (place: number, bytes: number): number | null => {
      if (place >= METADATA_AT) return 0;
      if (place + bytes > frame.length) return null;
      let word = 0;
      for (let n = 0; n < bytes; n++) word = word * 256 + (frame[place + n] as number);
      return word;
    };
    const jump = (condition: boolean) => {
      at += condition ? ifTrue : ifFalse;
    };
    const loaded = ((): number | null => {
      if (code === 0x20) return load(value, 4);
      if (code === 0x28) return load(value, 2);
      if (code === 0x30) return load(value, 1);
      if (code === 0x40) return load(x + value, 4);
      if (code === 0x48) return load(x + value, 2);
      if (code === 0x50) return load(x + value, 1);
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
      case 0x02:
        memory[value] = a;
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
      case 0x1c:
        a = (a - x) >>> 0;
        break;
      case 0x24:
        a = Number((BigInt(a) * BigInt(value)) & 0xffffffffn);
        break;
      case 0x54:
        a = (a & value) >>> 0;
        break;
      case 0x64:
        a = (a << value) >>> 0;
        break;
      case 0x74:
        a = a >>> value;
        break;
      case 0x94:
        a = a % value;
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
      case 0x3d:
        jump(a >= x);
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
