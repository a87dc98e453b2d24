/**
 * Where a daemon and its clients meet: one Unix socket for each network namespace.
 *
 * - `UIPVS_SOCKET` in the environment wins, for both sides.
 * - Otherwise `/run/uipvs/<inode of /proc/self/ns/net>.sock`. The inode number names the network namespace,
 *   so `ip netns exec blue uipvsadm -L` speaks to the daemon of `blue` without being told.
 * - An ordinary user who can neither use nor make `/run/uipvs` serves and looks in `$XDG_RUNTIME_DIR/uipvs/`.
 *   Root never looks there: to reach such a daemon root sets `UIPVS_SOCKET`.
 *
 * The client's start-up loads this file, so it imports `node:fs` alone.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { IpvsError } from '../model/errors.ts';

export const RUN_DIRECTORY = '/run/uipvs';

/** Longest path a Unix socket can have: `sun_path` of unix(7) holds 108 bytes with the closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;

/** Inode number of this process's network namespace, as `/run/uipvs/<number>.sock` has it. */
export function networkNamespace(): number {
  return statSync('/proc/self/ns/net').ino;
}

export interface SocketPathHints {
  /** Stands in for `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Stands in for the effective user id. */
  readonly uid?: number;
  /** Stands in for `/run/uipvs`. */
  readonly runDirectory?: string;
  readonly namespace?: number;
}

/** The path a client connects to. Throws EINVAL for a path that no Unix socket can have. */
export function socketPath(hints: SocketPathHints = {}): string {
  return choose(hints, (path) => existsSync(path));
}

/** The path a daemon listens on; its directory need not exist yet. Throws EINVAL as `socketPath` does. */
export function listenPath(hints: SocketPathHints = {}): string {
  return choose(hints, (path) => writable(directoryOf(path)));
}

/** Throws EINVAL for a path that no Unix socket can have, with the limit in the message. */
export function checkSocketPath(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes === 0 || path.includes('\0')) throw new IpvsError('EINVAL', 'the path of the API socket is empty');
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new IpvsError(
      'EINVAL',
      `the path of the API socket is ${bytes} bytes long and may have ${SOCKET_PATH_BYTES_MAX}: ${path}`,
    );
  }
  return path;
}

function choose(hints: SocketPathHints, usable: (path: string) => boolean): string {
  const environment = hints.environment ?? process.env;
  const wished = environment['UIPVS_SOCKET'];
  if (wished) return checkSocketPath(wished);
  const name = `${hints.namespace ?? networkNamespace()}.sock`;
  const shared = `${hints.runDirectory ?? RUN_DIRECTORY}/${name}`;
  const runtime = environment['XDG_RUNTIME_DIR'];
  if ((hints.uid ?? process.geteuid?.()) === 0 || !runtime || usable(shared)) return checkSocketPath(shared);
  const own = `${runtime}/uipvs/${name}`;
  return checkSocketPath(own);
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** May this user make entries in `directory`, or make the directory itself? */
function writable(directory: string): boolean {
  try {
    accessSync(existsSync(directory) ? directory : directoryOf(directory), constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
