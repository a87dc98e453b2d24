/** Unix datagrams for the programs: through native calls, or where those do not work not at all. */
import type { Notify } from '../control/service-manager.ts';
import { NativeUnavailableError } from '../native/ffi.ts';
import { sendUnixDatagram } from '../native/unix-datagram.ts';

/** Answers false when this process cannot send any. Throws when this one could not be delivered. */
export function sendDatagram(path: string, text: string): boolean {
  try {
    sendUnixDatagram(path, text);
    return true;
  } catch (error) {
    if (error instanceof NativeUnavailableError) return false;
    throw error;
  }
}

/** systemd-notify(1) stands in for native calls; the unit then has to say NotifyAccess=all. */
export const notify: Notify = async (socket, message) => {
  if (sendDatagram(socket, message)) return;
  const { execFile } = await import('node:child_process');
  await new Promise<void>((resolve, reject) => {
    const env = { ...process.env, NOTIFY_SOCKET: socket };
    execFile('systemd-notify', message.split('\n'), { env }, (error) => (error === null ? resolve() : reject(error)));
  });
};
