/** Which provider of foreign functions this process uses: koffi where it is installed, otherwise `node:ffi`. */
import { type ForeignFunctions, NativeUnavailableError } from './ffi.ts';
import { loadKoffi } from './ffi-koffi.ts';
import { loadNodeFfi } from './ffi-node.ts';

/** Best first, by the names that the environment variable UIPVS_FFI takes. */
const PROVIDERS: Readonly<Record<string, () => ForeignFunctions>> = { koffi: loadKoffi, node: loadNodeFfi };

/** The structures we build are those of 64-bit little-endian Linux. */
const ARCHITECTURES = ['x64', 'arm64', 'riscv64', 'loong64'];

let loaded: ForeignFunctions | null = null;

/**
 * The provider of this process. Throws a NativeUnavailableError where there is none, or where the one that
 * UIPVS_FFI names does not work.
 */
export function loadForeignFunctions(): ForeignFunctions {
  loaded ??= load(process.env['UIPVS_FFI']);
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

function load(named: string | undefined): ForeignFunctions {
  if (process.platform !== 'linux') {
    throw new NativeUnavailableError(`needs Linux, and this is ${process.platform}; use a Linux host or container`);
  }
  if (!ARCHITECTURES.includes(process.arch)) {
    throw new NativeUnavailableError(`needs a 64-bit processor of ${ARCHITECTURES.join(', ')}, not ${process.arch}`);
  }
  if (named !== undefined && named !== '') {
    const provider = Object.hasOwn(PROVIDERS, named) ? PROVIDERS[named] : undefined;
    if (provider !== undefined) return provider();
    throw new NativeUnavailableError(`UIPVS_FFI is "${named}"; it takes ${Object.keys(PROVIDERS).join(' or ')}`);
  }
  let first: unknown;
  for (const provider of Object.values(PROVIDERS)) {
    try {
      return provider();
    } catch (error) {
      if (!(error instanceof NativeUnavailableError)) throw error;
      first ??= error;
    }
  }
  const complaint = first as NativeUnavailableError;
  throw new NativeUnavailableError(`${complaint.message}; or use Node 26, which needs no package`, {
    cause: complaint,
  });
}
