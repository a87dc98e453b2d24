/** Whether this kernel has IPVS, and the data plane that uses it. */
import { existsSync } from 'node:fs';
import { openGenericNetlink } from '../../native/netlink-socket.ts';
import { KernelDataPlane } from './kernel-data-plane.ts';

/** Loads the module where there is one. Throws an IpvsError, or a NativeUnavailableError. */
export function openKernelDataPlane(): KernelDataPlane {
  return new KernelDataPlane({ openNetlink: openGenericNetlink });
}

/** Whether IPVS is in the kernel already; nothing is loaded by this question. */
export function kernelIpvsIsLoaded(): boolean {
  return existsSync('/proc/net/ip_vs');
}
