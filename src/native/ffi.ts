/**
 * Calls into the C library from JavaScript, as the rest of the house sees them. Two providers stand behind this:
 * the compiled package koffi (`ffi-koffi.ts`) and Node's own `node:ffi` (`ffi-node.ts`); `ffi-provider.ts` chooses.
 */

/** `address` is a memory address as a plain number: user addresses of 64-bit Linux fit into 53 bits. */
export type NativeType = 'int' | 'uint32' | 'long' | 'address' | 'text';
export type NativeFunction = (...values: (number | string)[]) => number;

export interface ForeignFunctions {
  /** Name and version, for people. */
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

/** What `bind` throws for a name the C library does not have. */
export function missingFunction(name: string, cause: unknown): NativeUnavailableError {
  return new NativeUnavailableError(`this C library has no ${name}(); a newer system is needed`, { cause });
}
