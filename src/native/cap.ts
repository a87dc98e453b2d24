/**
 * The compiled package `cap`: libpcap for capture and injection. The only file that knows it; loaded when first
 * needed. It hangs on the event loop of the process's main thread and works nowhere else.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { NativeUnavailableError } from './ffi.ts';

/** One opened interface. A handle is opened once and never again after `close`. */
export interface CaptureHandle {
  /**
   * Starts to capture and returns the link type (`ETHERNET`). Every frame is copied to the start of `buffer`,
   * which must outlive the handle, and then told to the `packet` listener. Throws with libpcap's sentence.
   */
  open(device: string, filter: string, ringBytes: number, buffer: Uint8Array): string;
  on(event: 'packet', listener: (length: number, truncated: boolean) => void): unknown;
  removeAllListeners(): unknown;
  /** Injects one frame, at once. Throws with libpcap's sentence, which ends in that of the errno. */
  send(frame: Uint8Array): void;
  close(): boolean;
}

const LIBRARY_FOLDERS = ['/usr/lib', '/usr/lib64', '/lib', '/lib64', '/usr/local/lib'];
const CAP_NET_RAW = 13;

/**
 * Every handle of this process. The package leaves its poll handle in the event loop's list when it closes, and
 * takes an interface that it failed to open for an open one: collecting either would end the process.
 */
const kept: CaptureHandle[] = [];

/** Makes handles. Throws a NativeUnavailableError with the way out. */
export function loadCapture(): () => CaptureHandle {
  if (!isMainThread) throw new NativeUnavailableError("works only on a process's main thread; start it there");
  try {
    const { Cap } = createRequire(import.meta.url)('cap') as { Cap: new () => CaptureHandle };
    return () => {
      const handle = new Cap();
      kept.push(handle);
      return handle;
    };
  } catch (cause) {
    throw new NativeUnavailableError(
      `the package cap is not installed or not built (${(cause as Error).message.split('\n')[0]}); ` +
        'install a compiler and libpcap-dev ("apt install g++ make python3 libpcap-dev"), then "npm install cap"',
      { cause },
    );
  }
}

/** `null` when frames can be captured here, otherwise one sentence with the way out. */
export function captureUnavailable(): string | null {
  if (process.platform !== 'linux')
    return `needs Linux, and this is ${process.platform}; use a Linux host or container`;
  try {
    loadCapture();
  } catch (error) {
    return (error as Error).message;
  }
  if (!hasLibraryLink()) {
    return 'libpcap.so is missing, without which frames come up to a second late; install libpcap-dev';
  }
  if (!mayOpenRawSockets()) {
    return (
      'the right CAP_NET_RAW is missing; run as root, or give the service AmbientCapabilities=CAP_NET_RAW, ' +
      'or the container --cap-add=NET_RAW'
    );
  }
  return null;
}

/**
 * Whether the installed build ends the whole process (SIGABRT) when a captured link goes down: an assertion of
 * its own, which the default build contains. `CXXFLAGS=-DNDEBUG npm rebuild cap` builds it without.
 */
export function captureAbortsOnLinkDown(): boolean {
  try {
    return readFileSync(createRequire(import.meta.url).resolve('cap/build/Release/cap.node')).includes('__assert_fail');
  } catch {
    return false;
  }
}

/** Closes a handle for good. Not for one whose `open` has thrown: the package would end the process. */
export function closeCapture(handle: CaptureHandle): void {
  handle.removeAllListeners();
  handle.close();
}

/** The package asks the dynamic linker for `libpcap.so`, the name that comes with the development files. */
function hasLibraryLink(): boolean {
  return LIBRARY_FOLDERS.some((folder) => {
    if (existsSync(`${folder}/libpcap.so`)) return true;
    try {
      return readdirSync(folder).some((name) => name.includes('-linux-') && existsSync(`${folder}/${name}/libpcap.so`));
    } catch {
      return false;
    }
  });
}

/** Effective capabilities of this process, as proc(5) shows them. */
function mayOpenRawSockets(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return effective === undefined || ((BigInt(`0x${effective}`) >> BigInt(CAP_NET_RAW)) & 1n) === 1n;
}
