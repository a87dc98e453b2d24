/**
 * bpf(2): maps, programs, and the link that holds a program on an interface. Each is a descriptor; when the last one is
 * closed, by us or by the end of the process, the thing is gone. Source: bpf(2), linux/bpf.h.
 */
import { type Libc, LibcError } from './libc.ts';
import { NativeMemory } from './native-memory.ts';

const MAP_CREATE = 0;
const MAP_UPDATE = 2;
const MAP_DELETE = 3;
const MAP_DELETE_BATCH = 27;
const PROGRAM_LOAD = 5;
const OBJECT_INFO = 15;
const LINK_CREATE = 28;

const MAP_TYPE = { hash: 1, array: 2, perProcessor: 6, trie: 11, sockets: 17 } as const;
/** Of an array: it can be mapped. Of what grows: memory is taken when it is needed. */
const MAP_FLAGS = { hash: 1, array: 0x400, perProcessor: 0, trie: 1, sockets: 0 } as const;
const PROGRAM_TYPE = { filter: 1, traffic: 3, xdp: 6 } as const;
export type ProgramType = keyof typeof PROGRAM_TYPE;
const ATTACH_XDP = 37;
const ATTACH_TCX_INGRESS = 46;
/** Of an update: an entry that is there stays. */
const ONLY_NEW = 1;
/** How a program is attached. `generic`: by the kernel for every driver; `native`: by the driver itself. */
const ATTACH_FLAGS = { generic: 2, native: 4 } as const;
export type XdpMode = keyof typeof ATTACH_FLAGS;

const INSTRUCTION_BYTES = 8;
/** As far as a jump reaches. From 4096 on the kernel wants CAP_BPF. */
const INSTRUCTIONS_MAX = 32_768;
/** Of a name, with the NUL at its end. */
const NAME_BYTES = 16;
/** Where struct bpf_prog_info and struct bpf_map_info have it. */
const NAME_AT = { program: 64, map: 24 } as const;
const INFO_BYTES = 80;
const ATTRIBUTE_BYTES = 128;
/** Where in the memory of a call keys, values, the licence and the verifier's words lie. */
const KEY_AT = 256;
const VALUE_AT = 512;
const LICENCE_AT = 768;
const LOG_AT = 1024;
const LOG_BYTES = 64 * 1024;
const INSTRUCTIONS_AT = LOG_AT + LOG_BYTES;
/** Keys of one call that deletes many. */
const BATCH_BYTES = 4096;
const MEMORY_BYTES = INSTRUCTIONS_AT + INSTRUCTIONS_MAX * INSTRUCTION_BYTES;

/** A program that was not loaded: the verifier's last words, or why it was not asked. */
export class ProgramRefusedError extends Error {
  override readonly name = 'ProgramRefusedError';
}

export interface MapShape {
  readonly type: keyof typeof MAP_TYPE;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly entriesMax: number;
  /** At most 15 letters, digits, dots and underscores. */
  readonly name?: string;
}

export class Bpf {
  readonly #libc: Libc;
  readonly #memory: NativeMemory;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#memory = new NativeMemory(libc, MEMORY_BYTES);
  }

  /** Throws a LibcError. */
  createMap({ type, keyBytes, valueBytes, entriesMax, name = '' }: MapShape): number {
    return this.#call(MAP_CREATE, (attribute) => {
      writeWords(attribute, [MAP_TYPE[type], keyBytes, valueBytes, entriesMax, MAP_FLAGS[type]]);
      this.#writeName(name, 28);
    });
  }

  /** What the program or map of that descriptor was called when it was made. Throws a LibcError. */
  nameOf(descriptor: number, kind: keyof typeof NAME_AT): string {
    this.#memory.bytes.fill(0, VALUE_AT, VALUE_AT + INFO_BYTES);
    this.#call(OBJECT_INFO, (attribute) => {
      writeWords(attribute, [descriptor, INFO_BYTES]);
      attribute.setBigUint64(8, this.#addressOf(VALUE_AT), true);
    });
    const at = VALUE_AT + NAME_AT[kind];
    const name = this.#memory.bytes.subarray(at, at + NAME_BYTES);
    return new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
  }

  /** Adds or replaces. Throws a LibcError; E2BIG: the map is full. */
  setEntry(map: number, key: Uint8Array, value: Uint8Array): void {
    this.#update(map, key, value, 0);
  }

  /** False: there is one already, or the map is full. Throws a LibcError. */
  addEntry(map: number, key: Uint8Array, value: Uint8Array): boolean {
    try {
      this.#update(map, key, value, ONLY_NEW);
      return true;
    } catch (error) {
      if (error instanceof LibcError && ['EEXIST', 'E2BIG', 'ENOMEM'].includes(error.code)) return false;
      throw error;
    }
  }

  /** An entry that is not there is ignored. Throws a LibcError. */
  deleteEntry(map: number, key: Uint8Array): void {
    try {
      this.#call(MAP_DELETE, (attribute) => this.#writeKey(attribute, map, key));
    } catch (error) {
      if (!(error instanceof LibcError) || error.code !== 'ENOENT') throw error;
    }
  }

  /** The same for many, with as few calls as the kernel allows. Keys of one length, one behind the other. */
  deleteEntries(map: number, keys: Uint8Array, keyBytes: number): void {
    for (let at = 0; at < keys.length; ) {
      const some = keys.subarray(at, at + Math.floor(BATCH_BYTES / keyBytes) * keyBytes);
      at += some.length;
      if (this.#deleteBatch(map, some, some.length / keyBytes)) continue;
      for (let i = 0; i < some.length; i += keyBytes) this.deleteEntry(map, some.subarray(i, i + keyBytes));
    }
  }

  /** False: this kernel deletes one by one (before 5.6), or one of them was not there and the others may be. */
  #deleteBatch(map: number, keys: Uint8Array, count: number): boolean {
    // Where programs are loaded from there is room for many.
    this.#memory.bytes.set(keys, INSTRUCTIONS_AT);
    try {
      this.#call(MAP_DELETE_BATCH, (attribute) => {
        attribute.setBigUint64(16, this.#addressOf(INSTRUCTIONS_AT), true);
        writeWords(new DataView(attribute.buffer, attribute.byteOffset + 32, 8), [count, map]);
      });
      return true;
    } catch (error) {
      if (!(error instanceof LibcError)) throw error;
      return false;
    }
  }

  /** `name`: as that of a map. Throws a LibcError, or a ProgramRefusedError. */
  loadProgram(type: ProgramType, instructions: Uint8Array, name: string): number {
    if (instructions.length > INSTRUCTIONS_MAX * INSTRUCTION_BYTES) {
      throw new ProgramRefusedError(`program ${name} is too long`);
    }
    this.#memory.bytes.set(instructions, INSTRUCTIONS_AT);
    try {
      return this.#load(type, instructions.length / INSTRUCTION_BYTES, name, false);
    } catch (error) {
      if (!(error instanceof LibcError) || (error.code !== 'EACCES' && error.code !== 'EINVAL')) throw error;
    }
    // Once more, with words.
    try {
      return this.#load(type, instructions.length / INSTRUCTION_BYTES, name, true);
    } catch (cause) {
      const words = this.#lastWords() || (cause as Error).message;
      throw new ProgramRefusedError(`the kernel's verifier refuses the program: ${words}`, { cause });
    }
  }

  /** Throws a LibcError. Closing the descriptor takes the program off the interface. */
  attachXdp(program: number, linkIndex: number, mode: XdpMode): number {
    return this.#call(LINK_CREATE, (attribute) => {
      writeWords(attribute, [program, linkIndex, ATTACH_XDP, ATTACH_FLAGS[mode]]);
    });
  }

  /** The same for a program of type `traffic`, which sees what comes by the interface. EINVAL: before Linux 6.6. */
  attachIngress(program: number, linkIndex: number): number {
    return this.#call(LINK_CREATE, (attribute) => {
      writeWords(attribute, [program, linkIndex, ATTACH_TCX_INGRESS, 0]);
    });
  }

  #update(map: number, key: Uint8Array, value: Uint8Array, flags: number): void {
    this.#memory.bytes.set(value, VALUE_AT);
    this.#call(MAP_UPDATE, (attribute) => {
      this.#writeKey(attribute, map, key);
      attribute.setBigUint64(16, this.#addressOf(VALUE_AT), true);
      attribute.setUint32(24, flags, true);
    });
  }

  #load(type: ProgramType, count: number, name: string, withWords: boolean): number {
    this.#memory.bytes.fill(0, LICENCE_AT, LOG_AT + 1);
    new TextEncoder().encodeInto('Apache-2.0', this.#memory.bytes.subarray(LICENCE_AT));
    return this.#call(PROGRAM_LOAD, (attribute) => {
      attribute.setUint32(0, PROGRAM_TYPE[type], true);
      attribute.setUint32(4, count, true);
      attribute.setBigUint64(8, this.#addressOf(INSTRUCTIONS_AT), true);
      attribute.setBigUint64(16, this.#addressOf(LICENCE_AT), true);
      if (withWords) {
        attribute.setUint32(24, 1, true);
        attribute.setUint32(28, LOG_BYTES, true);
        attribute.setBigUint64(32, this.#addressOf(LOG_AT), true);
      }
      this.#writeName(name, 48);
      if (type === 'xdp') attribute.setUint32(68, ATTACH_XDP, true);
    });
  }

  /** The last sentence the verifier has left that is no statistics. */
  #lastWords(): string {
    const end = this.#memory.bytes.indexOf(0, LOG_AT);
    const lines = new TextDecoder().decode(this.#memory.bytes.subarray(LOG_AT, end)).trim().split('\n');
    return lines.filter((line) => !/^(processed|verification time|stack depth) /.test(line)).at(-1) ?? '';
  }

  #writeKey(attribute: DataView, map: number, key: Uint8Array): void {
    this.#memory.bytes.set(key, KEY_AT);
    attribute.setUint32(0, map, true);
    attribute.setBigUint64(8, this.#addressOf(KEY_AT), true);
  }

  #writeName(name: string, at: number): void {
    new TextEncoder().encodeInto(name.slice(0, NAME_BYTES - 1), this.#memory.bytes.subarray(at, at + NAME_BYTES - 1));
  }

  #addressOf(at: number): bigint {
    return BigInt(this.#memory.address + at);
  }

  #call(command: number, write: (attribute: DataView) => void): number {
    this.#memory.bytes.fill(0, 0, ATTRIBUTE_BYTES);
    write(this.#memory.view);
    return this.#libc.bpf(command, this.#memory.address, ATTRIBUTE_BYTES);
  }
}

function writeWords(attribute: DataView, words: readonly number[]): void {
  for (const [i, word] of words.entries()) attribute.setUint32(i * 4, word, true);
}
