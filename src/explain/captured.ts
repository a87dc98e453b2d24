/** The IP packets of a capture file, whatever its link type is. */

import { IpvsError } from '../model/errors.ts';
import { readUint16 } from '../wire/bytes.ts';
import type { CapturedPacket, CaptureInterface } from '../wire/capture-format.ts';
import { CaptureFileError, LinkType } from '../wire/capture-format.ts';
import { createCaptureReader } from '../wire/capture-reader.ts';

export interface CapturedIp {
  /** Place in the file, from 1, as other tools count. */
  readonly number: number;
  /** Milliseconds since the first packet of the file. */
  readonly atMs: number;
  /** From the IP header on; `null`: it is none. */
  readonly packet: Uint8Array | null;
  /** With its Ethernet header, where the capture has one. */
  readonly frame: Uint8Array | null;
  /** The capture kept only its beginning. */
  readonly isCut: boolean;
}

/** Throws EINVAL with a sentence for what is no capture file. */
export function* readCapture(file: Uint8Array): Generator<CapturedIp> {
  try {
    yield* readPackets(file);
  } catch (error) {
    if (!(error instanceof CaptureFileError)) throw error;
    throw new IpvsError('EINVAL', error.message, { cause: error });
  }
}

function* readPackets(file: Uint8Array): Generator<CapturedIp> {
  const reader = createCaptureReader();
  reader.push(file);
  reader.end();
  let first: bigint | null = null;
  for (let number = 1; ; number++) {
    const captured = reader.next();
    if (captured === null) return;
    first ??= captured.timestampNs;
    const { linkType } = reader.interfaces[captured.interfaceIndex] as CaptureInterface;
    yield {
      number,
      atMs: Math.max(0, Number((captured.timestampNs - first) / 1_000_000n)),
      packet: ipOf(captured.data, linkType),
      frame: linkType === LinkType.ETHERNET ? captured.data : null,
      isCut: isCut(captured),
    };
  }
}

function isCut({ data, originalBytes }: CapturedPacket): boolean {
  return data.length < originalBytes;
}

function ipOf(data: Uint8Array, linkType: number): Uint8Array | null {
  const at = linkType === LinkType.ETHERNET ? 14 : linkType === LinkType.LINUX_SLL ? 16 : 0;
  if (data.length <= at) return null;
  if (linkType === LinkType.RAW) return data;
  let type = readUint16(data, at - 2);
  let from = at;
  if (type === 0x8100 && data.length > at + 4) {
    type = readUint16(data, at + 2);
    from = at + 4;
  }
  return type === 0x0800 || type === 0x86dd ? data.subarray(from) : null;
}
