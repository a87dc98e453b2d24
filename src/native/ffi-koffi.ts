/** The compiled package `koffi`, loaded when first needed. The only file that knows it. */
import { createRequire } from 'node:module';
import {
  type ForeignFunctions,
  missingFunction,
  type NativeFunction,
  type NativeType,
  NativeUnavailableError,
} from './ffi.ts';

interface Koffi {
  readonly version: string;
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

/** Throws a NativeUnavailableError when the package is missing or not made for this system. */
export function loadKoffi(): ForeignFunctions {
  const koffi = requireKoffi();
  const library = koffi.load(null);
  return {
    provider: `koffi ${koffi.version}`,
    bind(name, result, parameters) {
      try {
        return library.func(
          name,
          result,
          parameters.map((type) => KOFFI_TYPE[type]),
        );
      } catch (cause) {
        throw missingFunction(name, cause);
      }
    },
    errno: () => koffi.errno(),
    view: (address, bytes) => koffi.view(address, bytes),
  };
}

function requireKoffi(): Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    throw new NativeUnavailableError(
      missing
        ? 'the package koffi is not installed; add it with "npm install koffi"'
        : `the package koffi cannot be loaded here (${(cause as Error).message.split('\n')[0]}); try "npm rebuild koffi"`,
      { cause },
    );
  }
}
