/**
 * Calls into the C library from JavaScript. The only file that knows the compiled package `koffi`; it is loaded
 * when first needed, so that a missing package is an answer and not a crash. The interface is small on purpose:
 * Node's own `node:ffi` can become a second provider behind it.
 */
import { createRequire } from 'node:module';

/** `address` is a memory address as a plain number: user addresses of 64-bit Linux fit into 53 bits. */
export type NativeType = 'int' | 'uint32' | 'long' | 'address' | 'text';
export type NativeFunction = (...values: (number | string)[]) => number;

export interface ForeignFunctions {
  readonly provider: string;
  /** A function of the C library this process runs with. Throws a NativeUnavailableError when it has none of that name. */
  bind(name: string, result: 'int' | 'long', parameters: readonly NativeType[]): NativeFunction;
  /** errno of this thread's last call; to be read at once. */
  errno(): number;
  /** The memory at `address` as a buffer, without a copy. The memory must outlive every view of the buffer. */
  view(address: number, bytes: number): ArrayBuffer;
}

/** Native calls do not work here. The message is one sentence with the way out. */
export class NativeUnavailableError extends Error {
  override readonly name = 'NativeUnavailableError';
}

interface Koffi {
  load(library: null): { func(name: string, result: string, parameters: string[]): NativeFunction };
  errno(): number;
  view(address: number, bytes: number): ArrayBuffer;
}

const KOFFI_TYPE: Record<NativeType, string> = {
  int: 'int',
  uint32: 'uint32_t',
  long: 'long',
  address: 'size_t',
  text: 'str',
};
/** The structures we build are those of 64-bit little-endian Linux. */
const ARCHITECTURES = ['x64', 'arm64', 'riscv64', 'loong64'];

let loaded: ForeignFunctions | null = null;

/** The provider of this process. Throws a NativeUnavailableError where there is none. */
export function loadForeignFunctions(): ForeignFunctions {
  loaded ??= loadKoffi();
  return loaded;
}

/** Whether `loadForeignFunctions` would answer. */
export function nativeCallsWork(): boolean {
  try {
    loadForeignFunctions();
    return true;
  } catch {
    return false;
  }
}

function loadKoffi(): ForeignFunctions {
  if (process.platform !== 'linux') {
    throw new NativeUnavailableError(`needs Linux, and this is ${process.platform}; use a Linux host or container`);
  }
  if (!ARCHITECTURES.includes(process.arch)) {
    throw new NativeUnavailableError(`needs a 64-bit processor of ${ARCHITECTURES.join(', ')}, not ${process.arch}`);
  }
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    throw new NativeUnavailableError(
      missing
        ? 'the package koffi is not installed; add it with "npm install koffi"'
        : `the package koffi cannot be loaded here (${(cause as Error).message.split('\n')[0]}); try "npm rebuild koffi"`,
      { cause },
    );
  }
  const library = koffi.load(null);
  return {
    provider: 'koffi',
    bind(name, result, parameters) {
      try {
        return library.func(
          name,
          result,
          parameters.map((type) => KOFFI_TYPE[type]),
        );
      } catch (cause) {
        throw new NativeUnavailableError(`this C library has no ${name}(); a newer system is needed`, { cause });
      }
    },
    errno: () => koffi.errno(),
    view: (address, bytes) => koffi.view(address, bytes),
  };
}
