/**
 * `node:ffi`, which Node brings itself from version 26 on (experimental): with it the packet engine needs no
 * native package at all. Source: the chapter "FFI" of Node's documentation.
 */
import { createRequire } from 'node:module';
import {
  type ForeignFunctions,
  missingFunction,
  type NativeFunction,
  type NativeType,
  NativeUnavailableError,
} from './ffi.ts';

type Value = number | bigint | string;

interface NodeFfi {
  readonly DynamicLibrary: new (
    path: null,
  ) => {
    getFunction(
      name: string,
      signature: { readonly arguments: string[]; readonly return: string },
    ): (...values: Value[]) => number | bigint;
  };
  /** `copy` false: a view of the memory itself. */
  toArrayBuffer(address: bigint, bytes: number, copy: boolean): ArrayBuffer;
}

const NODE_TYPE: Record<NativeType, string> = {
  int: 'i32',
  uint32: 'u32',
  long: 'i64',
  address: 'u64',
  text: 'string',
};
/** These want BigInts. */
const WIDE: readonly NativeType[] = ['long', 'address'];

/** Throws a NativeUnavailableError where Node does not have it. */
export function loadNodeFfi(): ForeignFunctions {
  const ffi = requireQuietly();
  const library = new ffi.DynamicLibrary(null);
  const errno = errnoOf(ffi, library);
  return {
    provider: `node:ffi of Node ${process.versions.node} (experimental)`,
    bind(name, result, parameters) {
      try {
        const signature = { arguments: parameters.map((type) => NODE_TYPE[type]), return: NODE_TYPE[result] };
        return narrow(library.getFunction(name, signature), result, parameters);
      } catch (cause) {
        throw missingFunction(name, cause);
      }
    },
    errno: () => errno[0] as number,
    view: (address, bytes) => ffi.toArrayBuffer(BigInt(address), bytes, false),
  };
}

/**
 * There is no accessor for errno, so it is read where the C library keeps it: one place per thread, and every
 * thread loads this module anew.
 */
function errnoOf(ffi: NodeFfi, library: InstanceType<NodeFfi['DynamicLibrary']>): Int32Array {
  const location = library.getFunction('__errno_location', { arguments: [], return: 'u64' });
  return new Int32Array(ffi.toArrayBuffer(location() as bigint, Int32Array.BYTES_PER_ELEMENT, false));
}

/** Numbers on our side, BigInts on the other, with a call of its own for every number of arguments of the fast path. */
function narrow(
  call: (...values: Value[]) => number | bigint,
  result: 'int' | 'long',
  parameters: readonly NativeType[],
): NativeFunction {
  const wide = parameters.map((type) => WIDE.includes(type));
  const convert = (value: number | string, i: number): Value => (wide[i] ? BigInt(value) : value);
  if (result === 'int' && parameters.length === 3) {
    return (a, b, c) => call(convert(a as number, 0), convert(b as number, 1), convert(c as number, 2)) as number;
  }
  if (result === 'int' && parameters.length === 4) {
    return (a, b, c, d) =>
      call(
        convert(a as number, 0),
        convert(b as number, 1),
        convert(c as number, 2),
        convert(d as number, 3),
      ) as number;
  }
  return (...values) => Number(call(...values.map(convert)));
}

function requireQuietly(): NodeFfi {
  const emitWarning = process.emitWarning;
  // That it is experimental stands in `provider`; in the logs of a daemon the warning would be noise.
  process.emitWarning = () => {};
  try {
    return createRequire(import.meta.url)('node:ffi') as NodeFfi;
  } catch (cause) {
    throw new NativeUnavailableError(
      `Node ${process.versions.node} has no node:ffi; Node 26 brings it (unless started with --no-experimental-ffi)`,
      { cause },
    );
  } finally {
    process.emitWarning = emitWarning;
  }
}
