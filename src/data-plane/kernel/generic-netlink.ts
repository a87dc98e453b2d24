/**
 * Questions and orders to one family of generic netlink, each with its whole answer or an error. After an answer that
 * cannot be understood the socket is thrown away: what is still to come on it belongs to nobody.
 * Source: Documentation/userspace-api/netlink/intro.rst of the kernel.
 */
import { IpvsError } from '../../model/errors.ts';
import {
  type Attributes,
  joinAttributes,
  MessageFlag,
  MessageType,
  NetlinkFormatError,
  type NetlinkMessage,
  readAttributes,
  readErrno,
  readMessages,
  readUint,
  requireAttribute,
  textAttribute,
  writeMessage,
} from '../../wire/netlink.ts';

/** As `native/netlink-socket.ts` opens it. */
export interface NetlinkChannel {
  send(datagram: Uint8Array): void;
  receive(timeoutMs: number): Uint8Array;
  close(): void;
}

/** The kernel understood the request and said no. */
export class NetlinkRefusal extends Error {
  override readonly name = 'NetlinkRefusal';
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

/** What the kernel answered did not come whole: whether it carried out an order is not known. */
export class NetlinkBrokenAnswer extends IpvsError {
  constructor(message: string, options?: ErrorOptions) {
    super('EIO', message, options);
  }
}

const CONTROL_FAMILY = 0x10;
const GET_FAMILY = 3;
const FAMILY_ID = 1;
const FAMILY_NAME = 2;
const GENERIC_HEADER_BYTES = 4;
const GENERIC_VERSION = 1;
/** An order may load a module first, which starts a program. */
const TIMEOUT_MS = 10_000;
/** A listing that changes while it is read is read again. */
const LISTING_ATTEMPTS = 5;
/** More is no listing of ours. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

export class GenericNetlink {
  readonly #familyName: string;
  readonly #open: () => NetlinkChannel;
  #channel: NetlinkChannel | null = null;
  #family: number | null = null;
  #sequence = 0;

  /** Opens nothing yet. */
  constructor(familyName: string, open: () => NetlinkChannel) {
    this.#familyName = familyName;
    this.#open = open;
  }

  /** Throws a NetlinkRefusal (ENOENT: the kernel has no such family and no module for it) or a NetlinkBrokenAnswer. */
  findFamily(): number {
    if (this.#family !== null) return this.#family;
    const [answer] = this.#exchange(CONTROL_FAMILY, GET_FAMILY, MessageFlag.ACK, [
      textAttribute(FAMILY_NAME, this.#familyName),
    ]);
    if (answer === undefined) throw new NetlinkBrokenAnswer(`the kernel did not name its family ${this.#familyName}`);
    this.#family = read(() => readUint(requireAttribute(answer, FAMILY_ID, 2, 'family')));
    return this.#family;
  }

  /** Carries out an order or asks for one thing. Attributes of the answers, none for an order. */
  ask(command: number, attributes: readonly Uint8Array[] = []): readonly Attributes[] {
    return this.#inFamily((family) => this.#exchange(family, command, MessageFlag.ACK, attributes));
  }

  /** A whole listing, one element for each entry. */
  list(command: number, attributes: readonly Uint8Array[] = []): readonly Attributes[] {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#inFamily((family) => this.#exchange(family, command, MessageFlag.DUMP, attributes));
      } catch (error) {
        if (!(error instanceof ListingInterrupted) || attempt === LISTING_ATTEMPTS) throw error;
      }
    }
  }

  close(): void {
    this.#channel?.close();
    this.#channel = null;
  }

  /** The number of a family changes when its module is unloaded and loaded again: the refused is asked anew, once. */
  #inFamily<T>(work: (family: number) => T): T {
    const known = this.#family !== null;
    const family = this.findFamily();
    try {
      return work(family);
    } catch (error) {
      if (!known || !(error instanceof NetlinkRefusal) || error.errno !== ENOENT) throw error;
      this.#family = null;
      const again = this.findFamily();
      if (again === family) throw error;
      return work(again);
    }
  }

  #exchange(family: number, command: number, flags: number, attributes: readonly Uint8Array[]): Attributes[] {
    try {
      this.#channel ??= this.#open();
      this.#sequence = (this.#sequence + 1) >>> 0;
      const header = Uint8Array.of(command, GENERIC_VERSION, 0, 0);
      this.#channel.send(
        writeMessage({
          type: family,
          flags: MessageFlag.REQUEST | flags,
          sequence: this.#sequence,
          payload: joinAttributes([header, ...attributes]),
        }),
      );
      return readAnswer(this.#channel, family, this.#sequence);
    } catch (error) {
      if (error instanceof NetlinkRefusal) throw error;
      this.close();
      if (error instanceof IpvsError) throw error;
      if (error instanceof NetlinkFormatError || (error as NodeJS.ErrnoException).code !== undefined) {
        throw new NetlinkBrokenAnswer(`the kernel's answer cannot be read: ${(error as Error).message}`, {
          cause: error,
        });
      }
      throw error;
    }
  }
}

const ENOENT = 2;

/** The table changed while the kernel listed it. */
class ListingInterrupted extends IpvsError {}

function readAnswer(channel: NetlinkChannel, family: number, sequence: number): Attributes[] {
  const answers: Attributes[] = [];
  let bytes = 0;
  let interrupted = false;
  for (;;) {
    const datagram = channel.receive(TIMEOUT_MS);
    bytes += datagram.length;
    if (datagram.length === 0) throw new NetlinkFormatError('an empty datagram came');
    if (bytes > ANSWER_BYTES_MAX)
      throw new IpvsError('ENOBUFS', `the kernel's answer has more than ${ANSWER_BYTES_MAX} bytes`);
    for (const message of readMessages(datagram)) {
      // What is left of an answer that nobody waited for.
      if (message.sequence !== sequence) continue;
      if ((message.flags & MessageFlag.DUMP_INTERRUPTED) !== 0) interrupted = true;
      if (isEnd(message)) {
        if (interrupted) throw new ListingInterrupted('EBUSY', 'the table changed again and again while it was listed');
        return answers;
      }
      if (message.type === MessageType.NOOP) continue;
      if (message.type !== family) throw new NetlinkFormatError(`a message of type ${message.type} came`);
      if (message.payload.length < GENERIC_HEADER_BYTES) throw new NetlinkFormatError('an answer is cut short');
      answers.push(readAttributes(message.payload.subarray(GENERIC_HEADER_BYTES)));
    }
  }
}

/** Throws a NetlinkRefusal when it is the kernel's no. */
function isEnd({ type, payload }: NetlinkMessage): boolean {
  if (type === MessageType.OVERRUN) throw new NetlinkFormatError('the kernel lost a part of its answer');
  if (type !== MessageType.ERROR && type !== MessageType.DONE) return false;
  const errno = type === MessageType.DONE && payload.length < 4 ? 0 : readErrno(payload);
  if (errno !== 0) throw new NetlinkRefusal(errno);
  return true;
}

/** Turns what an attribute does not hold into a broken answer. */
export function read<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NetlinkFormatError)) throw error;
    throw new NetlinkBrokenAnswer(`the kernel's answer cannot be read: ${error.message}`, { cause: error });
  }
}
